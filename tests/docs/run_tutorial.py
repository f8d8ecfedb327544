#!/usr/bin/env python3
"""Runs a tutorial as a reader would: run_tutorial.py PAGE GATEWAY DATA

Every block that begins with "```console" is part of one shell session. A line "$ COMMAND" is run. The lines below it,
up to the next "$", are what it must print. A command that ends with "&" goes on in the background. GATEWAY is the
program that the page builds. Port 8080 becomes one that is free.
"""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def steps_of(page):
    """Each command of the page with what it must print."""
    for block in re.findall(r"^```console\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.S | re.M):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, expected = part.partition("\n")
            yield command, expected


def wait_for(port, process):
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(port))) == 0:
                return
        if process.poll() is not None:
            sys.exit(f"the gateway ended with {process.returncode}")
        time.sleep(0.05)
    sys.exit("the gateway does not listen")


class Session:
    def __init__(self, gateway, folder):
        self.folder, self.port, self.gateway = folder, free_port(), None
        (folder / "build").mkdir()
        (folder / "build/gateway").symlink_to(pathlib.Path(gateway).resolve())

    def run(self, command, expected):
        command = command.replace("8080", self.port)
        print(f"$ {command}", flush=True)
        if command.endswith(" &"):
            self.gateway = subprocess.Popen(["bash", "-c", f"exec {command[:-2]} {self.port}"], cwd=self.folder)
            wait_for(self.port, self.gateway)
            return
        if command.startswith("kill "):
            # The shell's own job, which is a process of ours here.
            os.kill(self.gateway.pid, signal.SIGKILL if "-9" in command else signal.SIGTERM)
            code = self.gateway.wait(30)
            assert code == (-signal.SIGKILL if "-9" in command else 0), f"the gateway ended with {code}"
            return
        # The job runs in the background: what is only read is read again after a moment.
        for _ in range(1 if " -T " in command else 100):
            done = subprocess.run(["bash", "-c", command], cwd=self.folder, capture_output=True, text=True, timeout=60)
            if done.returncode == 0 and done.stdout == expected:
                return
            time.sleep(0.1)
        sys.exit(f"exit code {done.returncode}; {done.stderr}printed:\n{done.stdout}and not:\n{expected}")


def main(page, gateway, data):
    if shutil.which("curl") is None:
        print("skipped: curl is not installed")
        return 77
    steps = list(steps_of(pathlib.Path(page)))
    assert len(steps) >= 5, "the page has no session"
    with tempfile.TemporaryDirectory() as folder:
        session = Session(gateway, pathlib.Path(folder))
        shutil.copy(pathlib.Path(data) / "gateway-admin.yaml", folder)
        try:
            for command, expected in steps:
                session.run(command, expected)
        finally:
            if session.gateway is not None and session.gateway.poll() is None:
                session.gateway.kill()
    print(f"{len(steps)} commands ran as the page says")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
