"""Answers as text: brought to one notation (`clean`), and taken apart at brackets and separators, in linear time.

`clean` is a table of steps, applied from top to bottom. What later steps look for, earlier ones have written: signs
become commands, commands lose their synonyms, then thousands are joined, currency and sizes dropped, words taken out
of `\\text{}`, and only then degrees, function names and repeating decimals are read.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import yaml

from reasonmaxxer.problems.answers import plain_digits

_NOTATION = yaml.safe_load(Path(__file__).with_name("notation.yaml").read_text(encoding="utf-8"))
_DEGREES = r"(?:\^\s*(?:\\circ(?![A-Za-z])|\{\s*\\circ\s*\})|\\degree(?![A-Za-z]))(?:\s*[CF](?![A-Za-z]))?"
_TRIGONOMETRIC = re.compile(r"(?<![A-Za-z])(?:sin|cos|tan|cot|sec|csc)")
_ARGUMENT = re.compile(r"\\sqrt\s*\[[^\[\]]*\]|\\[A-Za-z]+|\\.|\s+|.", re.DOTALL)
_TOKEN = re.compile(
    r"(?P<open>\\begin\s*\{[a-z]*\}|\\langle|\\\{|[(\[{])|(?P<close>\\end\s*\{[a-z]*\}|\\rangle|\\\}|[)\]}])"
    r"|(?P<list>(?<![A-Za-z\\])(?:(?P<and>and)|(?P<or>or))(?![A-Za-z])|[,;])"
    r"|(?P<cup>\\cup(?![A-Za-z]))|(?P<cap>\\cap(?![A-Za-z]))|(?P<row>\\\\)|(?P<cell>&)|(?P<colon>:)"
    r"|(?P<equals>(?<![<>!:=])=(?!=))|\\.",
    re.DOTALL,
)


def clean(text: str) -> str:
    r"""The answer with one notation for what has many: plain spaces, digits, fractions and relations.

    Dollars, degrees, sizes and final points are gone, thousands joined (`5,\!525`), words out of their
    `\text{}`, roman `\mathrm{e}` and `\mathrm{ln}` read as `e` and `\ln`; degrees within trigonometric
    functions are radians.
    """
    text = plain_digits(text)
    for pattern, replacement in _STEPS:
        text = pattern.sub(replacement, text)
    return _braced(" ".join(text.split()))


def _vulgar(sign: re.Match[str]) -> str:
    upper, _, lower = unicodedata.normalize("NFKC", sign[0]).partition("\u2044")
    return rf"\frac{{{upper}}}{{{lower}}}"


def _joined(number: re.Match[str]) -> str:
    return "".join(re.findall(r"\d", number[0]))


def _opened(group: re.Match[str]) -> str:
    content = group[1].strip()
    if content == "lcm":
        return r"\operatorname{lcm}"
    return f" {content}" if content in ("e", "i", "d") else f" {content} "


def _radians(angle: re.Match[str]) -> str:
    """Degrees as radians where the text has a trigonometric function."""
    return rf"{{\frac{{{angle[1]}\pi}}{{180}}}}" if _TRIGONOMETRIC.search(angle.string) else angle[0]


def _fraction(decimal: re.Match[str]) -> str:
    """0.1(6) is (16 - 1) / 90."""
    whole, head, period = decimal[1] or "0", decimal[2], decimal[3] or decimal[4]
    upper = int(whole + head + period) - int(whole + head)
    return rf"\frac{{{upper}}}{{{10 ** len(head) * (10 ** len(period) - 1)}}}"


def _said(phrase: str) -> str:
    """Pattern of whole words, letter case aside."""
    return rf"(?<![A-Za-z\\])(?i:{phrase})(?![A-Za-z])"


_STEPS: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # Signs and commands that have several forms.
        ("[\u200b-\u200f\u2060-\u2064\ufeff\u00ad]", ""),  # invisible
        ("[¼-¾⅐-⅞]", _vulgar),
        (r"\\\\\s*\[\s*-?[\d.]+\s*(?:pt|em|ex|mm|cm)\s*\]", r"\\\\ "),  # rows of a matrix, with their distance
        (r"(\\(?:text|mathrm|mbox))\s+(?=\{)", r"\1"),
        (r"√\s*(\d+)", r"\\sqrt{\1}"),
        ("|".join(map(re.escape, _NOTATION["signs"])), lambda sign: _NOTATION["signs"][sign[0]]),
        (rf"\\({'|'.join(_NOTATION['commands'])})(?![A-Za-z])", lambda name: _NOTATION["commands"][name[1]]),
        # Thousands, and what is only to be looked at: sizes, delimiters of formulas, currency.
        (
            r"(?<![\d.,])\d{1,3}(?:(?:,\s*\\!\s*|\{,\}|\\[,;: ]|~|[ \u00a0\u202f])\d{3})+(?!\d|\s*[/\\])"
            r"|(?<=\d)(?:,\s*\\!|\{\s*,\s*\})\s*(?=\d{3})",
            _joined,
        ),
        (
            r"\\(?:left|right|[bB]igg?[lrm]?|displaystyle|textstyle|limits)(?![A-Za-z])"
            r"|(?<!\\)\\[!()\[\]]|(?<![A-Za-z])(?:US|R|HK|NT|A|C|S)\\?\$(?=\s*\d)|\\?[$€£¥₹₽₩]|(?<![A-Za-z])np\."
            r"|\\[hv]?phantom\s*(?:\{[^{}]*\}|[^\s{A-Za-z])",
            "",
        ),
        (r"^\s*\\approx(?![A-Za-z])", ""),
        (r"\{([,:])\}", r"\1"),
        # Words: out of their groups, and with one spelling.
        (r"(?i)\b([ap])\.\s?m\b\.?", r"\1m"),
        (r"\{([^{}]*)\\choose([^{}]*)\}", r"\\binom{\1}{\2}"),
        (r"(?<!\\)\\(?:[,;:> ]|q?quad(?![A-Za-z]))|~", " "),
        (
            r"(?<!_)(?<!_\{)\\(?:text(?:bf|it|rm|normal)?|math(?:rm|it|bf|sf)|mbox|operatorname)\s*"
            r"\{((?:[^{}]|\{[^{}]*\})*)\}",
            _opened,
        ),
        (r"(?<=\d)\s*(?:\\Omega(?![A-Za-z])|Ω)\s*$", " ohm"),
        (_said("(?:the )?empty set|no (?:real )?solutions?"), r"\\emptyset "),
        (_said("all real numbers|all reals"), r"\\mathbb{R}"),
        (_said("infinity"), r"\\infty "),
        # Numbers and functions.
        (rf"(\d+(?:\.\d+)?|(?<![A-Za-z])[A-Za-z])\s*(?:{_DEGREES})", _radians),
        (_DEGREES, " "),
        (
            r"(?<![A-Za-z\\{])(?:pi|arc(?:sin|cos|tan)|sqrt|sin|cos|tan|ln|log|lcm|gcd|max|min)(?![A-Za-z])",
            r"\\\g<0> ",
        ),
        (r"(\d*)\.(\d*)(?:\\(?:overline|bar|dot)\s*\{(\d+)\}|\((\d+)\))(?!\d)", _fraction),
        (r"^([A-Za-z]) in (?=[\\(\[])", r"\1 \\in "),
        (r"\\lcm", r"\\operatorname{lcm}"),
        (r"(\\mathbb\{R\})\s*(?:except|without)(?: for)?\s*([^,]+)$", r"\1 \\setminus \\{\2\\}"),
        (r"(?<=\d)\.(?!\d)|[.\s]+$", ""),
    )
]


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


def split(text: str, *kinds: str) -> list[str]:
    r"""Parts between the separators that no bracket encloses; the text itself if brackets do not match.

    Args:
        text: a cleaned answer.
        kinds: of separators: `list` (comma, semicolon, and, or), `and`, `or`, `cup` (`\cup`), `cap` (`\cap`),
            `colon`, `equals`, `row` (`\\`) or `cell` (`&`).
    """
    parts, start, depth = [], 0, 0
    for token in _TOKEN.finditer(text):
        depth += bool(token["open"]) - bool(token["close"])
        if depth < 0:
            return [text]
        if depth == 0 and any(map(token.group, kinds)):
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
            return (opening[0], text[opening.end() : token.start()].strip(), token[0]) if whole else None
    return None
