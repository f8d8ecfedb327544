#!/usr/bin/env python3
"""Documentation that can be checked: links and anchors, pages that nothing links, pictures, public declarations, error
codes, names of tests, the examples of README and Go, options of the command."""
import pathlib
import re
import subprocess
import sys

import draw_pictures

ROOT = pathlib.Path(__file__).resolve().parent.parent
problems = []
# [a](b.md), [a](<b.md> "title"), "[a]: b.md" of a reference, and HTML.
LINKS = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+[^)]*)?\)|^ {0,3}\[[^\]]+\]:\s*<?([^\s>]+)|"
                   r"<(?:a|img)\s[^>]*?(?:href|src)\s*=\s*[\"']?([^\"'\s>]+)", re.M)
DEFINITION = re.compile(r"^ {0,3}\[([^\]]+)\]:", re.M)
REFERENCE = re.compile(r"\[([^\]\[]+)\]\[([^\]\[]*)\]")


def tracked(pattern):
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    return [ROOT / name for name in names if (ROOT / name).exists()]


def prose_of(page):
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)


def anchors_of(page):
    """What a link may name behind '#'. The rule is that of the usual viewers: lower case, blanks become hyphens,
    punctuation goes."""
    anchors = set()
    for heading in re.findall(r"^#+ (.*)$", prose_of(page), flags=re.M):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = base = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        number = 0
        while anchor in anchors:
            number += 1
            anchor = f"{base}-{number}"
        anchors.add(anchor)
    return anchors


def targets_of(prose):
    """What links lead to, however they are written. Code is no link."""
    prose = re.sub(r"`[^`\n]*`", "`", prose)
    for found in LINKS.finditer(prose):
        yield next(target for target in found.groups() if target)


def undefined_labels(prose):
    """Labels of references, [text][label], that nothing defines."""
    prose = re.sub(r"`[^`\n]*`", "`", prose)
    defined = {label.lower() for label in DEFINITION.findall(prose)}
    return [label or text for text, label in REFERENCE.findall(prose) if (label or text).lower() not in defined]


def links_of(page):
    """Each link to a file of the tree: the file, and the anchor or None."""
    for target in targets_of(prose_of(page)):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield target, (page.parent / path).resolve() if path else page, anchor or None


def check_own_eyes():
    """A link that this script does not see is not checked."""
    prose = """[a](1.md) [a](2.md "title") [a](<3.md>) <a href="4.md">a</a> <img alt='' src='5.md'>
[a][b] [c][] `[no](code.md)`

[b]: 6.md
"""
    seen, undefined = list(targets_of(prose)), undefined_labels(prose)
    if seen != [f"{number}.md" for number in range(1, 7)] or undefined != ["c"]:
        problems.append(f"check_docs.py: sees {seen} and {undefined} in its own sample")


def check_links():
    for page in tracked("*.md"):
        name = page.relative_to(ROOT)
        for label in undefined_labels(prose_of(page)):
            problems.append(f"{name}: [...][{label}], and nothing says where that leads")
        for target, path, anchor in links_of(page):
            if not path.exists():
                problems.append(f"{name}: link to {target}, which is not there")
            elif anchor and path.suffix == ".md" and anchor not in anchors_of(path):
                problems.append(f"{name}: link to {target}, and there is no such heading")


def check_orphans():
    """README.md leads to docs/README.md, which leads to every page under docs/. A picture stands in a page."""
    front = ROOT / "docs/README.md"
    if front not in [path for _, path, _ in links_of(ROOT / "README.md")]:
        problems.append("README.md: does not link docs/README.md")
    led_to = {path for _, path, _ in links_of(front)} | {front}
    for page in tracked("docs/*.md"):
        if page not in led_to:
            problems.append(f"{page.relative_to(ROOT)}: docs/README.md does not lead to it")
    linked = {path for page in tracked("docs/*.md") for _, path, _ in links_of(page)}
    for picture in tracked("docs/*.svg"):
        if picture not in linked:
            problems.append(f"{picture.relative_to(ROOT)}: no page links it")


def check_pictures():
    for name in draw_pictures.outdated():
        problems.append(f"{name}: is not the picture of its page; run .ci/draw_pictures.py")


def check_error_codes():
    """docs/errors.md has a row for each code: number, name, and what it is called in C++, C, Go and Python."""
    rows = {}
    for line in (ROOT / "docs/errors.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0].isdigit() and len(cells) == 7:
            rows[int(cells[0])] = cells
    header = (ROOT / "capi/embedjobs.h").read_text(encoding="utf-8")
    header = header[header.index("typedef enum embedjobs_code {"):header.index("} embedjobs_code;")]
    numbers = dict(re.findall(r"EMBEDJOBS_(\w+) = (\d+)", header))
    for column, path, pattern in [
            (2, "include/embedjobs/status.hpp", r"^  (k\w+) = (\d+),"),
            (3, "capi/embedjobs.h", r"^  (EMBEDJOBS_\w+) = (\d+)"),
            (4, "capi/go/errors.go", r"^\t(Err\w+) += &Error\{Code: (\d+)\}"),
            (5, "capi/python/embedjobs/errors.py",
             r"^class (\w+)\((?:Error|Error, \w+)\):.*?^    code = (?:Code\.)?(\w+)")]:
        text = header if path.endswith(".h") else (ROOT / path).read_text(encoding="utf-8")
        found = re.findall(pattern, text, flags=re.M | re.S if path.endswith(".py") else re.M)
        if len(found) < 17:
            problems.append(f"{path}: only {len(found)} error codes were found")
        for name, number in found:
            number = int(numbers.get(number, number))
            if number not in rows or rows[number][column] != name:
                problems.append(f"docs/errors.md: row {number} does not name {name} ({path})")


def check_traceability():
    """Every test that docs/traceability.md names is there, in the file that it names."""
    named = 0
    for line in (ROOT / "docs/traceability.md").read_text(encoding="utf-8").splitlines():
        source = None
        if not line.startswith("|"):
            continue
        for path, name in re.findall(r'`([\w./-]+\.(?:cpp|hpp|sh|py|go))`|"([^"]+)"', line):
            if path:
                source = next((file for file in (ROOT / "tests" / path, ROOT / path) if file.exists()), None)
                if source is None:
                    problems.append(f"docs/traceability.md: there is no {path}")
            elif source is not None:
                named += 1
                # A long name is written as two strings, one below the other.
                if name not in re.sub(r'"\s*\n\s*"', "", source.read_text(encoding="utf-8")):
                    problems.append(f"docs/traceability.md: {source.relative_to(ROOT)} has no test \"{name}\"")
    if named < 100:
        problems.append(f"docs/traceability.md: only {named} tests were found in it")


DECLARATION = re.compile(r"^(class|struct|enum class) \w+[^;]*\{|^[A-Za-z\[].*\(.*\).*;")


def check_headers():
    """Every class, struct and enum, and every free function, has a comment above or beside it, or stands under one that
    has; every header begins with what it is about."""
    for header in tracked("include/embedjobs/*.hpp"):
        lines = header.read_text(encoding="utf-8").splitlines()
        name = header.relative_to(ROOT)
        if not lines[0].startswith("//"):
            problems.append(f"{name}:1: does not say what the header is about")
        for number, line in enumerate(lines):
            # Declarations at namespace level are not indented. A group of them may share the comment of the first.
            if not DECLARATION.match(line) or line.startswith("namespace"):
                continue
            above = number - 1
            while above >= 0 and re.match(r"^[A-Za-z\[].*;( *///<.*)?$", lines[above]):
                above -= 1
            documented = "///" in line or "///" in lines[above] or lines[above].startswith("template")
            # A plain aggregate may be explained by its members.
            body = lines[number + 1: number + 40]
            end = next((i for i, text in enumerate(body) if text.startswith("}")), 0)
            if not documented and not any("///" in text for text in body[:end]) and not first_of_header(lines, number):
                problems.append(f"{name}:{number + 1}: no comment says what this is: {line.strip()}")


def first_of_header(lines, number):
    """The first declaration is what the header's own paragraph is about."""
    return not any(DECLARATION.match(line) for line in lines[:number])


def check_readme_example():
    example = ROOT / "examples/readme_example.cpp"
    if example.exists():
        blocks = re.findall(r"```cpp\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.S)
        if example.read_text(encoding="utf-8") not in blocks:
            problems.append("README.md: the C++ example is not examples/readme_example.cpp")


def check_go_example():
    example = (ROOT / "capi/go/example_test.go").read_text(encoding="utf-8")
    if example not in re.findall(r"```go\n(.*?)```", (ROOT / "docs/go.md").read_text(encoding="utf-8"), flags=re.S):
        problems.append("docs/go.md: the example is not capi/go/example_test.go")


def check_command_options():
    page = (ROOT / "docs/command.md").read_text(encoding="utf-8")
    for source in tracked("examples/command/*.cpp"):
        text = source.read_text(encoding="utf-8")
        for option in re.findall(r'(?:add_option|add_flag|add_duration|set_version_flag)\([^"]*"(--?[a-z-]+)"', text):
            if f"`{option}" not in page and f" {option}" not in page:
                problems.append(f"docs/command.md: says nothing of {option} ({source.name})")
        for command in re.findall(r'add_subcommand\("([a-z-]+)"', text):
            if f"## {command}" not in page and f"`{command}`" not in page:
                problems.append(f"docs/command.md: says nothing of the subcommand {command}")


check_own_eyes()
check_links()
check_orphans()
check_pictures()
check_error_codes()
check_traceability()
check_headers()
check_readme_example()
check_go_example()
check_command_options()
for problem in problems:
    print(problem)
print(f"documentation: {len(problems)} problems" if problems else
      "documentation: links, anchors, pages, pictures, codes, headers, examples and options are in order")
sys.exit(1 if problems else 0)
