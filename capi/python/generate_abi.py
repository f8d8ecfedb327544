#!/usr/bin/env python3
"""Writes embedjobs/_abi.py, the ctypes mirror of embedjobs.h. The result is checked in, so that users need no
generator.
generate_abi.py [check]: with "check" nothing is written; it fails when the checked-in file is not that of the header.

The header is read by its own habits: one declaration is `typedef enum X {...} X;`, `typedef struct X {...} X;`,
`typedef struct X X;` for a handle, `#define X NUMBER`, or `EMBEDJOBS_API ... embedjobs_x(...);`. What is none of these
ends the run, so that nothing is left out in silence."""
import difflib
import os
import pathlib
import re
import sys
import textwrap

HERE = pathlib.Path(__file__).resolve().parent
HEADER = HERE.parent / "embedjobs.h"
MIRROR = HERE / "embedjobs" / "_abi.py"
WIDTH = 120

NUMBERS = {
    "size_t": "c_size_t",
    "int32_t": "c_int32",
    "int64_t": "c_int64",
    "uint64_t": "c_uint64",
    "double": "c_double"
}
PLAIN = {"void": "None", **NUMBERS}


def python_name(name):
    """embedjobs_spec_status: SpecStatus."""
    return "".join(part.capitalize() for part in name.replace("embedjobs_", "", 1).split("_"))


class Header:
    """What embedjobs.h declares, in its order."""

    def __init__(self, text):
        code = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        body = code[code.index("#define EMBEDJOBS_API\n") :]
        self.constants = re.findall(r"^#define EMBEDJOBS_(\w+) (\d+)$", body, flags=re.M)
        self.enums, self.structs, self.handles, self.functions = [], [], [], []
        self._texts = text
        body = re.sub(r'^#.*$|^extern "C" \{$|^\}$', "", body, flags=re.M)
        while body.strip():
            body = self._take(body.lstrip())

    def _take(self, body):
        """Reads one declaration; the rest."""
        for pattern, take in ((r"typedef enum (\w+) \{(.*?)\} \1;", self._enum),
                              (r"typedef struct (\w+) \{(.*?)\n\} \1;", self._struct),
                              (r"typedef struct (\w+) \1;", self.handles.append),
                              (r"EMBEDJOBS_API ([^;(]*?)embedjobs_(\w+)\(([^;]*)\);", self._function)):
            found = re.match(pattern, body, flags=re.S)
            if found:
                take(*found.groups())
                return body[found.end() :]
        sys.exit(f"embedjobs.h has what this generator does not know: {body[:200]}")

    def _enum(self, name, body):
        values = re.findall(r"(\w+) = (-?\d+)", body)
        if len(values) != len([part for part in body.split(",") if part.strip()]):
            sys.exit(f"{name}: each enumerator needs its number")
        prefix = os.path.commonprefix([value for value, _ in values])
        prefix = prefix[: prefix.rindex("_") + 1]
        self.enums.append((name, [(value[len(prefix) :], number) for value, number in values]))

    def _struct(self, name, body):
        self.structs.append((name, [declaration_of(part, name) for part in body.split(";") if part.strip()]))

    def _function(self, returned, name, parameters):
        self.functions.append((returned.strip(), name, parameters_of(parameters)))

    def comment_of(self, name):
        """The first sentence of the comment right above a typedef; "" where there is none."""
        found = re.search(rf"/\*((?:(?!\*/).)*?)\*/\ntypedef enum {name} ", self._texts, flags=re.S)
        if found is None or "====" in found[1]:
            return ""
        words = " ".join(re.sub(r"^\s*\*\*", "", found[1], flags=re.M).split())
        return re.split(r"(?<=\.) ", words)[0]


def declaration_of(text, where):
    """(type, name) of a member or parameter; the type of a function pointer is (returned, parameters)."""
    text = " ".join(text.split())
    pointer = re.fullmatch(r"(.+?)\(\*(\w+)\)\((.*)\)", text)
    if pointer:
        return (pointer[1].strip(), parameters_of(pointer[3])), pointer[2]
    plain = re.fullmatch(r"(.+?[ *])(\w+)", text)
    if plain is None:
        sys.exit(f"{where}: {text} is no declaration that this generator knows")
    return re.sub(r"\s*\*", "*", plain[1].replace("const", "")).replace(" ", ""), plain[2]


def parameters_of(text):
    return [] if text.strip() == "void" else [declaration_of(part, "parameters") for part in text.split(",")]


class Mirror:
    """The source of _abi.py."""

    def __init__(self, header):
        self._header = header
        self._structs = {name for name, _ in header.structs}
        self._handles = set(header.handles)

    def _pointed(self, kind):
        """The ctypes type of anything that is passed by value or by pointer, as a function of the library wants it."""
        if kind in PLAIN:
            return PLAIN[kind]
        if kind in self._structs:
            return python_name(kind)
        base = kind[:-1]
        known = {*PLAIN, "char", "float", "uint8_t", *self._structs, *self._handles}
        if kind[-1] != "*" or base.rstrip("*") not in known:
            sys.exit(f"{kind} is no type that this generator knows")
        if base == "char":
            return "c_char_p"
        if base in ("void", "float", "uint8_t", "uint64_t", *self._handles):
            return "c_void_p"
        return f"POINTER({self._pointed(base)})"

    def _of_callback(self, kind, following):
        """Of a callback's parameter: what it points to is read by address, which is faster; names are bytes."""
        if kind == "char*" and following != "size":
            return "c_char_p"
        if kind == "char**":
            return "POINTER(c_char_p)"
        return "c_void_p" if kind.endswith("*") else PLAIN[kind]

    def _of_member(self, kind, name, names):
        """Of a struct's member. Text with a size or offsets beside it may contain NUL, and is read by address."""
        blob = f"{name}_size" in names or name in ("bytes", "ids")
        return "c_void_p" if kind == "char*" and blob else self._pointed(kind)

    def _callback(self, name, kind):
        returned, parameters = kind
        following = [name for _, name in parameters[1:]] + [""]
        arguments = [self._of_callback(one, after) for (one, _), after in zip(parameters, following)]
        return filled(f"{name} = ctypes.CFUNCTYPE(", [PLAIN[returned], *arguments], ")")

    def _struct(self, name, members):
        lines, fields = [], []
        names = [member for _, member in members]
        for kind, member in members:
            if isinstance(kind, tuple):
                callback = python_name(name) + python_name(member)
                lines += self._callback(callback, kind)
                fields.append(f'("{member}", {callback})')
            else:
                fields.append(f'("{member}", {self._of_member(kind, member, names)})')
        base = "Struct" if names[0] == "struct_size" else "ctypes.Structure"
        return [*lines, *(["", ""] if lines else []), f"class {python_name(name)}({base}):",
                *filled("    _fields_ = [", fields, "]")]

    def _enum(self, name, values):
        comment = self._header.comment_of(name)
        body = textwrap.wrap(f'"""{comment}"""', WIDTH - 4) + [""] if comment else []
        return [f"class {python_name(name)}(enum.IntEnum):", *("    " + line if line else "" for line in body),
                *(f"    {value} = {number}" for value, number in values)]

    def source(self):
        header = self._header
        blocks = [[f"{name} = {value}" for name, value in header.constants]]
        blocks += [self._enum(*enum) for enum in header.enums]
        blocks += [self._struct(*struct) for struct in header.structs]
        prototypes = ["PROTOTYPES: Dict[str, Tuple[Any, List[Any]]] = {"]
        for returned, name, parameters in header.functions:
            result = PLAIN.get(returned) or self._pointed(returned.replace("const ", "").replace(" ", ""))
            arguments = [self._pointed(kind) for kind, _ in parameters]
            prototypes += filled(f'    "{name}": ({result}, [', arguments, "]),")
        blocks.append([*prototypes, "}", "function = load(PROTOTYPES)"])
        return PRELUDE + "\n\n\n".join("\n".join(block) for block in blocks) + "\n"


PRELUDE = '''"""embedjobs.h in ctypes: numbers, layouts and prototypes. Made by generate_abi.py; not to be edited.

Pointers that callbacks get are plain addresses: from_address is faster. A callback's first argument is user_data."""
import ctypes
import enum
from ctypes import POINTER, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint64, c_void_p
from typing import Any, Dict, List, Tuple

from ._library import Struct, load

'''


def filled(begin, parts, end):
    """The parts in one line, or in as few as they fit in."""
    line = begin + ", ".join(parts) + end
    if len(line) <= WIDTH:
        return [line]
    indent = " " * (len(begin) - len(begin.lstrip()) + 4)
    wrapped = textwrap.wrap(", ".join(part.replace(" ", "\0") for part in parts) + ",", WIDTH, initial_indent=indent,
                            subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return [begin, *(line.replace("\0", " ") for line in wrapped), indent[4:] + end]


def main():
    made = Mirror(Header(HEADER.read_text(encoding="utf-8"))).source()
    if sys.argv[1:] != ["check"]:
        MIRROR.write_text(made, encoding="utf-8")
        return 0
    present = MIRROR.read_text(encoding="utf-8")
    if present == made:
        print("_abi.py: as embedjobs.h says")
        return 0
    sys.stdout.writelines(
        difflib.unified_diff(present.splitlines(True), made.splitlines(True), str(MIRROR), "embedjobs.h"))
    print("_abi.py is not that of embedjobs.h: run capi/python/generate_abi.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
