"""What a syntax error means to the person who made it: the parser's words turned into advice."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from netc.syntax.foreign import arguments, translated
from netc.syntax.tree import WORDS

_NAMES = {
    "ARROW": "`->`",
    "MORETHAN": "`>`",
    "NAME": "a name",
    "INT": "a whole number",
    "FLOAT": "a number",
    "STRING": 'a "text"',
    "DIMS": "sides such as 1x7",
    "SECTION": "`train`, `export` or `expect`",
    "CMP": "a comparison",
    "ADD": "`+` or `-`",
    "MUL": "`*`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "COMMA": "`,`",
    "COLON": "`:`",
    "EQUAL": "`=`",
    "DOT": "`.`",
    "VBAR": "`|`",
    "STAR": "`*`",
    "MINUS": "`-`",
    "AT": "`@`",
    "$END": "the end of the file",
}
# What continues almost any expression; listing it would bury what is missing.
_NOISE = frozenset({"CMP", "ADD", "MUL", "MINUS", "STAR", "AND", "OR", "IF", "DOT", "LSQB", "FOR", "FLOAT", "DIMS"})
_ARROW = "__ANON_0"


class Advice(NamedTuple):
    """A message and a way out."""

    message: str
    help: str = ""


class Stop(NamedTuple):
    """Where the parser stopped: the text, the place, what stood there, and the terminals that could have."""

    text: str
    offset: int
    found: str
    names: frozenset[str]

    @property
    def line_start(self) -> int:
        """Where the line begins."""
        return self.text.rfind("\n", 0, self.offset) + 1

    @property
    def before(self) -> str:
        """The last characters of the line up to here, without spaces at their end."""
        return self.text[max(self.line_start, self.offset - 200) : self.offset].rstrip()

    @property
    def above(self) -> str:
        """The last characters before this, across lines, without spaces at their end."""
        return self.text[max(0, self.offset - 200) : self.offset].rstrip()

    @property
    def after(self) -> str:
        """The next characters, from what was found on."""
        return self.text[self.offset : self.offset + 80]

    @property
    def staged(self) -> bool:
        """Whether an arrow and the next stage could have stood here."""
        return _ARROW in self.names


def expected(terminals: Iterable[str]) -> str:
    """What could have stood here, in words, the likeliest few."""
    names = set(terminals)
    wanted = names - _NOISE or names
    order = [
        "RPAR",
        "RSQB",
        "RBRACE",
        "COMMA",
        "EQUAL",
        "COLON",
        "LBRACE",
        "LPAR",
        "NAME",
        "INT",
        "STRING",
        "__ANON_0",
        "__ANON_1",
    ]
    ranked = sorted(wanted, key=lambda n: (order.index(n) if n in order else len(order), n))
    said = [_NAMES.get(n, f"`{n.lower()}`") for n in ranked if not n.startswith("__ANON")][:4]
    return " or ".join(said) if len(said) < 3 else f"{', '.join(said[:-1])} or {said[-1]}"


# --- a whole text in another language

_NETC = re.compile(r"^[ \t]*(net|block)\s+[A-Za-z_]\w*\s*[({=]", re.MULTILINE)
_LEAD = re.compile(r"(\s+|[#;][^\n]*|//[^\n]*)+")  # comments of any language before the first word
_DARKNET = (
    "net|network|conv|convolutional|max|maxpool|avg|avgpool|conn|connected|shortcut|route|upsample|yolo|region|"
    "dropout|softmax|soft|local|crop|cost|detection|batchnorm|reorg|normalization|activation"
)
_PASTED = (
    (
        re.compile(r"(name|input|layers?|input_dim|input_param|input_shape|state)\s*(:\s*[\"{\d]|\{)"),
        "a Caffe prototxt",
    ),
    (re.compile(r"(ir_version|producer_name|opset_import|graph|graph_def|node)\s*[:{]"), "a protobuf's text"),
    (re.compile(rf"\[({_DARKNET})\]"), "a darknet .cfg file"),
    (re.compile(r"\[+[\w.\"-]+\]+\s*(\n|\Z)"), "TOML"),
    (re.compile(r"\{\s*[\"}]|\[\s*[{\"\]]"), "JSON"),
    (re.compile(r"---(\s|\Z)|- |[A-Za-z_][\w-]*:(\s|\Z)"), "YAML"),
    (
        re.compile(
            r"import |from [\w.]+ import |(async )?def |class \w+\s*[(:]|@\w|if __name__|\"\"\"|'''"
            r"|[A-Za-z_][\w.]*\s*=\s*[A-Za-z_][\w.]*\(|(model|net)\.\w+\("
        ),
        "Python",
    ),
    (re.compile(r"<[?!A-Za-z]"), "XML or HTML"),
    (re.compile(r"```"), "Markdown"),
)


def pasted(text: str) -> Advice | None:
    """Advice where the whole text is in another language."""
    head = text[:4000]
    if _NETC.search(text):
        return None
    lead = _LEAD.match(head)
    start = lead.end() if lead is not None else 0
    for pattern, language in _PASTED:
        if pattern.match(head, start):
            return Advice(
                f"this looks like {language}, not a netc spec",
                "a spec starts like this: net Name(classes = 10) { input image: f32[N, 1, 28, 28] ...",
            )
    return None


# --- a habit from elsewhere

_SIGNS = {
    "\u2192": "->", "\u27f6": "->", "\u2794": "->", "\u279c": "->", "\u21d2": "=>", "\u27f9": "=>",
    "\u2212": "-", "\u2010": "-", "\u2011": "-", "\u2013": "-", "\u2014": "-", "\u2026": "...",
    "\u2264": "<=", "\u2265": ">=", "\u2260": "!=", "\u00d7": "x or *", "\u00b7": "*", "\u22c5": "*", "\u00f7": "/",
    "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u00ab": '"', "\u00bb": '"', "\u2018": '"', "\u2019": '"',
    "`": '"', "\uff1a": ":", "\uff0c": ",", "\uff08": "(", "\uff09": ")", "\uff1d": "=",
}  # fmt: skip
"""Characters that look like one of the language's, and what to write."""

_KEYWORDS = {
    "return": Advice(
        "there is no `return`: a body's value is its last chain's",
        "take `return` out; in a net, => name feeds an output",
    ),
    "def": Advice("`def` is not of this language", "write block name(c) { ... }"),
    "function": Advice("`function` is not of this language", "write block name(c) { ... }"),
    "class": Advice(
        "`class` is not of this language", "write net Name(classes = 10) { ... }, or block name(c) { ... }"
    ),
    "import": Advice("`import` is not of this language", 'write use "file.cnn" (name)'),
    "include": Advice("`include` is not of this language", 'write use "file.cnn" (name)'),
    "while": Advice(
        "there is no `while`", "a repeat stands after its stage: unit(64) * 3, or unit(c) for c in [64, 128]"
    ),
    "const": Advice("`const` is not of this language", "write let name = value"),
    "var": Advice("`var` is not of this language", "write let name = value"),
    "lambda": Advice("`lambda` is not of this language", "write block name(c) { ... }"),
}


def advice(text: str, offset: int, found: str, accepts: Iterable[str]) -> Advice:
    """The message for an error at `offset`, where `found` stood and `accepts` (terminal names) could have."""
    stop = Stop(text, offset, found, frozenset(accepts))
    for habit in _HABITS:
        said = habit(stop)
        if said is not None:
            return said
    if found == "" and "$END" not in stop.names:
        return Advice(f"the text ends where {expected(stop.names)} was expected")
    shown = found if found.isprintable() else repr(found)
    return Advice(f"`{shown}` does not fit here: expected {expected(stop.names)}")


def _character(stop: Stop) -> Advice | None:
    """A character that looks like one of the language's, or like none at all."""
    char = stop.found[:1]
    if not char or (char.isascii() and char != "`"):
        return None
    pair = stop.after[:2]
    if stop.after.startswith("```"):
        return Advice("a line of Markdown stands here", "take the ``` lines out")
    if char in _SIGNS:
        write = "->" if pair[1:] == ">" and _SIGNS[char] == "-" else _SIGNS[char]
        return Advice(
            f"`{char if write != '->' or pair[1:] != '>' else pair}` is no sign of the language", f"write {write}"
        )
    if char.isspace() or not char.isprintable():
        from unicodedata import name

        what = f"U+{ord(char):04X}, {name(char, 'a control character').lower()}"
        return Advice(f"an invisible character stands here: {what}", "take it out, or put a plain space in its place")
    return None


def _comment(stop: Stop) -> Advice | None:
    mark = re.match(r'//|/\*|--(?!>)|<!--|""(?=")|\'\'\'|%%|\{#', stop.after)
    if mark is None and stop.found == "*" and stop.before.endswith("/"):
        mark = re.match(r"\*", stop.after)
    if mark is None or (mark[0] == "//" and "MUL" in stop.names) or (mark[0] == "--" and "MINUS" in stop.names):
        return None
    shown = {'""': '"""', "*": "/*"}.get(mark[0], mark[0])
    return Advice(f"`{shown}` starts no comment here", "a comment starts with # and ends with its line")


def _quote(stop: Stop) -> Advice | None:
    if stop.found != "'":
        return None
    text = re.match(r"'([^'\n]*)'", stop.after)
    argument = re.search(r"\b(pad|padding|mode|activation)\s*=\s*$", stop.before)
    if text is not None and argument is not None:
        if argument[1] in ("pad", "padding") and text[1] in ("same", "valid"):
            return Advice(
                f"`{argument[1]}` takes no text: padding is a number or a word",
                "write pad=half (an odd kernel's: the size stays at stride 1) or pad=same_upper (TensorFlow's)"
                if text[1] == "same"
                else "leave it out: there is no padding by default",
            )
        if argument[1] == "activation":
            return Advice("an activation is a stage of its own, not an argument", f"write -> {text[1]} after the layer")
    return Advice("texts stand in double quotes", f'write "{text[1] if text is not None else "..."}"')


def _sign(stop: Stop) -> Advice | None:
    """Punctuation and operators of other languages."""
    found, before, after = stop.found, stop.before, stop.after
    if found == ";":
        return Advice("`;` has no meaning here: a line needs no end", "take the `;` out")
    if found == "=" and stop.text[stop.line_start : stop.offset].endswith("=="):
        return Advice("`===` is not an operator", "write ==")
    if re.match(r"\*\*", after) or (found == "*" and before.endswith("*")):
        return Advice("`**` is not an operator here", "multiply: 2 * 2 * 2")
    if found == "^":
        return Advice("`^` is not an operator here", "multiply: 2 * 2 * 2")
    if found == "!":
        return Advice("`!` is not an operator", "write not")
    if found == "&":
        return Advice(f"`{'&&' if after.startswith('&&') else '&'}` is not an operator", "write and")
    if found == "|" and after.startswith("||") and re.search(r"\b(if|let|require)\b[^{}|]*$|[<>=!]=[^{}|]*$", before):
        return Advice("`||` is not an operator", "write or")
    if found == "|" and after.startswith("|>"):
        return Advice("stages are joined by `->`, not by `|>`", "write ->")
    if found == "?":
        if re.search(r"\[[^\]]*$", before):
            return Advice("`?` is not a size", "a size that is not fixed has a name: f32[N, 3, H, W]")
        return Advice("`?` is not an operator", "write a if condition else b")
    if found == "is" and {"LBRACE", "ELSE"} & stop.names and not stop.staged:
        return Advice("`is` checks a shape; it compares no numbers", "write == or !=")
    if found == "\\":
        return Advice("a line that goes on needs no `\\`", "take it out")
    return None


def _number(stop: Stop) -> Advice | None:
    before, after = stop.before, stop.after
    if stop.found == "." and (digits := re.match(r"\.(\d+)", after)) and not re.search(r"\w$", before):
        return Advice("a number does not start with a dot", f"write 0.{digits[1]}")
    if stop.found == "." and (digits := re.search(r"\d+$", before)) and not re.match(r"\.\w", after):
        return Advice("a number does not end with a dot", f"write {digits[0]}.0")
    whole = re.search(r"\d*$", before)
    radix = re.match(r"[xXbBoO][0-9A-Fa-f]+\b", after)
    if radix is not None and whole is not None and whole[0] == "0":
        try:
            write = str(int(f"0{radix[0]}", 0))
        except ValueError:
            return None
        return Advice("numbers are decimal", f"write {write}")
    if stop.found in (")", ",") and (percent := re.search(r"(\d+)%$", before)):
        return Advice("`%` is the remainder of a division", f"write {int(percent[1]) / 100:g}")
    return None


def _keyword(stop: Stop) -> Advice | None:
    found, before, after = stop.found, stop.before, stop.after
    if found in ("elif", "elsif", "elseif"):
        return Advice(f"`{found}` is not a word of the language", "write else if")
    if found in _KEYWORDS and not re.match(r"\w+\s*[(=:]\s*[^(]", after.replace(f"{found}(", "", 1)):
        return _KEYWORDS[found]
    if before.endswith("lambda"):
        return _KEYWORDS["lambda"]
    if found == "for" and "NAME" in stop.names:
        return Advice("a repeat stands after its stage", "write stage(...) for i in 4")
    if found == "x" and (times := re.match(r"x\s*(\d+)\b", after)) and stop.staged:
        return Advice("a repeat is written with `*`", f"write * {times[1]}")
    if re.fullmatch(r"layers?|node", found) and re.match(r"\w+\s*\{", after) and "$END" in stop.names:
        return Advice(
            f"`{found} {{` is a layer of a prototxt, not of a netc spec", "a chain says it: -> name: conv(64, k=3)"
        )
    return None


def _assigned(stop: Stop) -> Advice | None:
    """`x = conv(...)`, `self.x = ...`, `x += 1`."""
    name = None
    if stop.found == "=":
        name = re.search(r"(?:^|[{|]|->)\s*(?:self\.)?(\w+)$", stop.before)
    elif stop.before == "" or stop.before[-1] in "{}":
        name = re.match(r"(?:self\.)?([A-Za-z_]\w*)\s*(?:[-+*/]=|=(?![=>]))", stop.after)
    if name is None or name[1] in WORDS or "EQUAL" in stop.names:
        return None
    return Advice(
        "a value is named by a label, not by `=`",
        f"write {name[1]}: layer(...) in a chain, or let {name[1]} = ... for a number",
    )


def _dotted(stop: Stop) -> Advice | None:
    """`nn.Conv2d(3, 64, 3)` where a stage is expected."""
    if stop.found == "(" and (path := re.search(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$", stop.before)):
        last = path[0].rpartition(".")[2]
        return Advice(f"`{path[0]}`: what is called has no library before its name", f"write {last}(...)")
    if stop.found != "." or not ({"COLON", "LPAR"} & stop.names):
        return None
    head, tail = re.search(r"[A-Za-z_]\w*$", stop.before), re.match(r"(?:\.[A-Za-z_]\w*)+", stop.after)
    if head is None or tail is None:
        return None
    name = tail[0].rpartition(".")[2]
    end = stop.offset + tail.end()
    given = arguments(stop.text, end) if stop.text[end : end + 1] == "(" else []
    write = translated(name, given) if given is not None else ""
    return Advice(
        f"`{head[0]}{tail[0]}`: a layer or block has no library before its name",
        f"write {write}" if write else f"take `{head[0]}{tail[0].removesuffix(name)}` out",
    )


def _arrow(stop: Stop) -> Advice | None:
    """What stands where an arrow belongs, and arrows that lead nowhere."""
    found, before, after = stop.found, stop.before, stop.after
    led = re.search(r"=>\s*([A-Za-z_]\w*)$", before)
    if led is not None and found in (":", "("):
        return Advice(
            "`=>` feeds an output; a stage follows `->`", f"write -> {led[1]}{':' if found == ':' else '(...)'}"
        )
    if stop.above.endswith("->"):
        if found == "->":
            return Advice("an arrow ends the line before and starts this one", "take one of them out")
        if found == "=>":
            return Advice("`->` and `=>` follow each other", "take `->` out: `=>` feeds the output")
        if found in ("", "}", "|") or (found in WORDS - {"if", "is"} and stop.before == ""):
            return Advice("a chain ends in an arrow", "take the last `->` out, or write the stage after it")
        if found == "[" or (found == "(" and "LBRACE" in stop.names):
            return Advice("stages are grouped by braces", "write { a -> b }, or { | a | b } for a fork")
        if found in ("*", "-") or "LBRACE" not in stop.names:
            return None
    count = re.search(r"->\s*(\d+)$", before)
    if found == "*" and count is not None:
        return Advice("a repeat's count stands after its stage", f"write stage(...) * {count[1]}")
    if not stop.staged:
        return None
    mark = re.match(r">>|-->|~>|=>>|>|<-|\.(?=\s)", after)
    if mark is not None:
        return Advice(f"stages are joined by `->`, not by `{mark[0]}`", "write ->")
    if found == "+":
        if re.search(r"\bfrom\s+[\w., ]+$", before):
            return Advice("values are added by `add`", "write from a, b -> add")
        return Advice("stages are joined by `->`; `add` adds values", "write ->, or add { | a | b }")
    if found == "," and not re.search(r"\bfrom\s+[\w., ]+$", before):
        rest = stop.text[stop.offset + 1 :].lstrip()
        write = "take the comma out" if rest.startswith(("->", "=>")) else "write -> in place of the comma"
        return Advice("stages are joined by `->`, not by commas", write)
    if re.match(r"[A-Za-z_]", found) and not (found in WORDS and found not in ("if", "is")):
        return Advice(f"`{found}` does not follow here: stages are joined by `->`", f"write -> {found}")
    return None


def _bracket(stop: Stop) -> Advice | None:
    """Brackets, colons and braces of the wrong kind."""
    found, before, names = stop.found, stop.before, stop.names
    if found == "," and "RPAR" in names and "COMMA" not in names:
        return Advice("a list stands in square brackets", "write [a, b]; one number serves all sides")
    if found == ":" and (argument := re.search(r"[(,]\s*(\w+)$", before)) and "EQUAL" in names:
        return Advice("an argument is given by `=`", f"write {argument[1]}=")
    if found == ":" and (defined := re.search(r"\b(net|block)\s+(\w+)\s*(\([^()]*\))?$", before)):
        return Advice("a body stands in braces", f"write {defined[0].strip()} {{ ... }}")
    if found == ":" and "EQUAL" in names:
        return Advice("a value is given by `=`", "write = in place of the colon")
    if found in ("(", "<") and "LSQB" in names and (typed := re.search(r"(?:input|output)\s+\w+\s*:\s*(\w+)$", before)):
        return Advice("a shape stands in square brackets", f"write {typed[1]}[N, ...]")
    if "COLON" in names and (port := re.search(r"\b(input|output)\s+(\w+)$", stop.above)):
        return Advice(f"the {port[1]} `{port[2]}` has no shape", f"write {port[1]} {port[2]}: f32[N, 3, 224, 224]")
    if found == "{" and "ELSE" in names:
        return Advice(
            "this `if` goes on with the expression before it, and an expression's `if` has an `else` and no braces",
            "start a chain with it: from in -> if ... { ... }",
        )
    if found == "|" and before.endswith("|"):
        return Advice("an arm is never empty", "write | id for an arm that passes its input on")
    if found in ("}", "|") and re.search(r"(\{|\|)\s*$", stop.text[: stop.offset]):
        return Advice("braces and arms are never empty", "write id to pass the input on, or take them out")
    return None


def _missing(stop: Stop) -> Advice | None:
    """A part that a statement always has: where a chain starts, why something is required, what a block takes."""
    found, above, names = stop.found, stop.above, stop.names
    required = re.search(r"\brequire\s+([^{}\"]+)$", above)
    if required and "COMMA" in names and "STRING" not in names and found != ",":
        test = " ".join(required[1].split())
        test += "" if re.search(r"[<>=]", test) else " == 0"
        return Advice("a requirement gives its reason, for whoever breaks it", f'write require {test}, "why"')
    if reason := re.search(r'\brequire\s+("[^"\n]*")$', above):
        return Advice("a requirement starts with its test", f"write require H % 4 == 0, {reason[1]}")
    if found == "{" and (block := re.search(r"\bblock\s+(\w+)$", above)):
        return Advice(
            "a block has parentheses, even where nothing stands in them", f"write block {block[1]}() {{ ... }}"
        )
    if "LPAR" in names and (used := re.search(r'\buse\s+("[^"\n]*")$', above)):
        return Advice("`use` names the blocks that it takes", f"write use {used[1]} (NAME, NAME)")
    if "LSQB" in names and re.search(r"\bis$", above) and re.fullmatch(r"\d+(x\d+)*", found):
        return Advice("a shape stands in square brackets, the batch first", f"write is [_, {found.replace('x', ', ')}]")
    if {"FROM", "RBRACE", "DEFAULT"} <= names and "NAME" not in names and re.match(r"[A-Za-z_]", found):
        line = stop.text[stop.offset :].partition("\n")[0]
        if "->" in line or ":" in line:
            start = f"NAME -> {found}: ..." if re.match(r"\w+\s*:", line) else f"{found} -> ..."
            return Advice("a net's chain says where it starts, an input or a label", f"write from {start}")
    return None


def _word(stop: Stop) -> Advice | None:
    """A word of the language where a name belongs, and a missing comma."""
    found = stop.found
    if found in WORDS and "NAME" in stop.names:
        return Advice(
            f"`{found}` is a word of the language, and a name was expected here",
            f'something is missing before it; as a component of a path it is quoted: "{found}": ...',
        )
    if re.match(r"[A-Za-z_]", found) and re.search(r"[\w\])\"]$", stop.before) and "COMMA" in stop.names:
        return Advice(f"`{found}` does not follow here: a comma is missing", f"write a comma before {found}")
    return None


_HABITS: tuple[Callable[[Stop], Advice | None], ...] = (
    _character, _comment, _quote, _sign, _number, _keyword, _assigned, _dotted, _arrow, _bracket, _missing, _word,
)  # fmt: skip
