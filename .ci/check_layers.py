#!/usr/bin/env python3
"""Who may include whom.

The tables "Rooms" and "Libraries" of docs/architecture.md are the rules; the includes are read from the files.

usage: check_layers.py           fails on every include that the tables do not allow
       check_layers.py --prove   adds one wrong include of each kind in memory, and fails if one is let through
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/architecture.md"
# One file makes the backends; nothing else in core names one.
OPENING_FILE = "src/core/engine/engine_open.cpp"
BACKEND_HEADERS = re.compile(r"embedjobs/(memory|sqlite|postgres|postgres_enqueue)\.hpp$")
WRONG = [
    ("src/core/worker/pass.cpp", '"core/engine/engine_impl.hpp"'),
    ("src/core/rules/store_rules.cpp", '"core/worker/pass.hpp"'),
    ("src/core/rules/vectors.hpp", '"core/backend/finalize.hpp"'),
    ("src/core/backend/finalize.cpp", '"core/worker/plan.hpp"'),
    ("src/core/values/space.cpp", '"include/embedjobs/sys/store_rules.hpp"'),
    ("src/core/runtime/log_queue.cpp", '"include/embedjobs/sys/store_rules.hpp"'),
    ("src/core/maintenance/reconcile.cpp", '"core/worker/worker_machine.hpp"'),
    ("src/core/engine/engine.cpp", '"core/backend/sweep.hpp"'),
    ("src/core/engine/engine.cpp", '"embedjobs/sqlite.hpp"'),
    ("src/core/worker/worker.cpp", '"sqlite/database.hpp"'),
    ("src/sqlite/store.cpp", '"postgres/database.hpp"'),
    ("src/memory/store.cpp", '"core/worker/pass.hpp"'),
    ("src/openapi/openapi.cpp", '"core/backend/sweep.hpp"'),
    ("src/core/engine/engine.cpp", "<sqlite3.h>"),
    ("src/sqlite/store.cpp", "<libpq-fe.h>"),
    ("include/embedjobs/engine.hpp", "<fmt/format.h>"),
    ("include/embedjobs/engine.hpp", '"core/values/guard.hpp"'),
    ("include/embedjobs/worker.hpp", '"embedjobs/sys/store.hpp"'),
    ("capi/src/error.cpp", '"include/embedjobs/sys/store_rules.hpp"'),
    ("examples/command/work.cpp", '"core/values/utf8.hpp"'),
    ("examples/store/store_kit.cpp", '"core/values/utf8.hpp"'),
    ("examples/store/store_kit.cpp", '"support/temp_folder.hpp"'),
    ("examples/command/work.cpp", '"conformance/database.hpp"'),
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
        name = include[1:-1]
        if include.startswith("<"):
            for header, rooms in self.libraries:
                if name.startswith(header) and not any(path.startswith(allowed + "/") for allowed in rooms):
                    return f"{path}: includes <{name}>, which is for {', '.join(sorted(rooms))}"
            # A header with a folder or an ending belongs to a library, which has its row.
            known = any(name.startswith(header) for header, _ in self.libraries)
            if path.startswith("include/") and re.search(r"[./]", name) and not known:
                return f"{path}: includes <{name}>: public headers take the standard library alone"
            return None
        target = self.resolve(path, name)
        if name == "_cgo_export.h":
            return None  # made by the Go tool
        if target is None:
            return f"{path}: includes \"{name}\", which is not in the tree"
        target_room = self.room_of(target)
        if target_room != room and target_room not in self.rooms[room]:
            return f"{path}: {room} may not include {target_room or target} (\"{name}\")"
        if room.startswith("src/core") and BACKEND_HEADERS.match(name) and path != OPENING_FILE:
            return f"{path}: only {OPENING_FILE} names a backend (\"{name}\")"
        return None

    @staticmethod
    def resolve(path, name):
        beside = pathlib.PurePosixPath(path).parent / name
        for candidate in (beside, pathlib.PurePosixPath("src") / name, pathlib.PurePosixPath("include") / name,
                          pathlib.PurePosixPath("capi") / name, pathlib.PurePosixPath("tests") / name):
            if (ROOT / candidate).is_file():
                return str(candidate)
        return None


def sources():
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "include", "src", "capi", "examples"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    return [name for name in names if re.search(r"\.(hpp|cpp|h|c|cpp\.in)$", name) and (ROOT / name).exists()]


def main():
    rules = Rules()
    if sys.argv[1:] == ["--prove"]:
        missed = [f"{path}: {include}" for path, include in WRONG
                  if not (ROOT / path).is_file() or rules.problem(path, include) is None]
        for line in missed:
            print(f"let through, or no such file: {line}", file=sys.stderr)
        print(f"{len(WRONG) - len(missed)} of {len(WRONG)} wrong includes found")
        return 1 if missed else 0
    problems = []
    for path in sources():
        text = (ROOT / path).read_text(encoding="utf-8")
        for include in re.findall(r'^\s*#\s*include\s+("[^"]+"|<[^>]+>)', text, flags=re.M):
            problem = rules.problem(path, include)
            if problem:
                problems.append(problem)
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(problems)} includes that docs/architecture.md does not allow")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
