#!/usr/bin/env python3
"""Who may include whom.

The tables "Rooms" and "Libraries" of docs/architecture.md are the rules; the includes are read from the files.

usage: check_layers.py           fails on every include that the tables do not allow
       check_layers.py --prove   adds one wrong include of each kind in memory, and fails if one is let through
"""
import os.path
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/architecture.md"
# One file makes the backends; nothing else in core names one.
OPENING_FILE = "src/core/engine/engine_open.cpp"
# Where a file's includes are looked for, as the builds do.
ROOTS = ["src", "include", "capi", "tests", ""]
# Of the system: the C library, POSIX, Linux and the compiler. Headers without an ending are those of standard C++.
SYSTEM = re.compile(r"(sys/\w+|stdlib|stdint|stddef|stdio|string|time|signal|unistd|fcntl|poll|pthread|cxxabi"
                    r"|immintrin)\.h$")
INCLUDE = re.compile(r"^[ \t]*(?:#|%:)[ \t]*include[ \t]*(.*?)[ \t]*$", re.M)
# (file, what its text would say, a part of what is to be said about it)
WRONG = [
    ("src/core/worker/pass.cpp", '#include "core/engine/engine_impl.hpp"', "may not include"),
    ("src/core/worker/pass.cpp", '#include "../engine/engine_impl.hpp"', "may not include"),
    ("src/core/worker/pass.cpp", "#include <core/engine/engine_impl.hpp>", "may not include"),
    ("src/core/worker/pass.cpp", '#include "embedjobs/engine.hpp"', "may not include"),
    ("src/core/worker/pass.cpp", '#include "embedjobs/http.hpp"', "may not include"),
    ("src/core/worker/pass.cpp", '#include "embedjobs/openapi.hpp"', "may not include"),
    ("src/core/rules/store_rules.cpp", '#include "core/worker/pass.hpp"', "may not include"),
    ("src/core/rules/vectors.cpp", '#include "embedjobs/worker.hpp"', "may not include"),
    ("src/core/rules/vectors.cpp", '#include "embedjobs/embedjobs.hpp"', "may not include"),
    ("src/core/rules/vectors.cpp", "#include <embedjobs/sqlite.hpp>", "may not include"),
    ("src/core/rules/vectors.cpp", '/* c */ #include "../../sqlite/database.hpp"', "may not include"),
    ("src/core/rules/vectors.cpp", '#include /* c */ "../../sqlite/database.hpp"', "may not include"),
    ("src/core/rules/vectors.cpp", '#inc\\\nlude "../../sqlite/database.hpp"', "may not include"),
    ("src/core/rules/vectors.cpp", '%:include "../../sqlite/database.hpp"', "may not include"),
    ("src/core/rules/vectors.cpp", "#include HEADER", "computed"),
    ("src/core/rules/vectors.cpp", "#include <zlib.h>", "no row"),
    ("src/core/rules/vectors.cpp", "#include <nlohmann/json.hpp>", "no row"),
    ("src/core/rules/vectors.cpp", "#include <postgresql/libpq-fe.h>", "no row"),
    ("src/core/rules/vectors.cpp", "#include <catch2/catch.hpp>", "which is for"),
    ("src/core/rules/vectors.hpp", '#include "core/backend/finalize.hpp"', "may not include"),
    ("src/core/backend/finalize.cpp", '#include "core/worker/plan.hpp"', "may not include"),
    ("src/core/values/space.cpp", '#include "core/rules/limits.hpp"', "may not include"),
    ("src/core/values/utf8.hpp", '#include "../../../tests/support/results.hpp"', "may not include"),
    ("src/core/runtime/log_queue.cpp", '#include "core/rules/limits.hpp"', "may not include"),
    ("src/core/maintenance/reconcile.cpp", '#include "core/worker/worker_machine.hpp"', "may not include"),
    ("src/core/engine/engine.cpp", '#include "core/backend/sweep.hpp"', "may not include"),
    ("src/core/engine/engine.cpp", '#include "embedjobs/sqlite.hpp"', "may not include"),
    ("src/core/worker/worker.cpp", '#include "sqlite/database.hpp"', "may not include"),
    ("src/sqlite/store.cpp", '#include "postgres/database.hpp"', "may not include"),
    ("src/sqlite/store.cpp", '#include "embedjobs/postgres.hpp"', "may not include"),
    ("src/memory/store.cpp", '#include "core/worker/pass.hpp"', "may not include"),
    ("src/openapi/openapi.cpp", '#include "core/backend/sweep.hpp"', "may not include"),
    ("src/core/engine/engine.cpp", "#include <sqlite3.h>", "which is for"),
    ("src/sqlite/store.cpp", "#include <libpq-fe.h>", "which is for"),
    ("src/sqlite/store.cpp", '#include "no_such_file.hpp"', "not in the tree"),
    ("include/embedjobs/engine.hpp", "#include <fmt/format.h>", "which is for"),
    ("include/embedjobs/engine.hpp", '#include "core/values/guard.hpp"', "may not include"),
    ("include/embedjobs/worker.hpp", '#include "embedjobs/sys/store.hpp"', "may not include"),
    ("capi/src/error.cpp", '#include "core/worker/pass.hpp"', "may not include"),
    ("capi/src/error.cpp", '#include "core/rules/limits.hpp"', "may not include"),
    ("capi/src/error.cpp", '#include "core/runtime/hosted_runtime.hpp"', "may not include"),
    ("examples/command/work.cpp", '#include "core/values/utf8.hpp"', "may not include"),
    ("examples/command/work.cpp", '#include "../../src/core/values/utf8.hpp"', "may not include"),
    ("examples/command/work.cpp", '#include "conformance/database.hpp"', "may not include"),
    ("examples/store/store_kit.cpp", '#include "core/values/utf8.hpp"', "may not include"),
    ("tests/conformance/scene.cpp", '#include "core/values/utf8.hpp"', "may not include"),
]


def table_after(heading, text):
    """The rows of the first table under a heading, each a list of cells without backquotes."""
    section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().replace("`", "") for cell in row.strip("|").split("|")] for row in rows[2:]]


class Rules:
    def __init__(self):
        text = PAGE.read_text(encoding="utf-8")
        # room -> rooms it may include; a room is the longest folder that a path begins with.
        self.rooms = {}
        for room, _, may in table_after("Rooms", text):
            names = [name.strip().rstrip("/") for name in may.split(",")]
            self.rooms[room.rstrip("/")] = {name for name in names if name not in ("", "nothing")}
        # public header -> rooms of src and capi that may include it
        self.owners = {}
        for headers, rooms in table_after("Headers of one room", text):
            for header in headers.split(","):
                self.owners[header.strip()] = {name.strip() for name in rooms.split(",")}
        # header prefix -> rooms that may include it
        self.libraries = []
        for _, _, headers, rooms in table_after("Libraries", text):
            for header in headers.split(","):
                self.libraries.append((header.strip(), {name.strip().rstrip("/") for name in rooms.split(",")}))

    def room_of(self, path):
        fitting = [room for room in self.rooms if path.startswith(room + "/")]
        return max(fitting, key=len) if fitting else None

    def problem(self, path, include):
        """What is wrong with `include`, written as in the source, in the file `path`; None when nothing is."""
        room = self.room_of(path)
        if room is None:
            return f"{path}: is in no room of docs/architecture.md"
        if not re.fullmatch(r'"[^"]+"|<[^>]+>', include):
            return f"{path}: includes {include}, which is computed: write the header's name"
        name = include[1:-1]
        target = self.resolve(path, name, include.startswith("<"))
        if target is not None:
            return self.arrow(path, room, target)
        if include.startswith("<"):
            return self.library(path, name)
        made = name == "_cgo_export.h"  # by the Go tool
        return None if made else f"{path}: includes \"{name}\", which is not in the tree"

    def arrow(self, path, room, target):
        owners = self.owners.get(target.removeprefix("include/"))
        if owners is not None and path.startswith(("src/", "capi/")):
            # What its owners may, their headers may too; and one file opens every backend.
            allowed = any(room == owner or room.startswith(owner + "/") for owner in owners) or path == OPENING_FILE
            whose = ", ".join(sorted(owners))
            return None if allowed else f"{path}: {room} may not include {target}, which is for {whose}"
        target_room = self.room_of(target)
        if target_room != room and not {target_room, target} & self.rooms[room]:
            return f"{path}: {room} may not include {target}, which is in {target_room or 'no room'}"
        return None

    def library(self, path, name):
        for header, rooms in self.libraries:
            if name.startswith(header):
                allowed = any(path.startswith(room + "/") for room in rooms)
                return None if allowed else f"{path}: includes <{name}>, which is for {', '.join(sorted(rooms))}"
        standard = not re.search(r"[./]", name) or SYSTEM.match(name)
        return None if standard else f"{path}: includes <{name}>, whose library has no row in docs/architecture.md"

    @staticmethod
    def resolve(path, name, angle):
        """The file of ours that is meant; None where there is none."""
        folders = ([] if angle else [os.path.dirname(path)]) + ROOTS
        for folder in folders:
            candidate = os.path.normpath(os.path.join(folder, name))
            if not candidate.startswith("..") and (ROOT / candidate).is_file():
                return candidate
        return None


def includes_of(text):
    """What stands behind each #include, without comments and with lines joined that end in a backslash."""
    text = re.sub(r"\\\n", "", text)
    # Literals are kept: a "/*" in one is no comment.
    text = re.sub(r'R"([^\s()\\]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/',
                  lambda found: found.group() if found.group()[0] == '"' else " ", text, flags=re.S)
    return INCLUDE.findall(text)


def sources():
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "include", "src", "capi", "examples",
               "tests/conformance"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    return [name for name in names if re.search(r"\.(hpp|cpp|h|c|cpp\.in)$", name) and (ROOT / name).exists()]


def said_of(rules, path, text):
    """What is wrong with a file that has this text; empty when nothing is, or there is no such file."""
    if not (ROOT / path).is_file():
        return ""
    return "".join(rules.problem(path, include) or "" for include in includes_of(text))


def main():
    rules = Rules()
    if sys.argv[1:] == ["--prove"]:
        missed = [f"{path}: {text}" for path, text, reason in WRONG if reason not in said_of(rules, path, text)]
        for line in missed:
            print(f"let through, or for another reason: {line}", file=sys.stderr)
        print(f"{len(WRONG) - len(missed)} of {len(WRONG)} wrong includes found")
        return 1 if missed else 0
    problems = []
    for path in sources():
        for include in includes_of((ROOT / path).read_text(encoding="utf-8")):
            problem = rules.problem(path, include)
            if problem:
                problems.append(problem)
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(problems)} includes that docs/architecture.md does not allow")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
