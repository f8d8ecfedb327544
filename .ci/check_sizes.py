#!/usr/bin/env python3
"""How large things may be: a file 500 lines, a function 60, a line 120 columns.

usage: check_sizes.py           fails on everything that is larger
       check_sizes.py --prove   fails if one of some files that are too large, made in memory, is let through

A function that is a table (one switch, one row a case) says so in a comment "table: ..." right above it, and may be
longer. Initialisers are no functions. Data, documents and generated files are not looked at.
"""
import ast
import fnmatch
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MOST_FILE_LINES = 500
MOST_FUNCTION_LINES = 60
MOST_COLUMNS = 120
CODE = re.compile(r"\.(hpp|cpp|h|c|sql|py|go|sh|cmake|in)$|(^|/)CMakeLists\.txt$|^\.ci/run$")
# The C header is one page on purpose, and prose by half.
LONG_FILES = ["capi/embedjobs.h"]
QUALIFIERS = re.compile(r"(\s|\b(const|noexcept|override|final|try|mutable)\b|&|->\s*[\w:<>,\s*&.]+$)+$")


def blanked(text):
    """C or C++ with comments, literals and preprocessor lines as blanks; lines stay where they are."""
    token = re.compile(
        r'R"(?P<mark>[^\s()\\]{0,16})\(.*?\)(?P=mark)"'
        r'|//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|(?<![\w\'])\'(?:\\.|[^\'\\\n])+\'|^[ \t]*#(?:\\\n|[^\n])*',
        re.S | re.M)
    return token.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)


def closing(text, at):
    """Where the brace or parenthesis at `at` closes."""
    depth = 0
    for i in range(at, len(text)):
        depth += (text[i] in "{(") - (text[i] in "})")
        if depth == 0:
            return i
    return len(text) - 1


def is_scope(head):
    return re.match(r"(inline\s+)?namespace\b|extern\s*$", head) or (
        re.search(r"\b(class|struct|union)\b", head) and "(" not in head)


def is_function(head):
    return "(" in head and QUALIFIERS.sub("", head)[-1:] in (")", "}") or re.search(r"\)\s*:[^:]", head)


def c_functions(text):
    """(first line, last line) of every function of a file, a namespace or a class; lambdas are part of theirs."""
    text = blanked(text)
    start = i = 0
    while i < len(text):
        c = text[i]
        if c == "(":
            i = closing(text, i)
        elif c in ";}" or (c == ":" and re.fullmatch(r"\s*(public|private|protected)", text[start:i])):
            start = i + 1
        elif c == "{":
            head = text[start:i].strip()
            if not is_scope(head):
                end = closing(text, i)
                after = text[end + 1:].lstrip()[:1]
                if is_function(head) and not (re.search(r"\)\s*:[^:]", head) and after in (",", "{")):
                    first = start + len(text[start:i]) - len(text[start:i].lstrip())
                    yield text.count("\n", 0, first) + 1, text.count("\n", 0, end) + 1
                    start = end + 1
                i = end
            else:
                start = i + 1
        i += 1


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.end_lineno


def matched_functions(begin, end):
    """Functions whose first line matches `begin` and whose last one is the next that matches `end`."""
    def functions(text):
        first = 0
        for number, line in enumerate(text.splitlines(), 1):
            if first == 0 and re.search(begin, line):
                first = number
            if first and re.search(end, line):
                yield first, number
                first = 0
    return functions


FUNCTIONS = {
    ".cpp": c_functions, ".hpp": c_functions, ".c": c_functions, ".h": c_functions, ".py": python_functions,
    ".go": matched_functions(r"^func ", r"^}|^func .*}$"),
    ".sh": matched_functions(r"^\w+\(\) \{", r"^}|^\w+\(\) \{.*}$"),
    ".sql": matched_functions(r"^CREATE (OR REPLACE )?FUNCTION", r"^\$\w*\$.*;$|^END;?$|^\$\w*\$;?$"),
}


def problems_of(path, text):
    lines = text.splitlines()
    if len(lines) > MOST_FILE_LINES and path not in LONG_FILES:
        yield f"{path}: {len(lines)} lines, at most {MOST_FILE_LINES}"
    for first, last in FUNCTIONS.get(pathlib.PurePosixPath(path).suffix, lambda _: ())(text):
        is_table = first > 1 and re.match(r"\s*(//|--|#).*\btable: ", lines[first - 2])
        if last - first + 1 > MOST_FUNCTION_LINES and not is_table:
            yield f"{path}:{first}: a function of {last - first + 1} lines, at most {MOST_FUNCTION_LINES}"
    for number, line in enumerate(lines, 1):
        if len(line) > MOST_COLUMNS:
            yield f"{path}:{number}: {len(line)} columns, at most {MOST_COLUMNS}"


def sources():
    names = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout.split("\n")
    return [name for name in names if CODE.search(name) and (ROOT / name).is_file() and "/corpus/" not in name]


def prove():
    body = "  call();\n" * MOST_FUNCTION_LINES
    wrong = {
        "long.cpp": "int a;\n" * (MOST_FILE_LINES + 1),
        "wide.sql": "-- " + "x" * MOST_COLUMNS + "\n",
        "plain.cpp": f"namespace a {{\nvoid f(int x = {{}}) {{\n{body}}}\n}}\n",
        "member.hpp": f"class A : B {{\n public:\n  A() : x_{{1}}, y_(2) {{\n{body}}}\n}};\n",
        "trailing.cpp": f"auto f() const noexcept -> std::vector<int> {{\n{body}}}\n",
        "literal.cpp": f"const char* k = R\"({{{{)\";\nchar c = '{{';\nTEST_CASE(\"a )\") {{\n{body}}}\n",
        "separated.cpp": f"const int n = 1'000;\nvoid f() {{\n{body}}}\n",
        "f.py": "def f():\n" + "    call()\n" * MOST_FUNCTION_LINES,
        "f.go": f"func f() {{\n{body}}}\n",
        "f.sh": f"f() {{\n{body}}}\n",
    }
    right = {
        "table.cpp": f"// table: one row a case\nvoid f() {{\n{body}}}\n",
        "rows.cpp": f"constexpr std::array<Row, size()> kRows{{{{\n{body}}}}};\n",
        "two.cpp": f"struct A {{\n  void f() {{}}\n  int g() {{\n  }}\n}};\nint k = 1;\n{body}",
    }
    missed = [name for name, text in wrong.items() if not list(problems_of(name, text))]
    missed += [name for name, text in right.items() if list(problems_of(name, text))]
    print(f"{len(wrong) + len(right) - len(missed)} of {len(wrong) + len(right)} cases judged as they should be")
    for name in missed:
        print(f"judged wrongly: {name}", file=sys.stderr)
    return 1 if missed else 0


def main():
    if sys.argv[1:] == ["--prove"]:
        return prove()
    problems = [problem for path in sources()
                for problem in problems_of(path, (ROOT / path).read_text(encoding="utf-8"))]
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(problems)} files, functions and lines that are too large")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
