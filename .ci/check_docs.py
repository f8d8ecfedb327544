#!/usr/bin/env python3
"""Documentation that can be checked: links, public declarations, the example of the README, options of the command."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
problems = []


def tracked(pattern):
    names = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout.split()
    return [ROOT / name for name in names if (ROOT / name).exists()]


def check_links():
    for page in tracked("*.md"):
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target) or target.startswith("#"):
                continue
            path = target.split("#")[0]
            if not (page.parent / path).exists():
                problems.append(f"{page.relative_to(ROOT)}: link to {target}, which is not there")


DECLARATION = re.compile(r"^(?:\[\[nodiscard\]\] |inline |constexpr |static |virtual |explicit )*(class|struct|enum class|using|[A-Za-z_:<>,\s*&]+\()")


def check_headers():
    """Every class, struct and enum, and every free function, has a comment above or beside it, or stands under one that has; every
    header begins with what it is about."""
    for header in tracked("include/embedjobs/*.hpp"):
        lines = header.read_text(encoding="utf-8").splitlines()
        name = header.relative_to(ROOT)
        if not lines[0].startswith("//"):
            problems.append(f"{name}:1: does not say what the header is about")
        for number, line in enumerate(lines):
            # Declarations at namespace level are not indented. A group of them may share the comment of the first.
            if not re.match(r"^(class|struct|enum class) \w+[^;]*\{|^[A-Za-z\[].*\(.*\).*;", line) or line.startswith("namespace"):
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
    return not any(re.match(r"^(class|struct|enum class) \w+[^;]*\{|^[A-Za-z\[].*\(.*\).*;", line) for line in lines[:number])


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


check_links()
check_headers()
check_readme_example()
check_go_example()
check_command_options()
for problem in problems:
    print(problem)
print(f"documentation: {len(problems)} problems" if problems else "documentation: links, headers, example and options are in order")
sys.exit(1 if problems else 0)
