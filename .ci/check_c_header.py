#!/usr/bin/env python3
"""The C header's own promises: it compiles everywhere, every function, struct and option is documented, every function,
member and number is tested.
check_c_header.py [compile]: with "compile", also compiles it as C99, C11 and C++17 with gcc and clang."""
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADER = ROOT / "capi/embedjobs.h"
problems = []


def read_tests():
    files = [
        *ROOT.glob("tests/capi/*.[ch]*"), *ROOT.glob("examples/c/*.c"), *ROOT.glob("capi/python/**/test*.py"),
        *ROOT.glob("capi/go/**/*_test.go")
    ]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def mentioned(name, tests):
    return re.search(rf"\b{re.escape(name)}\b", tests) is not None


def check_functions(text, tests):
    """Each has a comment that ends right above it, and is called in a test."""
    for match in re.finditer(r"^EMBEDJOBS_API [^(]*?(embedjobs_\w+)\(", text, flags=re.M):
        above = text[:match.start()].rstrip()
        if not above.endswith("*/") or re.search(r"(----|====) \*/$", above):  # a heading says nothing of a function
            problems.append(f"{match[1]}: no comment stands above it")
        if not mentioned(match[1], tests):
            problems.append(f"{match[1]}: no test mentions it")


def check_members(text, tests):
    """The members of structs that a host fills or reads: one comment above the struct or in it at least, and each is
    mentioned in a test."""
    for match in re.finditer(r"typedef struct (embedjobs_\w+) \{(.*?)\n\} \1;", text, flags=re.S):
        is_list = "*const *items;" in match[2]  # which are all told of in one place
        if "/*" not in match[2] and not text[:match.start()].rstrip().endswith("*/") and not is_list:
            problems.append(f"{match[1]}: no comment stands above it, nor in it")
        body = re.sub(r"/\*.*?\*/", "", match[2], flags=re.S)
        names = re.findall(r"(?:\(\*(\w+)\)\([^;]*\)|[\s*](\w+));", body)
        for name in (a or b for a, b in names):
            if name not in ("struct_size", "reserved") and not mentioned(name, tests):
                problems.append(f"{match[1]}.{name}: no test mentions it")


def check_numbers(text, tests):
    """A number is asserted to be that of C++, or a test mentions it."""
    asserted = (ROOT / "capi/src/enum_numbers.cpp").read_text(encoding="utf-8")
    for body in re.findall(r"typedef enum \w+ \{(.*?)\}", text, flags=re.S):
        for name in re.findall(r"\b(EMBEDJOBS_\w+) = -?\d+", body):
            if f"is({name}, " not in asserted and not mentioned(name, tests):
                problems.append(f"{name}: neither capi/src/enum_numbers.cpp nor a test mentions it")


def check_options(text):
    """Each option has its own comment, or shares that of the line above."""
    body = re.search(r"typedef struct embedjobs_options \{(.*?)\n\} embedjobs_options;", text, flags=re.S)[1]
    lines = [line for line in body.splitlines() if line.strip()]
    for number, line in enumerate(lines):
        if re.match(r"\s+\w.*;", line) and "struct_size" not in line:
            above = lines[number - 1] if number else ""
            if "/*" not in line and not above.rstrip().endswith("*/") and not re.match(r"\s+\w.*;", above):
                problems.append(f"embedjobs_options: no comment above {line.strip()}")


def check_guide(text):
    """The guide names every struct that a host fills."""
    guide = (ROOT / "docs/c-abi.md").read_text(encoding="utf-8")
    for name in re.findall(r"const (embedjobs_\w+) \*(?:host_\w+|observer|secret_source);", text):
        if name not in guide:
            problems.append(f"docs/c-abi.md: says nothing of {name}")


def check_compiles():
    strict = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only"]
    for compiler, language, standard in [(c, "c", s) for c in ("gcc", "clang-14") for s in ("c99", "c11")] + [
            (c, "c++", "c++17") for c in ("g++", "clang++-14")]:
        if shutil.which(compiler) is None:
            print(f"{compiler} is not installed: the header is not compiled with it")
            continue
        command = [compiler, f"-std={standard}", *strict, "-x", language, str(HEADER)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            problems.append(f"{compiler} -std={standard}: {done.stderr.strip()}")


header = HEADER.read_text(encoding="utf-8")
for include in re.findall(r"#include (\S+)", header):
    if include not in ("<stddef.h>", "<stdint.h>"):
        problems.append(f"embedjobs.h includes {include}: headers of the C standard only")
tests_text = read_tests()
check_functions(header, tests_text)
check_members(header, tests_text)
check_numbers(header, tests_text)
check_options(header)
check_guide(header)
if "compile" in sys.argv[1:]:
    check_compiles()
for problem in problems:
    print(problem)
print("embedjobs.h:", f"{len(problems)} problems" if problems else "everything is documented, tested and compiles")
sys.exit(1 if problems else 0)
