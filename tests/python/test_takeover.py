"""A host that was taken for dead comes back with its old fence: the persister of the host refuses it."""
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

import embedjobs
import stall_host


class TakeoverTest(unittest.TestCase):
    def stop_and_take_over(self, stale, paths):
        """The whole process stops, as a machine does that sleeps; not while it holds the lock of the database of jobs,
        for the test's sake."""
        while True:
            stale.send_signal(signal.SIGSTOP)
            _, status = os.waitpid(stale.pid, os.WUNTRACED)
            self.assertTrue(os.WIFSTOPPED(status))
            try:
                return stall_host.run(*paths)
            except embedjobs.Retry:
                stale.send_signal(signal.SIGCONT)
                time.sleep(0.1)  # for its write to end

    def test_a_stale_process_is_refused_and_the_one_that_took_over_stands(self):
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, name) for name in ("jobs.db", "vectors.db")]
            with subprocess.Popen([sys.executable, stall_host.__file__, *paths], cwd=pathlib.Path(__file__).parent,
                                  stdout=subprocess.PIPE,
                                  text=True) as stale:
                self.addCleanup(stale.kill)
                while not pathlib.Path(paths[1] + ".entered").exists():
                    self.assertIsNone(stale.poll(), "the host ended by itself")
                    time.sleep(0.001)
                try:
                    persister, words = self.stop_and_take_over(stale, paths)
                    self.assertEqual((persister.refused, len(words.texts)), ([], 40))
                finally:
                    pathlib.Path(paths[1] + ".go").touch()
                    stale.send_signal(signal.SIGCONT)
                self.assertEqual(stale.communicate()[0], "refused [1]\n")
            self.assertEqual(stale.returncode, 0)
            database = sqlite3.connect(paths[1])
            self.assertEqual(
                database.execute("SELECT counter, COUNT(*) FROM vectors GROUP BY counter").fetchall(), [(2, 40)])
            database.close()


if __name__ == "__main__":
    unittest.main()
