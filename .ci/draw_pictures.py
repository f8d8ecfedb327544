#!/usr/bin/env python3
"""Draws the mermaid blocks of docs/ as SVG, for readers whose viewer does not draw them.

usage: draw_pictures.py           writes the SVG files
       draw_pictures.py --check   fails when a file is not what its block would give
       draw_pictures.py --help    prints this

A block is drawn when it has a line "%% picture: FILE". Its layout is in comments, which mermaid does not read:
  %% at STATE X Y          the middle of a state
  %% bend FROM TO PIXELS   how far an arrow bows to its left
  %% loop STATE SIDE       on which side an arrow from a state to itself is: left, right, top, bottom
"""
import html
import math
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEIGHT = 34
LINE = 14
ARROW = re.compile(r"\s*(\[\*\]|\w+) --> (\[\*\]|\w+)(?:: (.*))?$")


class Picture:
    def __init__(self, block):
        self.name = re.search(r"^\s*%% picture: (\S+)$", block, flags=re.M).group(1)
        self.labels, self.at, self.bend, self.loop, self.arrows = {}, {}, {}, {}, []
        for line in block.splitlines():
            words = line.split()
            if words[:2] == ["%%", "at"]:
                self.at[words[2]] = (float(words[3]), float(words[4]))
            elif words[:2] == ["%%", "bend"]:
                self.bend[words[2], words[3]] = float(words[4])
            elif words[:2] == ["%%", "loop"]:
                self.loop[words[2]] = words[3]
            elif label := re.match(r'\s*state "(.*)" as (\w+)$', line):
                self.labels[label.group(2)] = label.group(1).split("\\n")
            elif arrow := ARROW.match(line):
                self.arrows.append((arrow.group(1), arrow.group(2), (arrow.group(3) or "").split(", ")))

    def states(self):
        names = []
        for source, target, _ in self.arrows:
            names += [name for name in (source, target) if name not in names]
        return names

    def text(self, state):
        return self.labels.get(state, [state])

    def half(self, state):
        """Half the width and half the height of a state's box."""
        if state == "[*]":
            return 8, 8
        lines = self.text(state)
        return max(44, 3.8 * max(len(line) for line in lines) + 10), (HEIGHT + LINE * (len(lines) - 1)) / 2

    def border(self, state, towards):
        """Where the line from a state's middle to a point leaves its box."""
        x, y = self.at[state]
        width, height = self.half(state)
        dx, dy = towards[0] - x, towards[1] - y
        scale = min(width / abs(dx) if dx else math.inf, height / abs(dy) if dy else math.inf)
        return x + dx * scale, y + dy * scale

    def arrow(self, source, target):
        """Start, control point and end of a curve, and where its label stands."""
        if source == target:
            x, y = self.at[source]
            width, height = self.half(source)
            sx, sy = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}[self.loop.get(source, "top")]
            lines = max(len(by) for a, b, by in self.arrows if (a, b) == (source, target))
            tip = (x + sx * (width + 70), y + sy * (height + 62 + 22 * (lines - 1)))
            start = (x + sx * width - sy * 22, y + sy * height - sx * 10)
            end = (x + sx * width + sy * 22, y + sy * height + sx * 10)
            label = ((start[0] + end[0] + 2 * tip[0]) / 4, (start[1] + end[1] + 2 * tip[1]) / 4 + sy * 10)
            return start, tip, end, label
        (x1, y1), (x2, y2) = self.at[source], self.at[target]
        both = any((target, source) == (a, b) for a, b, _ in self.arrows)
        bend = self.bend.get((source, target), 36 if both else 0)
        length = math.hypot(x2 - x1, y2 - y1)
        control = ((x1 + x2) / 2 + (y2 - y1) / length * bend * 2, (y1 + y2) / 2 - (x2 - x1) / length * bend * 2)
        start, end = self.border(source, control), self.border(target, control)
        return start, control, end, ((start[0] + end[0] + 2 * control[0]) / 4, (start[1] + end[1] + 2 * control[1]) / 4)

    def svg(self):
        missing = [state for state in self.states() if state not in self.at]
        if missing:
            raise SystemExit(f"{self.name}: no '%% at' line for {', '.join(missing)}")
        width = max(x + self.half(state)[0] for state, (x, _) in self.at.items()) + 40
        height = max(y + self.half(state)[1] for state, (_, y) in self.at.items()) + 30
        out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
               f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif" font-size="12">',
               "  <!-- Made by .ci/draw_pictures.py. Edges: -->"]
        out += [f"  <!-- {a} to {b}: {', '.join(by)} -->" for a, b, by in self.arrows]
        out += ['  <defs><marker id="tip" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto">'
                '<path d="M0,0 L9,4 L0,8 z" fill="#444"/></marker></defs>',
                '  <rect width="100%" height="100%" fill="#fff"/>']
        texts = []
        for source, target, by in self.arrows:
            (x1, y1), (cx, cy), (x2, y2), (tx, ty) = self.arrow(source, target)
            out.append(f'  <path d="M{x1:.1f},{y1:.1f} Q{cx:.1f},{cy:.1f} {x2:.1f},{y2:.1f}" fill="none" stroke="#444" '
                       'marker-end="url(#tip)"/>')
            texts += self.lines(tx, ty, [word for word in by if word], background=True)
        for state in self.states():
            x, y = self.at[state]
            if state == "[*]":
                out.append(f'  <circle cx="{x:.1f}" cy="{y:.1f}" r="8" fill="#444"/>')
                continue
            half_width, half_height = self.half(state)
            out.append(f'  <rect x="{x - half_width:.1f}" y="{y - half_height:.1f}" width="{2 * half_width:.1f}" '
                       f'height="{2 * half_height:.1f}" rx="8" fill="#eef3fb" stroke="#446"/>')
            texts += self.lines(x, y, self.text(state), background=False)
        return "\n".join(out + texts + ["</svg>", ""])

    @staticmethod
    def lines(x, y, lines, background):
        out = []
        for i, line in enumerate(lines):
            at = y + 4 + (i - (len(lines) - 1) / 2) * LINE
            if background:
                half = 3.3 * len(line) + 3
                out.append(f'  <rect x="{x - half:.1f}" y="{at - 11:.1f}" width="{2 * half:.1f}" height="14" '
                           'fill="#fff"/>')
            out.append(f'  <text x="{x:.1f}" y="{at:.1f}" text-anchor="middle">{html.escape(line)}</text>')
        return out


def pictures():
    """Each SVG file that a page of docs/ should have beside it, with its text."""
    for page in sorted((ROOT / "docs").glob("**/*.md")):
        for block in re.findall(r"```mermaid\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.S):
            if "%% picture: " in block:
                picture = Picture(block)
                yield page.parent / picture.name, picture.svg()


def outdated():
    """The files that are missing, or are not what their block gives."""
    return [str(path.relative_to(ROOT)) for path, svg in pictures()
            if not path.exists() or path.read_text(encoding="utf-8") != svg]


def main(arguments):
    if arguments in (["--help"], ["-h"]):
        print(__doc__)
    elif arguments == ["--check"]:
        wrong = outdated()
        for name in wrong:
            print(f"{name}: is not the picture of its page; run .ci/draw_pictures.py")
        return 1 if wrong else 0
    elif arguments:
        print(__doc__, file=sys.stderr)
        return 2
    else:
        for path, svg in pictures():
            path.write_text(svg, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
