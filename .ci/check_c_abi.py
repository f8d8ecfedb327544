#!/usr/bin/env python3
"""The binary interface of embedjobs.h against the committed baseline.
check_c_abi.py HEADER BASELINE [update]: with "update" the baseline is written anew, after an addition and before a
release.

What is compared is a stand-in: every declaration of the header as an empty function of a C library with debug
information. So the layouts are those that a host's compiler sees, and nothing that the library hides counts.
check_c_symbols.sh looks at the library itself."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

# Exit codes of abidiff are bits: 1 and 2 are errors of its own, 4 a change, 8 an incompatible one.
ERROR_BITS = 3


def stand_in(header):
    """The source of a library with the header's functions, a variable of each enumeration, and one whose type has the
    constants."""
    text = re.sub(r"/\*.*?\*/", "", header.read_text(encoding="utf-8"), flags=re.S)
    lines = [f'#include "{header.resolve()}"']
    declaration = r"^EMBEDJOBS_API\s+([^(;]*?[\s*])(embedjobs_\w+)\(([^;]*)\);"
    for returned, name, parameters in re.findall(declaration, text, flags=re.M):
        body = "" if returned.strip() == "void" else "return 0;"
        lines.append(f"{returned}{name}({parameters}) {{ {body} }}")
    constants = re.findall(r"^#define (EMBEDJOBS_\w+) \w+$", text, flags=re.M)  # hosts are compiled with their values
    numbers = ", ".join(f"abi_of_{name} = {name}" for name in constants)
    lines.append("enum embedjobs_abi_constants { %s } embedjobs_abi_of_constants;" % numbers)
    enumerations = re.findall(r"^typedef enum (embedjobs_\w+)", text, flags=re.M)
    lines += [f"{name} embedjobs_abi_of_{name};" for name in enumerations]
    return "\n".join(lines) + "\n"


def build(header, folder):
    source, library = folder / "stand_in.c", folder / "stand_in.so"
    source.write_text(stand_in(header), encoding="utf-8")
    subprocess.run(["gcc", "-std=c11", "-g", "-O0", "-w", "-fPIC", "-shared", "-fdebug-prefix-map=%s=." % folder, "-o",
                    library, source], check=True)
    return library


def main():
    header, baseline = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    if shutil.which("abidiff") is None:
        print("abidiff is not installed (Debian: abigail-tools): the binary interface is not compared")
        return 77
    with tempfile.TemporaryDirectory() as name:
        library = build(header, pathlib.Path(name))
        if sys.argv[3:] == ["update"]:
            subprocess.run(
                ["abidw", "--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", "--out-file", baseline, library],
                check=True)
            return 0
        # Leaves: each changed type once, and nothing about the types that lead to it.
        done = subprocess.run(["abidiff", "--leaf-changes-only", "--no-show-locs", baseline, library],
                              capture_output=True, text=True)
    if done.returncode & ERROR_BITS:
        print(done.stdout + done.stderr)
        return 2
    # Of a changed type only the report tells whether it is incompatible.
    if not only_appended(done.stdout):
        print(done.stdout)
        print("the binary interface changed: functions, members and numbers are appended, never moved or removed")
        return 1
    print("the binary interface is that of the baseline, or more")
    return 0


def only_appended(report):
    """A struct that grew at its end, or an enumeration with a new number, is what hosts are prepared for."""
    # Of a function the report says something only where its own type is another one: what its structs became stands by
    # itself.
    if "Removed functions" in report or "Removed variables" in report or "[D]" in report or "[C] 'function" in report:
        return False
    harmful = (r"offset changed|pointer type changed|data member deletion|enumerator deletion|enumerator change|"
               r"data member change|parameter \d+ of type .* was removed|parameter \d+ of type .* was added|"
               r"return type changed|type name changed|changed from '|parameter \d+ .*:.*\n.*size changed")
    return re.search(harmful, report.replace("type size changed", "")) is None


sys.exit(main())
