#!/usr/bin/env python3
"""How large things may be: a file 500 lines, a function 60, a line 120 columns.

usage: check_sizes.py           fails on everything that is larger
       check_sizes.py --prove   fails if one of some files that are too large, made in memory, is let through

A function that is a table (one switch, one row a case) says so in a comment right above it, which begins with
"table: ", and may be longer. Initialisers are no functions. Of Markdown and YAML the columns are looked at. In Markdown
tables, blocks of code and the targets of links do not count. Data and generated files are not looked at.
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
PROSE = re.compile(r"\.(md|yml)$")


def blanked(text):
    """C or C++ with comments, literals and preprocessor lines as blanks; lines stay where they are."""
    token = re.compile(
        r'R"(?P<mark>[^\s()\\]{0,16})\(.*?\)(?P=mark)"'
        r'|//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|(?<![\w\'])(?:u8|[uUL])?\'(?:\\.|[^\'\\\n])+\''
        r'|^[ \t]*#(?:\\\n|[^\n])*',
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


def outline(head):
    """What stands before a brace, without what is in parentheses, and without template arguments."""
    head = re.sub(r"\[\[.*?\]\]", "", head, flags=re.S)
    head = re.sub(r"\boperator\s*(\(\s*\)|[^\w\s(]+)", "operator_", head).replace("->", "  ")
    before = None
    while head != before:  # from the inside out
        before, head = head, re.sub(r"\(([^()]|\x01\x02)+\)", "\x01\x02", head.replace("()", "\x01\x02"))
    head = head.replace("\x01\x02", "()")
    before = None
    while head != before:
        before, head = head, re.sub(r"(?<=[\w>])\s*<[^<>]*>", "", head)
    return head.strip()


def is_scope(head):
    """A namespace, or a class with its members; a function may return a struct."""
    if re.match(r"(inline\s+)?namespace\b|extern\s*$", head):
        return True
    class_key = re.match(r"((template|typedef|static|const|constexpr|inline)\b\s*)*(class|struct|union|enum)\b", head)
    attributes = r"\b(alignas|__attribute__|[A-Z][A-Z0-9_]*)\s*\(\)"
    return class_key and "(" not in re.sub(attributes, "", head[class_key.end():])


def is_function(head):
    return "(" in head and not head.endswith("=")


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
            head = outline(text[start:i].strip())
            if not is_scope(head):
                end = closing(text, i)
                after = text[end + 1:].lstrip()[:1]
                initialises = re.search(r"\)[\s\w]*:[^:]", head) and after in (",", "{")
                if is_function(head) and not initialises:
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


def shell_functions(text):
    """Both ways to write one, with the brace on the first line or on the next; the end is as far to the left as the
    beginning."""
    lines = text.splitlines()
    begin = re.compile(r"(\s*)(?:function\s+[\w:-]+(?:\s*\(\))?|[\w:-]+\s*\(\))\s*([{(].*)?$")
    for number, line in enumerate(lines, 1):
        found = begin.match(line)
        below = lines[number].strip() if number < len(lines) else ""
        if not found or (found.group(2) is None and below not in ("{", "(")):
            continue
        if found.group(2) and re.search(r"[})]\s*$", found.group(2)):
            yield number, number
            continue
        ends = (i for i in range(number + 1, len(lines) + 1) if re.match(found.group(1) + r"[})]", lines[i - 1]))
        yield number, next(ends, len(lines))


def sql_functions(text):
    """Functions, procedures and blocks: up to the second dollar mark, the END of an ATOMIC body, or the semicolon."""
    end = 0
    for begin in re.finditer(r"^[ \t]*(create\s+(or\s+replace\s+)?(function|procedure)|do)\b", text, re.I | re.M):
        if begin.start() < end:
            continue
        mark = re.compile(r"\$\w*\$|;|\bbegin\s+atomic\b", re.I).search(text, begin.end())
        if mark is None:
            end = len(text) - 1
        elif mark.group().startswith("$"):
            end = text.find(mark.group(), mark.end())
        elif mark.group() == ";":
            end = mark.start()
        else:
            end = (re.compile(r"^[ \t]*end\s*;", re.I | re.M).search(text, mark.end()) or mark).end()
        end = end if end >= 0 else len(text) - 1
        yield text.count("\n", 0, begin.start()) + 1, text.count("\n", 0, end) + 1


CMAKE = matched_functions(r"(?i)^\s*(function|macro)\s*\(", r"(?i)^\s*end(function|macro)\s*\(")
FUNCTIONS = {
    ".cpp": c_functions, ".hpp": c_functions, ".c": c_functions, ".h": c_functions, ".py": python_functions,
    ".go": matched_functions(r"^func ", r"^}|^func .*}$"),
    ".sh": shell_functions, "": shell_functions, ".sql": sql_functions,
    ".cmake": CMAKE, ".txt": CMAKE, ".in": CMAKE,
}


def too_wide(path, lines):
    """The numbers of the lines that are too wide. In Markdown tables, code and the targets of links do not count."""
    is_code = False
    for number, line in enumerate(lines, 1):
        if path.endswith(".md"):
            fence = re.match(r"\s*(```|~~~)", line)
            is_code = is_code != bool(fence)
            if is_code or fence or re.match(r"\s*\|", line):
                continue
            line = re.sub(r"\]\([^)]*\)|\bhttps?://\S+|^\s*\[[^\]]+\]:\s*\S+", "", line)
        if len(line) > MOST_COLUMNS:
            yield number, len(line)


def problems_of(path, text):
    lines = text.splitlines()
    for number, columns in too_wide(path, lines):
        yield f"{path}:{number}: {columns} columns, at most {MOST_COLUMNS}"
    if PROSE.search(path):
        return
    if len(lines) > MOST_FILE_LINES and path not in LONG_FILES:
        yield f"{path}: {len(lines)} lines, at most {MOST_FILE_LINES}"
    for first, last in FUNCTIONS[pathlib.PurePosixPath(path).suffix](text):
        is_table = first > 1 and re.match(r"\s*(//+|--|#)\s*table: ", lines[first - 2])
        if last - first + 1 > MOST_FUNCTION_LINES and not is_table:
            yield f"{path}:{first}: a function of {last - first + 1} lines, at most {MOST_FUNCTION_LINES}"


def sources():
    names = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout.split("\n")
    return [name for name in names if (CODE.search(name) or PROSE.search(name)) and (ROOT / name).is_file()
            and "/corpus/" not in name]


def wrong_cases():
    body = "  call();\n" * MOST_FUNCTION_LINES
    wide = "x" * (MOST_COLUMNS + 1)
    heads = {
        "trailing": "auto f() const noexcept -> std::vector<int>",
        "returns_function": "auto f() -> std::function<void(int)>",
        "requires": "template <typename T>\nvoid f(T t) requires (sizeof(T) > 4) && Small<T>",
        "macro": "void f() GUARDED_BY(mutex) NO_WARNING",
        "operator": "bool operator<(const A<int>& a, const A<int>& b)",
        "call_operator": "int A::operator()(int x) const",
        "returns_struct": "struct tm* f(void)",
        "literal": "const char* k = R\"({{)\";\nchar c = '{';\nTEST_CASE(\"a )\")",
        "prefixed": "constexpr char8_t k = u8'{';\nvoid f()",
        "separated": "const int n = 1'000;\nvoid f()",
    }
    classes = {"base": "class A : B", "aligned": "struct alignas(64) A", "exported": "class API(x) A final",
               "computed_base": "class A : public B<decltype(f())>",
               "template": "template <typename T = C<int>>\nclass A"}
    member = f"A() noexcept : x_{{1}}, y_(2) {{\n{body}}}"
    cases = {f"{name}.cpp": f"{head} {{\n{body}}}\n" for name, head in heads.items()}
    cases |= {f"{name}.hpp": f"{head} {{\n public:\n  {member}\n}};\n" for name, head in classes.items()}
    cases |= {
        "long.cpp": "int a;\n" * (MOST_FILE_LINES + 1),
        "wide.sql": f"-- {wide}\n", "wide.md": f"{wide}\n", "wide.yml": f"# {wide}\n",
        "link.md": f"{wide} [a](b.md)\n",
        "plain.cpp": f"namespace a {{\nvoid f(int x = {{}}) {{\n{body}}}\n}}\n",
        "no_table.cpp": f"// not a table: rows\nvoid f() {{\n{body}}}\n",
        "f.py": "def f():\n" + "    call()\n" * MOST_FUNCTION_LINES,
        "f.go": f"func f() {{\n{body}}}\n",
        "f.sh": f"f() {{\n{body}}}\n", "word.sh": f"function f {{\n{body}}}\n", "below.sh": f"f()\n{{\n{body}}}\n",
        "run": f"f() {{\n{body}}}\n",
        "f.sql": f"CREATE FUNCTION f() RETURNS int AS $f$\n{body}$f$ LANGUAGE sql;\n",
        "lower.sql": f"create or replace function f() returns int as $$\n{body}$$ language sql;\n",
        "procedure.sql": f"CREATE PROCEDURE f() LANGUAGE sql AS $$\n{body}$$;\n",
        "block.sql": f"do $$\n{body}$$;\n", "atomic.sql": f"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC\n{body}END;\n",
        "CMakeLists.txt": f"function(f name)\n{body}endfunction()\n", "m.cmake": f"macro(f)\n{body}endmacro()\n",
    }
    return cases


def right_cases():
    body = "  call();\n" * MOST_FUNCTION_LINES
    wide = "x" * (MOST_COLUMNS + 1)
    return {
        "table.cpp": f"// table: one row a case\nvoid f() {{\n{body}}}\n",
        "rows.cpp": f"constexpr std::array<Row, size()> kRows{{{{\n{body}}}}};\n",
        "assigned.cpp": f"const int k[size()] = {{\n{body}}};\n",
        "two.cpp": f"struct A {{\n  void f() {{}}\n  int g() {{\n  }}\n}};\nint k = 1;\n{body}",
        "aligned.hpp": f"struct alignas(64) A {{\n{body}}};\n",
        "short.sql": f"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;\n{body}",
        "short.sh": f"f() {{ call; }}\n{body}f\n",
        "call.sh": f"f()\n{{\n  call\n}}\n{body}",
        "table.md": f"| {wide} |\n", "code.md": f"```\n{wide}\n```\n", "target.md": f"[a]({wide})\n",
    }


def prove():
    wrong, right = wrong_cases(), right_cases()
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
