"""Answers as text: what does not matter removed, lists and brackets taken apart. All in linear time."""

from __future__ import annotations

import re

_SYMBOLS = {
    "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "÷": "/", "π": r"\pi ", "∞": r"\infty ",
    "√": r"\sqrt ", "≤": r"\le ", "≥": r"\ge ", "∪": r"\cup ", "∈": r"\in ", "±": r"\pm ",
    "°": "", "²": "^2", "³": "^3",
    "½": r"\frac{1}{2}", "≈": r"\approx ", "θ": r"\theta ", "∅": r"\emptyset ",
}  # fmt: skip
_SPACED = re.compile(r"(\\(?:text|mathrm|mbox))\s+(?=\{)")
_ROOT = re.compile(r"√\s*(\d+)")
_BESIDE = re.compile(r"(\$[^$]*\$)\s*([A-Za-z][A-Za-z/ ]*)\.?\s*")
_THOUSANDS = re.compile(r"(?<=\d)(?:,\s*\\!|\{,\})\s*(?=\d{3})")
_SUPERFLUOUS = re.compile(
    r"\\(?:left|right|[bB]igg?[lrm]?|displaystyle|textstyle|limits)(?![A-Za-z])"
    r"|(?<!\\)\\[!()\[\]]|\\?[%$]|\^\s*(?:\\circ(?![A-Za-z])|\{\s*\\circ\s*\})|\\degree(?![A-Za-z])"
    r"|(?<![A-Za-z])np\.|^\s*\\approx(?![A-Za-z])|\\[hv]?phantom\s*(?:\{[^{}]*\}|[^\s{A-Za-z])"
)
_SPACES = re.compile(r"(?<!\\)\\(?:[,;:> ]|q?quad(?![A-Za-z]))|~")
_FRACTION = re.compile(r"\\[dtc]frac(?![A-Za-z])")
_FUNCTION = re.compile(r"(?<![A-Za-z\\])(?:pi|arc(?:sin|cos|tan)|sqrt)(?![A-Za-z])")
_POINT = re.compile(r"(?<=\d)\.(?!\d)|[.\s]+$")
_TEXT = re.compile(r"\\(?:text(?:bf|it|rm|normal)?|mathrm|mathbf|mbox) ?\{([^{}]*)\}")
_UNIT = re.compile(
    r"(?<!_)(?<!_\{)\\(?:text(?:rm|normal)?|mathrm|mbox) ?\{[^{}\d]*\}\s*(?:\^\s*(?:\d|\{-?\d\}))?"
)
_ARGUMENT = re.compile(r"\\sqrt\s*\[[^\[\]]*\]|\\[A-Za-z]+|\\.|\s+|.", re.DOTALL)
_TOKEN = re.compile(
    r"(?P<open>\\begin\s*\{[a-z]*\}|\\langle|\\\{|[(\[{])|(?P<close>\\end\s*\{[a-z]*\}|\\rangle|\\\}|[)\]}])"
    r"|(?P<list>\\(?:text|mathrm|mbox)\s*\{[\s,]*(?:and|or)\s*\}|(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])|[,;])"
    r"|(?P<union>\\cup(?![A-Za-z]))|(?P<row>\\\\)|(?P<cell>&)|\\.",
    re.DOTALL,
)


def clean(text: str) -> str:
    r"""The answer without dollar, percent and degree signs, sizes and final points; plain spaces.

    Thousands that are set apart (`5,\!525`) are joined, and `\frac` and `\sqrt` have braces around their
    arguments.
    """
    beside = _BESIDE.fullmatch(text)
    text = rf"{beside[1]}\text{{{beside[2]}}}" if beside else text
    text = _ROOT.sub(r"\\sqrt{\1}", _SPACED.sub(r"\1", text))
    for found, replacement in _SYMBOLS.items():
        text = text.replace(found, replacement)
    text = _SUPERFLUOUS.sub("", _THOUSANDS.sub("", text)).replace("{,}", ",")
    text = _FRACTION.sub(r"\\frac", _SPACES.sub(" ", text))
    text = _FUNCTION.sub(r"\\\g<0> ", text)
    return _braced(" ".join(_POINT.sub("", text).split()))


def bare(text: str) -> str:
    r"""The answer without `\text{}` around its words."""
    return _TEXT.sub(r"\1", text).strip()


def only_text(text: str) -> bool:
    r"""Whether the answer is words in `\text{}`, without a digit."""
    return _TEXT.fullmatch(text) is not None and not any(map(str.isdigit, text))


def without_text(text: str) -> str:
    r"""The answer without `\text{...}` and the power of a unit in it; itself if nothing else is in it."""
    rest = _UNIT.sub("", text).strip()
    return rest or text


def _braced(text: str) -> str:
    r"""Braces around the arguments of `\frac` and `\sqrt`, as in `\frac12`, `\frac\pi4`, `\sqrt(2)`."""
    pieces, wanted, groups = [], [0], []  # arguments still to come, by open group; kinds of groups
    for piece in _ARGUMENT.findall(text):
        if piece.isspace() and wanted[-1]:
            continue
        if piece in ("{", "("):
            groups.append("}" if piece == "{" or wanted[-1] else ")")
            wanted.append(0)
            piece = "{" if groups[-1] == "}" else piece
        elif piece in ("}", ")") and groups:
            piece = groups.pop()
            wanted.pop()
            wanted[-1] -= bool(wanted[-1] and piece == "}")
        elif piece.startswith(("\\frac", "\\sqrt")):
            wanted[-1] = 2 if piece == "\\frac" else 1
        elif wanted[-1]:
            wanted[-1] -= 1
            piece = f"{{{piece}}}"
        pieces.append(piece)
    return "".join(pieces)


def split(text: str, kind: str) -> list[str]:
    r"""Parts between the separators that no bracket encloses; the text itself if brackets do not match.

    Args:
        text: a cleaned answer.
        kind: `list` (comma, semicolon, and, or), `union` (`\cup`), `row` (`\\`) or `cell` (`&`).
    """
    parts, start, depth = [], 0, 0
    for token in _TOKEN.finditer(text):
        depth += bool(token["open"]) - bool(token["close"])
        if depth < 0:
            return [text]
        if token[kind] and depth == 0:
            parts.append(text[start : token.start()].strip())
            start = token.end()
    parts = [*parts, text[start:].strip()] if depth == 0 else [text]
    return [part for part in parts if part]


def enclosed(text: str) -> tuple[str, str, str] | None:
    """Opening bracket, content and closing bracket, if one pair encloses all of the text."""
    depth, opening = 0, None
    for token in _TOKEN.finditer(text):
        depth += bool(token["open"]) - bool(token["close"])
        if opening is None:
            if not token["open"] or token.start():
                return None
            opening = token
        if depth == 0:
            whole = token.end() == len(text)
            return (
                (opening[0], text[opening.end() : token.start()].strip(), token[0])
                if whole
                else None
            )
    return None
