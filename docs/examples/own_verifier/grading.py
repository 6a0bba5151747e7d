"""Grades dates: whichever way the model writes one, it is right if it is the day that was asked for."""

import datetime
import re
from collections.abc import Mapping
from typing import Any

MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
    "november", "december",
)  # fmt: skip
_NAME = rf"(?P<month>{'|'.join(MONTHS)})"
_YEAR = r"(?:,?\s+(?P<year>\d{4}))?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
FORMS = (
    re.compile(r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})\b"),
    re.compile(rf"\b{_NAME}\s+{_DAY}\b{_YEAR}"),
    re.compile(rf"\b{_DAY}\s+(?:of\s+)?{_NAME}{_YEAR}"),
)


def same_day(completion: str, answer: str, metadata: Mapping[str, Any]) -> bool | None:
    """Whether the last date of a completion is the answer.

    Args:
        completion: what the model wrote.
        answer: the date in ISO form, from the column `answer`.
        metadata: the row's other columns; a date without a year is of `year`.

    Returns:
        None if there is no date, which counts as `unparsed`.
    """
    text = completion.lower()
    found = [match for form in FORMS for match in form.finditer(text)]
    if not found:
        return None
    last = max(found, key=lambda match: match.end())
    name, year = last["month"], int(last["year"] or metadata["year"])
    month = MONTHS.index(name) + 1 if name in MONTHS else int(name)
    try:
        return datetime.date(year, month, int(last["day"])).isoformat() == answer
    except ValueError:  # the model wrote a date that does not exist
        return False
