"""Random YAML: documents of every kind of scalar, of anchors, aliases and merges; broken ones; real ones, cut.

Raw NEL, LS and PS are left out: they are line breaks in YAML 1.1 and none in 1.2.
"""

WORDS = ["a", "word", "two words", "it's", "#no", "a#b", "x:y", "-1", "?q", "null", "~", "1.50", "off", "<<", "é€",
         "日本", "\U0001f600", "http://a/b?c=1#d", "{id}", "[x]", "a, b", "%20", "&amp", "*star", "back\\slash",
         "\\ud83d", "@at", "tab\there", "\xa0", "\u3000"]
ESCAPES = ["\\n", "\\t", "\\_", "\\N", "\\L", "\\P", "\\e", "\\0", "\\x41", "\\xe9", "\\u20ac", "\\ud83d\\ude00",
           "\\uD83D", "\\ude00", "\\ude00\\ud83d", "\\U0001f600", "\\/", '\\"', "\\\\", "\\ ", "\\a", "\\\\ud83d",
           "\\\\\\ud83d"]
BROKEN = ["\\q", "\\u12", "\\x4", "\\U00110000", "\\'"]
NOISE = [*":-?#&*!|>'\"%@`{}[], \n\t~\\", "\n  ", "\n\n", ": ", " #", "- ", "---\n", "...\n", "\\u", "*a", "&a "]
KEYS = ["'q'", '"\\u0041"', "<<", "!!merge <<"]


class Document:
    """One random document; `random` is the source of everything."""

    def __init__(self, random):
        self.random = random
        self.anchors = []

    def text(self):
        text = self.block(0, self.random.randint(1, 3))
        start = self.random.choice(["", "", "", "---\n", "# comment\n", "%YAML 1.2\n---\n"])
        return start + text.lstrip("\n") + self.random.choice(["", "\n", "\n", "\n# end\n", "...\n"])

    def block(self, indent, depth):
        return self.random.choice([self.mapping, self.mapping, self.sequence])(indent, depth)

    def mapping(self, indent, depth):
        lines = ""
        for number in range(self.random.randint(1, 4)):
            key = self.random.choice([f"k{number}", f"k{number}", self.single_line(), *KEYS])
            if key.endswith("<<") and not self.anchors:
                key = "k"
            value = f" *{self.random.choice(self.anchors)}" if key.endswith("<<") else self.value(indent, depth)
            lines += "\n" * (self.random.random() < 0.1) + " " * indent + key + ":" + value + self.comment()
        return lines

    def sequence(self, indent, depth):
        return "".join(" " * indent + "-" + self.value(indent, depth) + self.comment()
                       for _ in range(self.random.randint(1, 3)))

    def comment(self):
        return self.random.choice(["\n"] * 8 + [" # said\n", "\n# said\n", "\n\n"])

    def value(self, indent, depth):
        """What follows a key's ':' or a '-', without the last newline."""
        properties = ""
        if self.random.random() < 0.15:
            name = self.random.choice("abc")
            properties = f" &{name}"
            self.anchors.append(name)
        if self.random.random() < 0.08:
            properties += self.random.choice([" !!str", " !local", " !!null"])
        if not properties and self.anchors and self.random.random() < 0.15:
            return f" *{self.random.choice(self.anchors)}"
        if depth > 0 and self.random.random() < 0.4:
            return properties + "\n" + self.block(indent + self.random.randint(1, 3), depth - 1).rstrip("\n")
        kinds = [self.plain, self.single, self.double, self.double, self.literal, self.literal, self.flow_value]
        return properties + (self.random.choice(kinds)(indent) if self.random.random() < 0.88 else "")

    def single_line(self):
        return self.random.choice(["key", "a b", "é", "/path/{id}", "x-y", "200", "null", "~", "$ref", "?x", "-x"])

    def words(self, most=4):
        return [self.random.choice(WORDS) for _ in range(self.random.randint(1, most))]

    def fold(self, indent):
        """Where a scalar goes on in another line."""
        return self.random.choice(["", " ", "  ", "\t"]) + "\n" * self.random.choice([1, 1, 1, 2, 3]) + \
            " " * (indent + self.random.randint(1, 4))

    def joined(self, words, indent):
        text = words[0]
        for word in words[1:]:
            text += (self.fold(indent) if self.random.random() < 0.35 else " ") + word
        return text

    def plain(self, indent):
        return " " + self.joined(self.words(), indent)

    def single(self, indent):
        body = self.joined([word.replace("'", "''") for word in self.words()], indent)
        return " '" + body + self.random.choice(["", "", " ", self.fold(indent)]) + "'"

    def double(self, indent):
        pieces = []
        for word in self.words():
            word = word.replace("\\", "\\\\").replace('"', '\\"')
            if self.random.random() < 0.6:
                word += self.random.choice(ESCAPES if self.random.random() < 0.96 else BROKEN)
            if self.random.random() < 0.1:
                word += "\\\n" + " " * (indent + self.random.randint(1, 3))
            pieces.append(word)
        return ' "' + self.joined(pieces, indent) + self.random.choice(["", "", " ", self.fold(indent)]) + '"'

    def literal(self, indent):
        inner = indent + self.random.randint(1, 3)
        digit = self.random.choice(["", "", "", str(inner - indent)])
        header = self.random.choice("|>") + self.random.choice([digit + "", digit + "-", digit + "+", "+" + digit])
        lines = [" " * inner + "\tfirst"] if self.random.random() < 0.1 else []
        for _ in range(self.random.randint(0, 5)):
            lines.append(self.random.choice(["", "", " " * self.random.randint(0, inner),
                                             *(" " * inner + " ".join(self.words()) for _ in range(4)),
                                             " " * (inner + self.random.randint(1, 2)) + "more",
                                             " " * inner + "end  "]))
        return " " + header + self.random.choice(["", "", " # said"]) + "\n" + "\n".join(lines)

    def flow_value(self, indent):
        return " " + self.flow(indent, 2)

    def flow(self, indent, depth):
        items = [self.flow_item(indent, depth) for _ in range(self.random.randint(0, 3))]
        separator = self.random.choice([", ", ",", ",\n" + " " * (indent + 1)])
        if self.random.random() < 0.5:
            return "[" + separator.join(items) + self.random.choice(["", ","] if items else [""]) + "]"
        keys = ["a", '"b"', "'c'", "d e"]
        return "{" + separator.join(f"{keys[i]}: {item}" for i, item in enumerate(items)) + "}"

    def flow_item(self, indent, depth):
        if depth > 0 and self.random.random() < 0.3:
            return self.flow(indent, depth - 1)
        words = [self.single(indent).strip(), self.double(indent).strip(), "plain text", "null", "~", "1"]
        return self.random.choice(words)


def broken(random, text):
    """The text with some small things wrong."""
    for _ in range(random.randint(1, 3)):
        at = random.randint(0, len(text))
        text = random.choice([text[:at], text[:at] + random.choice(NOISE) + text[at:], text[:at] + text[at + 1:],
                              text[:at] + text[at + random.randint(1, 20):]])
    return text
