"""The example host, as a user runs it; and the examples of docs/python.md, as they stand there."""
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).parents[2]


class ExampleTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_python(self, *arguments):
        return subprocess.run([sys.executable, *arguments], cwd=self.folder, capture_output=True, text=True,
                              check=False)

    def test_the_host_embeds_once_and_finds_the_nearest(self):
        try:
            import numpy  # pylint: disable=import-outside-toplevel,unused-import
        except ImportError:
            self.skipTest("numpy is not installed")
        (self.folder / "answers.jsonl").write_text(
            '{"id":"refund","text":"How to get money back"}\n{"id":"address","text":"Changing an address"}\n',
            encoding="utf-8")
        for embedded in ("2 embedded\n", "0 embedded\n"):
            ended = self.run_python(str(ROOT / "examples/python/host.py"), "host.db", "answers.jsonl",
                                    "get my money back")
            self.assertEqual((ended.returncode, ended.stderr), (0, embedded))
            self.assertRegex(ended.stdout.splitlines()[0], r"^0\.\d+ refund$")

    def test_the_examples_of_the_guide_run(self):
        guide = (ROOT / "docs/python.md").read_text(encoding="utf-8")
        examples = re.findall(r"```python\n(.*?)```", guide, re.S)
        self.assertGreater(len(examples), 3)
        # One after the other, as a reader would type them.
        ended = self.run_python("-c", "".join(examples))
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        expected = re.findall(r"# prints (.*)", guide)
        self.assertEqual(ended.stdout.splitlines(), expected)


if __name__ == "__main__":
    unittest.main()
