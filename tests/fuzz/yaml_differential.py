#!/usr/bin/env python3
"""Compares how the library reads YAML with PyYAML and ruamel.yaml.

usage: yaml_differential.py YAML_TREE COUNT CUTS [SEED]

COUNT random documents, every third of them with something broken, and CUTS real documents, cut at a random place: from
EMBEDJOBS_SPEC_DIR, and from examples/data. Nothing may be accepted that both others refuse. Where all accept, the
values must be equal. The seed is printed; with it a run repeats itself.
"""
import os
import pathlib
import random
import re
import sys
import warnings

import yaml_inputs
from yaml_reader import SKIPPED, Mapping, Reader

try:
    import ruamel.yaml
    import yaml
except ImportError as error:
    print(f"SKIPPED: {error} (Debian: python3-yaml, python3-ruamel.yaml)")
    sys.exit(SKIPPED)

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent.parent / "examples" / "data"
MOST_REAL_BYTES = 60_000  # the others are written in Python
NULL, MERGE = "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"
# Why they refuse what YAML 1.2 allows.
STRICTER = re.compile(r"character '\\t' that cannot start any token|expected ' ', but found '\\t'|duplicate anchor")
NODES = yaml.nodes, ruamel.yaml.nodes
SCALARS, SEQUENCES, MAPPINGS = (tuple(getattr(nodes, name) for nodes in NODES)
                                for name in ["ScalarNode", "SequenceNode", "MappingNode"])


class NotOurs(Exception):
    """What we refuse on purpose: a key that is no scalar, a merge of something else than mappings, a cycle."""


def tree_of(node, open_nodes=()):
    if id(node) in open_nodes:
        raise NotOurs()
    below = (*open_nodes, id(node))
    if isinstance(node, SCALARS):
        return None if node.tag == NULL else meant(node.value)
    if isinstance(node, SEQUENCES):
        return [tree_of(item, below) for item in node.value]
    own, merged = Mapping(), []
    for key, value in node.value:
        if not isinstance(key, SCALARS):
            raise NotOurs()
        if key.tag == MERGE:
            sources = tree_of(value, below)
            merged += sources if isinstance(value, SEQUENCES) else [sources]
        else:
            own.append((meant(key.value), tree_of(value, below)))
    names = {key for key, _ in own}
    for source in merged:
        if not isinstance(source, Mapping):
            raise NotOurs()
        for key, value in source:
            if key not in names:
                names.add(key)
                own.append((key, value))
    return own


def meant(text):
    """A pair of escaped surrogates is one character for us; they keep the halves apart."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def pyyaml(text):
    return tree_of(yaml.compose(text, Loader=yaml.SafeLoader))


def ruamel_yaml(text):
    return tree_of(ruamel.yaml.YAML(typ="safe", pure=True).compose(text))


class Refusal(str):
    """Why one of the others refuses."""


def verdict(parser, text):
    """The tree, or a Refusal. Raises NotOurs."""
    try:
        return parser(text)
    except NotOurs:
        raise
    except Exception as error:  # of many kinds, on broken input
        return Refusal(f"{parser.__name__}: {' '.join(str(error).split())}")


class Comparison:
    def __init__(self, program):
        self.reader = Reader(program)
        self.counts = {"all accept": 0, "all refuse": 0, "only we refuse": 0, "others differ": 0,
                       "others are stricter": 0}
        self.failures = []

    def compare(self, text):
        tree, error = self.reader.read(text.encode())
        try:
            first, second = (verdict(parser, text) for parser in (pyyaml, ruamel_yaml))
        except NotOurs:
            if error is None:
                self.failures.append(("accepted, though it is not ours", text, tree))
            return
        accepting = [other for other in (first, second) if not isinstance(other, Refusal)]
        if error is not None:
            self.counts["only we refuse" if len(accepting) == 2 else "all refuse"] += 1
        elif not accepting and STRICTER.search(first) and STRICTER.search(second):
            self.counts["others are stricter"] += 1
        elif not accepting:
            self.failures.append(("accepted, and both others refuse", text, tree, first, second))
        elif tree not in accepting or first == second != tree:
            self.failures.append(("another value", text, tree, *accepting))
        else:
            self.counts["all accept" if len(accepting) == 2 and first == second else "others differ"] += 1


def real_documents():
    folders = [EXAMPLES]
    if os.environ.get("EMBEDJOBS_SPEC_DIR"):
        spec_dir = pathlib.Path(os.environ["EMBEDJOBS_SPEC_DIR"])
        folders += [spec_dir, spec_dir / "twins"]
    paths = [path for folder in folders for path in sorted(folder.glob("*.yaml"))]
    return [path.read_text(encoding="utf-8") for path in paths if path.stat().st_size < MOST_REAL_BYTES]


def main():
    count, cuts = int(sys.argv[2]), int(sys.argv[3])
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else 20261127
    print(f"seed {seed}")
    source = random.Random(seed)
    warnings.simplefilter("ignore")  # an anchor may stand twice
    comparison = Comparison(sys.argv[1])
    for number in range(count):
        text = yaml_inputs.Document(source).text()
        comparison.compare(yaml_inputs.broken(source, text) if number % 3 == 0 else text)
    documents = real_documents()
    for number in range(cuts):
        document = documents[number % len(documents)]
        comparison.compare(document[:source.randint(0, len(document))])
    for what, text, *trees in comparison.failures[:20]:
        print(f"{what}: {text!r}", *trees, sep="\n  ")
    print(f"{count + cuts} inputs:", ", ".join(f"{number} {what}" for what, number in comparison.counts.items()))
    print(f"{len(comparison.failures)} failures")
    return 1 if comparison.failures or comparison.counts["all accept"] < (count + cuts) / 10 else 0


if __name__ == "__main__":
    sys.exit(main())
