"""TRL, which is an extra."""

import importlib.util

from reasonmaxxer.errors import UserError


def check_trl(method: str) -> None:
    """Refuse a baseline that cannot be trained, before long work starts.

    Raises:
        UserError: TRL is not installed.
    """
    if method != "reasonmaxxer" and importlib.util.find_spec("trl") is None:
        raise UserError(
            f"training.method = '{method}' is trained by TRL, which is not installed: "
            "pip install 'reasonmaxxer[baselines]', with Python 3.11 or later."
        )
