"""Runs yaml_tree: one process that reads many documents. See yaml_tree.cpp."""
import json
import struct
import subprocess

SKIPPED = 77  # what a test ends with that was skipped


class Reader:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def read(self, content):
        """(tree, None) or (None, message). Strings, None, lists, and Mapping for mappings."""
        self.process.stdin.write(struct.pack("<I", len(content)) + content)
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the reader ended with {self.process.wait()}, given {content!r}")
        answer = json.loads(line, object_hook=of_json)
        return answer.get("tree"), answer.get("error")


class Mapping(list):
    """Pairs of key and value, in order: a key may stand twice."""


def of_json(found):
    return Mapping(tuple(pair) for pair in found["map"]) if "map" in found else found
