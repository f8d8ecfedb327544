"""A host that is killed in mid-run resumes, and repeats no persisted chunk."""
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import embedjobs

HERE = pathlib.Path(__file__).parent


class KillTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.database = os.path.join(folder.name, "host.db")
        self.log = pathlib.Path(folder.name) / "log"

    def start(self, *most):
        return subprocess.Popen([sys.executable, "kill_host.py", self.database, str(self.log), *most], cwd=HERE,
                                stdout=subprocess.PIPE,
                                text=True)

    def embedded(self):
        return self.log.read_text(encoding="ascii").split() if self.log.exists() else []

    def persisted(self):
        """Hashes of the rows that are stored. Nobody works on them here."""
        engine = embedjobs.Engine("sqlite:" + self.database, embedder=embedjobs.Embedder(lambda texts: None, "kill", 8))
        rows = engine.rows("catalog", "big", with_vectors=False)
        engine.close()
        return {value.hex() for value in rows.hashes}

    def test_killed_three_times_and_nothing_persisted_is_embedded_again(self):
        lost = 0
        for kills in range(1, 4):
            host = self.start(str(kills * 200))
            # An event: so many texts went through the embedder, which now waits for its end.
            while len(self.embedded()) < kills * 200:
                self.assertIsNone(host.poll(), "the host ended by itself")
                time.sleep(0.005)
            host.send_signal(signal.SIGKILL)
            host.wait()
            host.stdout.close()
            stored, before = self.persisted(), len(self.embedded())
            self.assertGreater(len(stored), 0)
            self.assertLess(len(stored), 1000)
            self.after_kill = (stored, before)
            lost += len(set(self.embedded()) - stored)
        stored, before = self.after_kill
        host = self.start()
        output, _ = host.communicate()
        self.assertEqual((host.returncode, output.split()), (0, ["put", "idle"]))
        again = [value for value in self.embedded()[before:] if value in stored]
        self.assertEqual(again, [])
        # A kill costs what was embedded and not persisted yet, and nothing else.
        self.assertLessEqual(len(self.embedded()) - len(set(self.embedded())), lost)
        self.assertEqual(self.persisted(), set(self.embedded()))


if __name__ == "__main__":
    unittest.main()
