#!/usr/bin/env python3
"""The cases of the YAML test suite, read by the library.

usage: yaml_suite_test.py YAML_TREE      the suite is in EMBEDJOBS_YAML_SUITE_DIR; without it the test is skipped

A valid case must give the tree that the suite says, and a wrong one an error. The exceptions are in EXCEPTIONS, each
with its reason, and an exception that is none any more fails too.
"""
import os
import pathlib
import re
import sys

from yaml_reader import SKIPPED, Mapping, Reader

try:
    import yaml
except ImportError as error:
    print(f"SKIPPED: {error} (Debian: python3-yaml)")
    sys.exit(SKIPPED)

# What the signs in the suite's files stand for.
SIGNS = {"␣": " ", "←": "\r", "⇔": "\ufeff", "↵": ""}
ESCAPES = {"\\n": "\n", "\\t": "\t", "\\b": "\b", "\\r": "\r", "\\\\": "\\", "\\0": "\0"}
NULLS = {"", "~", "null", "Null", "NULL"}
# Valid, and refused with the place named, if nothing else is said. PyYAML refuses nearly all of these too.
STRICTER = {
    "an empty key": "2JQS 6M2F CFD4 FRK4 NHX8 S3PD SM9W/01 UKK6/00",
    "a directive other than %TAG and %YAML 1.1 and 1.2":
        "2LFX 6LVF BEC7 MUS6/05 MUS6/06 ZYU8/00 ZYU8/01 ZYU8/02 ZYU8/03",
    "the name of an anchor has other characters than letters, digits, '-' and '_'": "2SXE 8XYN W5VH",
    "as above, and read as PyYAML does: the anchor 'an', the text ':chor value'": "Y2GN",
    "a plain scalar inside brackets that begins with ':' or '?', or a key with ':' and without a value":
        "4ABK 58MP 5T43 DBG4 HM87/00",
    "as above, and read as PyYAML and ruamel do: '?' is dropped": "652Z HM87/01",
    "a key inside brackets goes over several lines, or its ':' stands in the next one":
        "4MUZ/00 4MUZ/01 4MUZ/02 5MUD 9SA2 K3WX NJ66 VJP3/01",
    "a tab where blanks are usual: before a key, after '-', in an empty line":
        "6BCT 6CA3 A2M4 DK95/00 DK95/03 DK95/04 Q5MG Y79Y/10",
    "a block scalar is the whole document, without indentation": "DK3J FP8R",
    "a last line of blanks without a newline in a block scalar: as PyYAML and ruamel read it": "JEF9/02 L24T/01",
}
# Wrong, and accepted, since the tools of the field accept it: PyYAML, ruamel.yaml and js-yaml, if nothing else is said.
LENIENT = {
    "the lines of a scalar or of brackets are indented too little": "9C9N QB6E S98Z",
    "a comment without a blank before it": "9JBA CVW2 SU5Z",
    "a tab as indentation of a quoted scalar": "DK95/01",
    "the same inside brackets; js-yaml alone takes it": "Y79Y/03",
    "'-' as a scalar inside brackets; js-yaml does not": "G5U8 YJV2",
}
EXCEPTIONS = {name for names in [*STRICTER.values(), *LENIENT.values()] for name in names.split()}


def cases(folder):
    """(id, content, the lines of the event tree, or None when the content is wrong)."""
    for path in sorted(folder.glob("*.yaml")):
        entries = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CBaseLoader)
        fields = {}
        for number, entry in enumerate(entries):
            # What an entry does not say is as in the one before, but for the verdict.
            fields = {**{name: value for name, value in fields.items() if name != "fail"}, **entry}
            name = path.stem if len(entries) == 1 else f"{path.stem}/{number:02d}"
            wrong = "fail" in fields
            yield name, shown(fields["yaml"]).encode(), None if wrong else shown(fields["tree"]).splitlines()


def shown(text):
    text = re.sub("—*»", "\t", text)
    for sign, meant in SIGNS.items():
        text = text.replace(sign, meant)
    return re.sub("∎\n\\Z", "", text)


class NotOurs(Exception):
    """YAML that we refuse on purpose."""


def tree_of(lines):
    """The tree that the events make. NotOurs: not one document, or a key that is no scalar."""
    lines = [line.lstrip(" ") for line in lines]
    if sum(line.startswith("-DOC") for line in lines) != 1:
        raise NotOurs("one document a file")
    events = iter(lines[2:])
    return node_of(next(events), events, {})


def node_of(line, events, anchors, is_key=False):
    kind, *words = re.findall(r"\A[-+=]\w+|\{\}|\[\]|&\S+|<[^>]*>|[:'\"|>*].*\Z", line)
    anchor = next((word for word in words if word[0] == "&"), None)
    tag = next((word for word in words if word[0] == "<"), None)
    if kind == "=ALI":
        return anchors[words[-1].replace("*", "&", 1)]
    if kind == "=VAL":
        text = re.sub(r"\\.", lambda escape: ESCAPES[escape.group()], words[-1][1:])
        plain = words[-1][0] == ":" and tag in (None, "<!>")
        is_null = plain and text in NULLS or tag == "<tag:yaml.org,2002:null>"
        node = None if is_null and not is_key else text
    elif kind == "+SEQ":
        node = []
        while not (line := next(events)).startswith("-SEQ"):
            node.append(node_of(line, events, anchors))
    else:
        node = Mapping()
        while not (line := next(events)).startswith("-MAP"):
            if line.startswith("+"):
                raise NotOurs("a key is a scalar")
            key = node_of(line, events, anchors, is_key=True)
            node.append((key, node_of(next(events), events, anchors)))
    if anchor:
        anchors[anchor] = node
    return node


def main():
    folder = os.environ.get("EMBEDJOBS_YAML_SUITE_DIR")
    if not folder:
        print("SKIPPED: EMBEDJOBS_YAML_SUITE_DIR does not name the folder of the YAML test suite")
        return SKIPPED
    reader = Reader(sys.argv[1])
    counts = dict.fromkeys(["right", "refused", "excepted", "not ours"], 0)
    failures = []
    for name, content, lines in cases(pathlib.Path(folder)):
        tree, error = reader.read(content)
        try:
            expected = None if lines is None else tree_of(lines)
        except NotOurs:
            counts["not ours"] += 1
            if error is None:
                failures.append(f"{name}: accepted")
            continue
        if lines is None:
            good = error is not None
        else:
            good = error is None and tree == expected
        if not good and name not in EXCEPTIONS:
            failures.append(f"{name}: {content!r} is {error or tree!r}, expected {expected!r}")
        elif good and name in EXCEPTIONS:
            failures.append(f"{name}: no exception any more")
        else:
            counts["excepted" if not good else "refused" if lines is None else "right"] += 1
    print("\n".join(failures))
    print(", ".join(f"{count} {what}" for what, count in counts.items()))
    return 1 if failures or counts["right"] == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
