"""Chat templates and regular expressions of other people's files, tried in a process that can be killed.

Both are small programs: some loop for ever, or fill the memory. What ends there, on the same input, ends
here too.
"""

import faulthandler
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from reasonmaxxer.child import Child, ChildError, limit_memory
from reasonmaxxer.errors import UserError

SECONDS = 10.0
START = 60.0  # seconds to start and import
LONGEST = 1_000_000  # characters of a rendered prompt
ASKED = "What is 1 + 1? " * 200
"""The message that a chat template is tried with."""


def check_template(tokenizer: Any) -> None:
    """Refuse a chat template that takes too long or too much; once for each, in a fraction of a second.

    Raises:
        UserError: it says so. Templates that fail pass: they fail again where they are used.
    """
    written = tokenizer.chat_template or {}
    tokens = tuple((name, str(token)) for name, token in tokenizer.special_tokens_map.items())
    for template in written.values() if isinstance(written, dict) else (written,):
        _check_template(template, tokens)


def check_patterns(patterns: Sequence[str], names: Sequence[str], where: str) -> None:
    """Refuse regular expressions that take too long on the names of a model's modules.

    Args:
        patterns: plain names among them cost nothing.
        names: what they are matched with.
        where: they stand, named in errors.

    Raises:
        UserError: it says so.
    """
    programs = [pattern for pattern in patterns if not re.fullmatch(r"[\w.-]*", pattern)]
    if programs:
        given = {"patterns": programs, "names": list(names)}
        _try(match, given, f"The regular expressions in {where} ({', '.join(programs)!r:.100})")


@cache
def _check_template(template: str, tokens: tuple[tuple[str, str], ...]) -> None:
    what = f"The model's chat template ({' '.join(template.split())!r:.100})"
    length = _try(render, {"template": template, "tokens": dict(tokens)}, what)
    if length > LONGEST:
        raise UserError(f"{what} makes {length:,} characters of a message of {len(ASKED):,}. {_OTHER}")


_OTHER = "Correct the file, or leave it."


def _try(function: Callable[[dict[str, Any]], Any], given: dict[str, Any], what: str) -> Any:
    """What a function of this module makes of values, in a process of its own.

    Raises:
        UserError: it took longer than `SECONDS`, or died, as one does whose memory is at an end.
    """
    code = f"import sys; sys.path[:] = {sys.path!r}; from reasonmaxxer import trial"
    child = Child([sys.executable, "-c", f"{code}; trial.main(trial.{function.__name__})"])
    try:
        child.receive(START)
        child.send(given)
        return child.receive(SECONDS)["made"]
    except ChildError as error:
        ended = f"took longer than {SECONDS:g} s" if error.expired else "ended its process"
        last = f" ({error.lines[-1]:.200})" if error.lines else ""
        raise UserError(f"{what} {ended} when it was tried{last}. {_OTHER}") from error
    finally:
        child.stop()


def main(function: Callable[[dict[str, Any]], Any]) -> None:
    """Answer one request, in the process of its own."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import transformers.utils.chat_template_utils  # noqa: F401  # not on the clock

    limit_memory()
    print("{}", file=channel, flush=True)
    given = json.loads(sys.stdin.readline())
    faulthandler.dump_traceback_later(2 * SECONDS, exit=True)  # where no parent is left to kill us
    print(json.dumps({"made": function(given)}), file=channel, flush=True)


def render(given: dict[str, Any]) -> int:
    """Characters that a chat template makes of one message, as text and in parts."""
    from transformers.utils.chat_template_utils import render_jinja_template

    longest = 0
    for content in (ASKED, [{"type": "text", "text": ASKED}]):
        message = {"role": "user", "content": content}
        try:
            [made], _ = render_jinja_template(
                [[message]], chat_template=given["template"], add_generation_prompt=True, **given["tokens"]
            )
        except MemoryError:
            raise
        except Exception:  # it fails in the same way where it is used, which says so
            made = ""
        longest = max(longest, len(made))
    return longest


def match(given: dict[str, Any]) -> int:
    """How often patterns match names, in the ways PEFT asks."""
    count = 0
    for pattern in given["patterns"]:
        try:
            forms = [re.compile(form % pattern) for form in _FORMS]
        except re.error:  # as above
            continue
        count += sum(bool(form.match(name)) for form in forms for name in given["names"])
    return count


_FORMS = (r"(?:%s)\Z", r"(.*\.)?(%s)$", r"(^|.*\.)%s($|\..*)", r"(?:^|.*?\.)%s\.(?P<idx>\d+)\.")
