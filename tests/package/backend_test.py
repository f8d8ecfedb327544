#!/usr/bin/env python3
"""Which tools the build backend of the Python package asks for. backend_test.py SOURCE WORK

The machine has just the tools that a test gives it: PATH is one folder of stand-ins. That of CMake writes down its
arguments, and leaves the file that a build leaves."""
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

SOURCE, WORK = (pathlib.Path(path).resolve() for path in sys.argv[1:3])

CMAKE = """#!/bin/sh
echo "$*" >> "{log}"
if [ -n "$FAIL" ]; then echo "CMake Error: as the test wants it"; exit 1; fi
build="{build}"
{mkdir} -p "$build"
: > "$build/libembedjobs_c.so.1"
"""


class Backend(unittest.TestCase):
    def setUp(self):
        shutil.rmtree(WORK, ignore_errors=True)
        self.project = WORK / "project"
        self.build = self.project / "build" / "python"
        self.tools = WORK / "tools"
        self.log = WORK / "cmake.log"
        (self.project / "capi" / "python").mkdir(parents=True)
        self.tools.mkdir()
        shutil.copy(SOURCE / "capi" / "python" / "build_backend.py", self.project / "capi" / "python")
        (self.project / "capi" / "embedjobs.h").touch()

    def machine_has(self, *names):
        for name in names:
            stand_in = self.tools / name
            stand_in.write_text(CMAKE.format(log=self.log, build=self.build, mkdir=shutil.which("mkdir"))
                                if name == "cmake" else "#!/bin/sh\n", encoding="utf-8")
            stand_in.chmod(0o755)

    def compile(self, **environment):
        """What configuring was told; of a backend that gave up, what it wrote."""
        done = subprocess.run([sys.executable, "-Bc", "import build_backend; print(build_backend.library())"],
                              cwd=self.project / "capi" / "python", env={"PATH": str(self.tools), **environment},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            return done.stdout
        self.assertTrue(done.stdout.rstrip().endswith("libembedjobs_c.so.1"), done.stdout)
        return self.log.read_text(encoding="utf-8").splitlines()[0]

    def assert_one_line(self, output, *words):
        self.assertEqual(len(output.splitlines()), 1, output)
        for word in ["error: building embedjobs needs", *words]:
            self.assertIn(word, output)

    def was_configured_with(self, generator):
        self.build.mkdir(parents=True, exist_ok=True)
        cache = f"A:STRING=b\nCMAKE_GENERATOR:INTERNAL={generator}\n"
        (self.build / "CMakeCache.txt").write_text(cache, encoding="utf-8")

    def test_ninja_is_enough(self):
        self.machine_has("cmake", "c++", "ninja")
        self.assertIn(" -G Ninja ", self.compile())

    def test_make_is_enough(self):
        self.machine_has("cmake", "c++", "make")
        self.assertIn(" -G Unix Makefiles ", self.compile())

    def test_of_both_ninja_is_taken(self):
        self.machine_has("cmake", "c++", "make", "ninja")
        self.assertIn(" -G Ninja ", self.compile())

    def test_fedora_calls_it_ninja_build(self):
        self.machine_has("cmake", "c++", "ninja-build")
        self.assertIn(" -G Ninja ", self.compile())

    def test_the_generator_of_the_caller_is_taken(self):
        self.machine_has("cmake", "c++", "ninja")
        self.assertIn(" -G Unix Makefiles ", self.compile(CMAKE_GENERATOR="Unix Makefiles"))

    def test_a_generator_among_the_arguments_stays_the_only_one(self):
        self.machine_has("cmake", "c++", "ninja")
        told = self.compile(EMBEDJOBS_CMAKE_ARGS='-G "Ninja Multi-Config"')
        self.assertTrue(told.endswith(" -G Ninja Multi-Config"), told)
        self.assertEqual(told.count("-G"), 1, told)

    def test_neither_ninja_nor_make(self):
        self.machine_has("cmake", "c++")
        self.assert_one_line(self.compile(), "Ninja or make", "apt-get install ninja-build")

    def test_no_cmake(self):
        self.machine_has("c++", "ninja")
        self.assert_one_line(self.compile(), "CMake 3.25", "apt-get install cmake")

    def test_no_compiler(self):
        self.machine_has("cmake", "ninja")
        self.assert_one_line(self.compile(), "a C++20 compiler", "apt-get install g++")

    def test_the_compiler_of_the_caller_is_cmakes_to_judge(self):
        self.machine_has("cmake", "ninja")
        for environment in [{"CXX": "/opt/c++"}, {"EMBEDJOBS_CMAKE_ARGS": "-DCMAKE_CXX_COMPILER=/opt/c++"}]:
            self.assertIn(" -G Ninja ", self.compile(**environment))

    def test_a_build_of_an_earlier_day_with_the_same_generator_goes_on(self):
        self.machine_has("cmake", "c++", "ninja")
        self.was_configured_with("Ninja")
        self.assertNotIn("--fresh", self.compile())

    def test_a_build_of_an_earlier_day_with_another_generator_begins_anew(self):
        self.machine_has("cmake", "c++", "ninja")
        self.was_configured_with("Unix Makefiles")
        self.assertIn(" --fresh -G Ninja ", self.compile())

    def test_a_build_that_fails_ends_with_a_line_and_no_traceback(self):
        self.machine_has("cmake", "c++", "ninja")
        lines = self.compile(FAIL="1").splitlines()
        self.assertEqual(lines[0], "CMake Error: as the test wants it")
        self.assertEqual(len(lines), 2, lines)
        self.assertRegex(lines[1], "^error: 'cmake .*' failed; the lines above say why$")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
