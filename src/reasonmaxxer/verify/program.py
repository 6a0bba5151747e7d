"""Reads the program out of a completion: whole, in linear time, and without running or parsing hostile text.

A completion may be prose around code blocks, code alone, or what a base model writes on after a prompt that ends
within a function. Of these the first that is there is the program:

1. the prompt with the body that the completion begins with, cut where that body ends
2. the first code block that defines the function asked for, after earlier ones that only import and define
3. code without a block that defines it
4. the prompt with a body in a code block
5. the first code block that defines anything, else the first, else code without a block

A program that defines the function itself has the prompt's imports and helpers (`preamble`) before it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from reasonmaxxer.problems.answers import after_thinking
from reasonmaxxer.problems.code import UNPARSED
from reasonmaxxer.problems.problem import Problem

_FENCE = re.compile(r"(?P<before>[^`]*)`{3,}[ \t]*(?P<info>[^`]*)")
_PYTHON = re.compile(r"(?:python|py)[\d.]*", re.IGNORECASE)
_IMPORT = r"import[ \t]+[\w.]+(?:[ \t]+as[ \t]+\w+)?[ \t]*(?:,.*|\#.*)?$|from[ \t]+[\w.]+[ \t]+import\b"
_DEFINE = r"(?:async[ \t]+)?def[ \t]+\w|class[ \t]+\w+[ \t]*[:(]|@\w"
_DEFINITION = re.compile(rf"^(?:{_DEFINE})", re.MULTILINE)
_START = re.compile(rf"^(?:{_IMPORT}|{_DEFINE}|[A-Za-z_]\w*[ \t]*=(?!=))", re.MULTILINE)
_ONLY_DEFINES = re.compile(rf"{_IMPORT}|{_DEFINE}|[#)\]}}]|[A-Z][A-Z0-9_]*[ \t]*(?::[^=\n]*)?=(?!=)|\s", re.MULTILINE)
_TARGET = r"[\w.]+(?:\[[^\]\n]*\])*"
_STATEMENT = re.compile(
    rf"{_IMPORT}|{_DEFINE}|[#)\]}}]|\"\"\"|'''"
    r"|(?:async[ \t]+)?(?:if|elif|for|while|with|match|except)\b.*:|(?:else|try|finally|except)[ \t]*:"
    r"|(?:return|raise|assert|del|pass|global|yield|await)\b"
    rf"|{_TARGET}(?:[ \t]*,[ \t]*{_TARGET})*[ \t]*(?::[ \t]*[\w\[\], .]+)?(?:[-+*/%&|^@]|//|\*\*|<<|>>)?=(?!=)"
    r"|[\w.]+\(",
    re.MULTILINE,
)
"""What a line of code begins like, told from prose."""
_TOKEN = re.compile(r"\"\"\"|'''|\"(?:\\.|[^\"\\\n])*\"?|'(?:\\.|[^'\\\n])*'?|#[^\n]*|[()\[\]{}]|\n(?=\S)")
_CLOSING = {quote: re.compile(rf"(?<!\\){quote}") for quote in ('"""', "'''")}
_CHECK = re.compile(r"assert\b|[\w.]+\(")
_LONGEST_PARSED = 20_000
"""Characters up to which text is parsed to see where it was cut off."""
_INDENT = 4


def read_program(completion: str, problem: Problem) -> str | None:
    """The program that a completion states; none if there is no code.

    Args:
        completion: what a model wrote; after reasoning between `<think>` marks only what follows it counts.
        problem: its metadata hold `entry_point`, and `prompt` and `preamble` where the completion continues a prompt.
    """
    before, blocks = _blocks(after_thinking(completion.replace("\r\n", "\n")))
    return next(filter(None, _readings(before, blocks, _Asked(problem))), None)


def _readings(before: str, blocks: Sequence[_Block], asked: _Asked) -> Iterator[str | None]:
    """What may be the program, in the order above.

    Args:
        before: the text before the first block.
        blocks: of Python.
        asked: what is to be defined.
    """
    found = next((place for place, block in enumerate(blocks) if asked.is_defined_in(block.code)), None)
    if found is None or _STATEMENT.match(before.lstrip()):
        yield asked.continued(_body(before, asked.width))
    if found is not None:
        earlier = [block.code for block in blocks[:found] if _only_defines(block.code)]
        yield asked.whole("".join([*earlier, asked.finished(blocks[found])]))
    loose = _loose(before, asked)
    if asked.is_defined_in(loose):
        yield asked.whole(asked.finished(_Block(loose, closed=False)))
    filled = [block.code for block in blocks if block.code.strip()]
    if filled and not _DEFINITION.search(filled[0]):
        yield asked.continued(_as_body(filled[0], asked.width))
    yield from filter(_DEFINITION.search, filled)
    yield from filled
    yield loose


class _Asked:
    """What a problem asks for.

    Attributes:
        width: indentation of the body that continues its prompt.
    """

    def __init__(self, problem: Problem) -> None:
        name = re.escape(str(problem.metadata["entry_point"]))
        self._prompt = str(problem.metadata.get("prompt", ""))
        self._preamble = str(problem.metadata.get("preamble", "")) if self._prompt else ""
        self._defining = re.compile(
            rf"^(?:(?:async[ \t]+)?def[ \t]+{name}[ \t]*[(\[]|class[ \t]+{name}\b|{name}[ \t]*(?::[^=\n]*)?=(?!=))",
            re.MULTILINE,
        )
        self.width = _indent(self._prompt.rstrip().rpartition("\n")[2]) or _INDENT

    def is_defined_in(self, code: str) -> bool:
        """Whether code defines the function."""
        return self._defining.search(code) is not None

    def continued(self, body: str | None) -> str | None:
        """The prompt with a body; none without either."""
        return self._prompt + body if self._prompt and body else None

    def whole(self, code: str) -> str:
        """Code that defines the function, after what the prompt imports and defines."""
        return code if "from __future__" in code else self._preamble + code

    def finished(self, block: _Block) -> str:
        """The code of a block, if it was never closed less a last statement that was cut off.

        That is one that does not parse, and a check or call, which may parse without its last digits.
        """
        *_, last = [0, *_outer_lines(block.code)]
        if block.closed or not self.is_defined_in(block.code[:last]):
            return block.code
        long = len(block.code) > _LONGEST_PARSED
        return block.code[:last] if _CHECK.match(block.code, last) or not (long or _parses(block.code)) else block.code


@dataclass(frozen=True)
class _Block:
    """A code block."""

    code: str
    closed: bool


@dataclass
class _Open:
    """A block while its lines are read."""

    indent: int
    python: bool
    lines: list[str] = field(default_factory=list)

    def block(self, closed: bool) -> _Block:
        return _Block(_dedented(self.lines, self.indent), closed)


def _blocks(text: str) -> tuple[str, list[_Block]]:
    """What stands before the first fence, and the blocks of Python.

    A fence that is four columns deeper than the one that opened the block belongs to the code, as in a docstring.
    """
    before: list[str] = []
    blocks: list[_Block] = []
    current: _Open | None = None
    fenced = False
    for line in text.split("\n"):
        kind, code = _fence(line, current)
        fenced = fenced or kind != ""
        if current is not None and kind in ("", "closes"):
            current.lines += [line] if kind == "" else [code] if code else []
        elif kind == "" and not fenced:
            before.append(line)
        if current is not None and kind != "":
            blocks += [current.block(True)] if current.python else []
            current = None
        if kind in ("python", "other"):
            current = _Open(_indent(line) if not code else 0, kind == "python")
    blocks += [current.block(False)] if current is not None and current.python else []
    return "".join(f"{line}\n" for line in before), blocks


def _fence(line: str, current: _Open | None) -> tuple[str, str]:
    """Whether a line opens a block of `python` or `other` text or `closes` one, else empty; and what stands before."""
    fence = _FENCE.fullmatch(line) if "```" in line else None
    if fence is None:
        return "", ""
    code = fence["before"] if fence["before"].strip() else ""
    language = fence["info"].strip("{}. \t").split(maxsplit=1)[:1]
    python = not language or _PYTHON.fullmatch(language[0]) is not None
    if current is None:
        return ("", "") if code and not language else ("python" if python else "other", code)
    if not code and _indent(line) >= current.indent + _INDENT:
        return "", ""
    if not language:
        return "closes", code
    return ("python", "") if python and not code else ("", "")


def _only_defines(code: str) -> bool:
    return all(_ONLY_DEFINES.match(code, start) for start in (0, *_outer_lines(code)))


def _body(text: str, width: int) -> str | None:
    """The body that a text begins with, cut at the first line that cannot belong to it; none if there is none."""
    lines = [line for line in text.split("\n", 200) if line.strip()][:2]
    if not lines:
        return None
    deeper = len(lines) > 1 and _indent(lines[1]) >= width * (2 if lines[0].rstrip().endswith(":") else 1)
    stripped = _indent(lines[0]) < width and deeper and _STATEMENT.match(lines[0].lstrip())
    if not stripped and _indent(lines[0]) < width:
        return None
    if stripped and _DEFINITION.match(lines[0]):
        return None
    first = text.index(lines[0])
    ends = (at for at in _outer_lines(text) if at > first and text[at] != "#")
    return _as_body(text[: next(ends, len(text))], width)


def _loose(text: str, asked: _Asked) -> str:
    """Code without a block, up to a line that is none: what defines the function, else the first there is."""
    first, at = "", 0
    while start := _START.search(text, at):
        ends = (line for line in _outer_lines(text, start.start()) if not _STATEMENT.match(text, line))
        at = next(ends, len(text))
        code = text[start.start() : at]
        if asked.is_defined_in(code):
            return code
        first = first or code
    return first


def _outer_lines(code: str, at: int = 0) -> Iterator[int]:
    """Where the lines after a place begin that have no indentation and stand in no string or bracket."""
    depth = 0
    while token := _TOKEN.search(code, at):
        at = token.end()
        if closing := _CLOSING.get(token[0]):
            end = closing.search(code, at)
            if end is None:
                return
            at = end.end()
        elif token[0] in "([{":
            depth += 1
        elif token[0] in ")]}":
            depth = max(0, depth - 1)
        elif token[0] == "\n" and not depth:
            yield at


def _as_body(code: str, width: int) -> str:
    """Code with the indentation of a function's body, which a model or its tokenizer may have dropped."""
    lines = code.split("\n")
    filled = [number for number, line in enumerate(lines) if line.strip()]
    if not filled:
        return code
    first, second = filled[0], (filled + filled)[1]
    missing = width - _indent(lines[first])
    block = lines[first].rstrip().endswith(":")
    if missing > 0 and second != first and _indent(lines[second]) >= width * (2 if block else 1):
        lines[first] = " " * missing + lines[first]
    elif missing > 0:
        lines = [" " * missing + line if line.strip() else line for line in lines]
    return "\n".join(lines)


def _dedented(lines: Sequence[str], indent: int) -> str:
    """Lines of a block without the indentation of its fence."""
    return "".join(f"{line[min(indent, _indent(line)) :]}\n" for line in lines)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _parses(code: str) -> bool:
    try:
        ast.parse(code)
    except UNPARSED:
        return False
    return True
