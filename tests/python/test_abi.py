"""The ctypes layouts and prototypes against embedjobs.h itself, as a C compiler reads it."""
import ctypes
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import embedjobs
from embedjobs import _abi
from embedjobs.engine import _value

HEADER = pathlib.Path(__file__).parents[2] / "capi" / "embedjobs.h"


def structs():
    for name, kind in vars(_abi).items():
        if isinstance(kind, type) and issubclass(kind, ctypes.Structure) and getattr(kind, "_fields_", None):
            yield "embedjobs_" + re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(), kind


class AbiTest(unittest.TestCase):
    def test_a_member_that_an_older_library_does_not_have_is_nothing(self):
        class Older(ctypes.Structure):
            _fields_ = _abi.SpecStatus._fields_[:-3]

        page = (ctypes.c_ubyte * 4096)(*[0xFF] * 4096)  # what lies behind the struct is somebody else's
        older = Older.from_buffer(page)
        ctypes.memset(ctypes.addressof(older), 0, ctypes.sizeof(older))
        older.struct_size, older.catalog_id, older.spec_name = ctypes.sizeof(older), b"catalog", b"spec"
        status = _value(embedjobs.SpecStatus, _abi.SpecStatus.from_buffer(page))
        self.assertEqual((status.catalog_id, status.spec_name, status.badge_label), ("catalog", "spec", ""))
        self.assertEqual((status.worker_id, status.job_started_at, status.lease_expires_at), ("", 0, 0))

    def test_every_struct_is_laid_out_as_in_the_header(self):
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            self.skipTest("there is no C compiler")
        expected, lines = [], []
        for name, kind in structs():
            expected.append(f"{name} {ctypes.sizeof(kind)}")
            lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
            for field, *_ in kind._fields_:
                descriptor = getattr(kind, field)
                expected.append(f"{name}.{field} {descriptor.offset} {descriptor.size}")
                lines.append(
                    f'printf("{name}.{field} %zu %zu\\n", offsetof({name}, {field}), sizeof((({name} *)0)->{field}));')
            if kind._fields_[0][0] != "struct_size":
                continue
            self.assertEqual(getattr(kind, "struct_size").offset, 0)
        self.assertGreater(len(expected), 200)
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / "layout.c"
            source.write_text("#include <stdio.h>\n#include <embedjobs.h>\nint main(void) {\n" + "\n".join(lines) +
                              "\nreturn 0;\n}\n",
                              encoding="ascii")
            subprocess.run([compiler, "-I", str(HEADER.parent), "-o", f"{folder}/layout", str(source)], check=True)
            actual = subprocess.run([f"{folder}/layout"], check=True, capture_output=True,
                                    text=True).stdout.splitlines()
        self.assertEqual(actual, expected)

    def test_the_mirror_is_the_one_that_the_generator_makes_of_the_header(self):
        folder = HEADER.parent / "python"
        with mock.patch.object(sys, "path", [str(folder), *sys.path]):
            import generate_abi  # pylint: disable=import-outside-toplevel,import-error
        text = HEADER.read_text(encoding="utf-8")
        made = generate_abi.Mirror(generate_abi.Header(text)).source()
        self.assertEqual((folder / "embedjobs" / "_abi.py").read_text(encoding="utf-8"), made)
        grown = text.replace("  int64_t vector_grace_ms;\n", "  int64_t vector_grace_ms;\n  int64_t one_more;\n")
        self.assertIn('("one_more", c_int64)', generate_abi.Mirror(generate_abi.Header(grown)).source())
        with self.assertRaisesRegex(SystemExit, "what this generator does not know: union"):
            generate_abi.Header(text.replace("typedef struct embedjobs_engine embedjobs_engine;", "union embedjobs_x;"))

    def test_every_function_of_the_header_has_a_prototype(self):
        header = re.sub(r"/\*.*?\*/", "", HEADER.read_text(encoding="utf-8"), flags=re.S)
        functions = re.findall(r"^EMBEDJOBS_API [^;(]*?\*?embedjobs_(\w+)\(([^;]*)\);", header, re.M)
        self.assertEqual({name for name, _ in functions}, set(_abi.PROTOTYPES))
        for name, parameters in functions:
            count = 0 if parameters.strip() == "void" else parameters.count(",") + 1
            self.assertEqual(len(_abi.PROTOTYPES[name][1]), count, name)


if __name__ == "__main__":
    unittest.main()
