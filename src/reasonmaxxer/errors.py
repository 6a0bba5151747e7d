"""The one exception that means: the input is wrong, and here is what to do about it."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Bad input, named with its value, its place and the remedy.

    The command line prints the message alone and exits with status 2; every other exception is
    a defect of ours and keeps its traceback.
    """


class NothingToLearnError(UserError):
    """Rollouts that teach nothing; in a later round it ends the training."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest known name, or an empty string."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{nearest[0]}'?" if nearest else ""
