"""Answers as text: what does not matter removed, lists and brackets taken apart. All in linear time."""

from __future__ import annotations

import re
import unicodedata

from reasonmaxxer.problems.answers import plain_digits

_SYMBOLS = {
    "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "÷": "/", "π": r"\pi ", "∞": r"\infty ",
    "√": r"\sqrt ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ",
    "±": r"\pm ", "∖": r"\setminus ", "ℝ": r"\mathbb{R}", "°": r"^\circ ", "²": "^2", "³": "^3",
    "≈": r"\approx ", "θ": r"\theta ", "∅": r"\emptyset ",
    "<=": r"\le ", ">=": r"\ge ", "!=": r"\ne ",
}  # fmt: skip
_SYNONYMS = {
    "lt": "<", "gt": ">", "leq": r"\le ", "leqslant": r"\le ", "geq": r"\ge ", "geqslant": r"\ge ",
    "neq": r"\ne ", "varnothing": r"\emptyset ", "backslash": r"\setminus ", "lor": " or ", "vee": " or ",
    "land": " and ", "wedge": " and ", "R": r"\mathbb{R}", "imath": "i", "vert": "|", "mid": "|",
    "lvert": "|", "rvert": "|",
    "langle": "(", "rangle": ")", "dfrac": r"\frac", "tfrac": r"\frac", "cfrac": r"\frac", "colon": ":",
}  # fmt: skip
_SYNONYM = re.compile(rf"\\({'|'.join(_SYNONYMS)})(?![A-Za-z])")
_PHRASES = {
    r"(?:the )?empty set|no (?:real )?solutions?": r"\\emptyset ",
    r"all real numbers|all reals": r"\\mathbb{R}",
    r"infinity": r"\\infty ",
}
_EXCEPT = re.compile(r"(\\mathbb\{R\})\s*(?:except|without)(?: for)?\s*([^,]+)$")
_VULGAR = re.compile("[¼-¾⅐-⅞]")
_ROW_HEIGHT = re.compile(r"\\\\\s*\[\s*-?[\d.]+\s*(?:pt|em|ex|mm|cm)\s*\]")
_INVISIBLE = re.compile("[\u200b-\u200f\u2060-\u2064\ufeff\u00ad]")
_SPACED = re.compile(r"(\\(?:text|mathrm|mbox))\s+(?=\{)")
_ROOT = re.compile(r"√\s*(\d+)")
_THOUSANDS = re.compile(
    r"(?<![\d.,])\d{1,3}(?:(?:,\s*\\!\s*|\{,\}|\\[,;: ]|~|[ \u00a0\u202f])\d{3})+(?!\d|\s*[/\\])"
    r"|(?<=\d)(?:,\s*\\!|\{\s*,\s*\})\s*(?=\d{3})"
)
_SUPERFLUOUS = re.compile(
    r"\\(?:left|right|[bB]igg?[lrm]?|displaystyle|textstyle|limits)(?![A-Za-z])"
    r"|(?<!\\)\\[!()\[\]]|(?<![A-Za-z])(?:US|R|HK|NT|A|C|S)\\?\$(?=\s*\d)|\\?[$€£¥₹₽₩]|(?<![A-Za-z])np\.|\\[hv]?phantom\s*(?:\{[^{}]*\}|[^\s{A-Za-z])"
)
_OHM = re.compile(r"(?<=\d)\s*(?:\\Omega(?![A-Za-z])|Ω)\s*$")
_ABOUT = re.compile(r"^\s*\\approx(?![A-Za-z])")
_DEGREES = re.compile(r"(?:\^\s*(?:\\circ(?![A-Za-z])|\{\s*\\circ\s*\})|\\degree(?![A-Za-z]))(?:\s*[CF](?![A-Za-z]))?")
_WITHIN = re.compile(r"^([A-Za-z]) in (?=[\\(\[])")
_ANGLE = re.compile(rf"(\d+(?:\.\d+)?|(?<![A-Za-z])[A-Za-z])\s*(?:{_DEGREES.pattern})")
_TRIGONOMETRIC = re.compile(r"(?<![A-Za-z])(?:sin|cos|tan|cot|sec|csc)")
_REPEATING = re.compile(r"(\d*)\.(\d*)(?:\\(?:overline|bar|dot)\s*\{(\d+)\}|\((\d+)\))(?!\d)")
_CHOOSE = re.compile(r"\{([^{}]*)\\choose([^{}]*)\}")
_SPACES = re.compile(r"(?<!\\)\\(?:[,;:> ]|q?quad(?![A-Za-z]))|~")
_FUNCTION = re.compile(
    r"(?<![A-Za-z\\{])(?:pi|arc(?:sin|cos|tan)|sqrt|sin|cos|tan|ln|log|lcm|gcd|max|min)(?![A-Za-z])"
)
_HALF_DAY = re.compile(r"\b([ap])\.\s?m\b\.?", re.IGNORECASE)
_POINT = re.compile(r"(?<=\d)\.(?!\d)|[.\s]+$")
_ROMAN = re.compile(
    r"(?<!_)(?<!_\{)\\(?:text(?:bf|it|rm|normal)?|math(?:rm|it|bf|sf)|mbox|operatorname)\s*\{((?:[^{}]|\{[^{}]*\})*)\}"
)
_ARGUMENT = re.compile(r"\\sqrt\s*\[[^\[\]]*\]|\\[A-Za-z]+|\\.|\s+|.", re.DOTALL)
_TOKEN = re.compile(
    r"(?P<open>\\begin\s*\{[a-z]*\}|\\langle|\\\{|[(\[{])|(?P<close>\\end\s*\{[a-z]*\}|\\rangle|\\\}|[)\]}])"
    r"|(?P<list>(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])|[,;])"
    r"|(?P<union>\\cup(?![A-Za-z]))|(?P<row>\\\\)|(?P<cell>&)|(?P<colon>:)"
    r"|(?P<equals>(?<![<>!:=])=(?!=))|\\.",
    re.DOTALL,
)


def clean(text: str) -> str:
    r"""The answer with one notation for what has many: plain spaces, digits, fractions and relations.

    Dollars, degrees, sizes and final points are gone, thousands joined (`5,\!525`), words out of their
    `\text{}`, roman `\mathrm{e}` and `\mathrm{ln}` read as `e` and `\ln`; degrees within trigonometric
    functions are radians.
    """
    text = _INVISIBLE.sub("", plain_digits(text))
    text = _ROW_HEIGHT.sub(r"\\\\ ", _VULGAR.sub(_vulgar, text))
    text = _ROOT.sub(r"\\sqrt{\1}", _SPACED.sub(r"\1", text))
    for found, replacement in _SYMBOLS.items():
        text = text.replace(found, replacement)
    text = _SYNONYM.sub(lambda name: _SYNONYMS[name[1]], text)
    text = _THOUSANDS.sub(lambda number: "".join(re.findall(r"\d", number[0])), text)
    text = _ABOUT.sub("", _SUPERFLUOUS.sub("", text)).replace("{,}", ",").replace("{:}", ":")
    text = _HALF_DAY.sub(r"\1m", text)
    text = _ROMAN.sub(_opened, _SPACES.sub(" ", _CHOOSE.sub(r"\\binom{\1}{\2}", text)))
    text = _OHM.sub(" ohm", text)
    for phrase, meant in _PHRASES.items():
        text = re.sub(rf"(?<![A-Za-z\\])(?:{phrase})(?![A-Za-z])", meant, text, flags=re.IGNORECASE)
    if _TRIGONOMETRIC.search(text):
        text = _ANGLE.sub(r"{\\frac{\1\\pi}{180}}", text)
    text = _REPEATING.sub(_fraction, _FUNCTION.sub(r"\\\g<0> ", _DEGREES.sub(" ", text)))
    text = _WITHIN.sub(r"\1 \\in ", text)
    text = _EXCEPT.sub(r"\1 \\setminus \\{\2\\}", text.replace(r"\lcm", r"\operatorname{lcm}"))
    return _braced(" ".join(_POINT.sub("", text).split()))


def _opened(group: re.Match[str]) -> str:
    content = group[1].strip()
    if content == "lcm":
        return r"\operatorname{lcm}"
    return f" {content}" if content in ("e", "i", "d") else f" {content} "


def _vulgar(sign: re.Match[str]) -> str:
    upper, _, lower = unicodedata.normalize("NFKC", sign[0]).partition("\u2044")
    return rf"\frac{{{upper}}}{{{lower}}}"


def _fraction(decimal: re.Match[str]) -> str:
    """0.1(6) is (16 - 1) / 90."""
    whole, head, period = decimal[1] or "0", decimal[2], decimal[3] or decimal[4]
    upper = int(whole + head + period) - int(whole + head)
    return rf"\frac{{{upper}}}{{{10 ** len(head) * (10 ** len(period) - 1)}}}"


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
        kind: `list` (comma, semicolon, and, or), `union` (`\cup`), `colon`, `equals`, `row` (`\\`) or
            `cell` (`&`).
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
            return (opening[0], text[opening.end() : token.start()].strip(), token[0]) if whole else None
    return None
