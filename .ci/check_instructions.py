#!/usr/bin/env python3
"""Counts the instructions of the library's hot paths.

Fails where one costs over 5 % more than .ci/instructions.json says.

usage: check_instructions.py BUILD_DIR           counts and compares
       check_instructions.py BUILD_DIR --write   writes the counts to the baseline of this machine's key

Counts are repeatable where times are not. They depend on the compiler and on the libraries, so the baseline has a key
of their versions. A count without a baseline fails nothing. It is printed as NOT COMPARED, with the entry to add.
The build is the preset `release`.
"""
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BASELINE = ROOT / ".ci/instructions.json"
ALLOWED_PERCENT = 5.0
# In the headers' packages: those of the libraries have a number in their name. The security updates of libc do not move
# the counts.
LIBRARIES = ["libstdc++6", "libsqlite3-dev", "libsimdjson-dev", "libyaml-dev", "libfmt-dev", "libssl-dev"]
# Libraries choose among several ways by what the processor can do. Here they take the plain one, on every processor.
PLAIN_PROCESSOR = {
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-BMI2,-ERMS,-FSRM,-RTM",
    "SIMDJSON_FORCE_IMPLEMENTATION": "fallback",
    "OPENSSL_ia32cap": "0x0:0x0",
}


def version_of(package):
    answer = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True)
    return answer.stdout if answer.returncode == 0 else "unknown"


def key_of(build):
    """The compiler and libraries that the build has. Another compiler than g++ has a key of its own."""
    cache = (build / "CMakeCache.txt").read_text(encoding="utf-8")
    compiler = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", cache, flags=re.M).group(1)
    version = subprocess.run([compiler, "-dumpversion"], check=True, capture_output=True, text=True).stdout
    major = version.strip().split(".")[0]
    name = "clang" if "clang" in compiler else "g++"
    packages = [f"{name}-{major}", *LIBRARIES]
    return " ".join([platform.machine(), *(f"{package}={version_of(package)}" for package in packages)])


def fixed_addresses():
    """Without address randomisation, where the system allows it."""
    command = ["setarch", platform.machine(), "-R"]
    allowed = subprocess.run([*command, "true"], capture_output=True).returncode == 0
    return command if allowed else []


def count(program, name):
    # The folder's name always has the same length, and the environment the same size.
    with tempfile.TemporaryDirectory(prefix="embedjobs-") as folder:
        output = pathlib.Path(folder) / "callgrind"
        command = [*fixed_addresses(), "valgrind", "--tool=callgrind", "--collect-atstart=no",
                   f"--callgrind-out-file={output}", program, name, folder]
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", **PLAIN_PROCESSOR}
        answer = subprocess.run(command, capture_output=True, text=True, env=environment)
        total = re.search(r"^(?:totals|summary): (\d+)", output.read_text() if output.exists() else "", flags=re.M)
        if answer.returncode != 0 or total is None or int(total.group(1)) == 0:
            sys.exit(f"{name}: could not be counted\n{answer.stdout}{answer.stderr}")
        return int(total.group(1))


def main():
    if len(sys.argv) < 2 or sys.argv[2:] not in ([], ["--write"]):
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1])
    program = str(build / "tests/bench/instructions/instructions")
    names = subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()
    key = key_of(build)
    counts = {name: count(program, name) for name in names}
    baselines = json.loads(BASELINE.read_text(encoding="utf-8"))
    if sys.argv[2:] == ["--write"]:
        baselines[key] = counts
        BASELINE.write_text(json.dumps(baselines, indent=2) + "\n", encoding="utf-8")

    known = baselines.get(key, {})
    dearer = []
    print(f"instructions, with {key}")
    for name, counted in counts.items():
        if name not in known:
            print(f"  {name:20} {counted:>13,}  NOT COMPARED: no baseline")
            continue
        percent = 100 * (counted - known[name]) / known[name]
        print(f"  {name:20} {counted:>13,}  baseline {known[name]:>13,}  {percent:+6.2f} %")
        if percent > ALLOWED_PERCENT:
            dearer.append(name)
        elif percent < -ALLOWED_PERCENT:
            print(f"  {'':20} costs less now: write the baseline anew, so that it stays so")
    for name in dearer:
        print(f"error: {name} costs over {ALLOWED_PERCENT:.0f} % more instructions than the baseline. Mend it, or "
              f"raise the baseline in this commit, and say in its message why it costs more. What raises it: "
              f".ci/check_instructions.py {build} --write")
    left_out = [name for name in counts if name not in known]
    if left_out:
        print(f"NOT COMPARED: {len(left_out)} of {len(counts)} counts have no baseline, so this check says nothing of "
              f"{', '.join(left_out)}", file=sys.stderr)
        print(f"The entry of these versions for {BASELINE.relative_to(ROOT)}:")
        print(f"  {json.dumps(key)}: {json.dumps(counts)}")
    return 1 if dearer else 0


if __name__ == "__main__":
    sys.exit(main())
