"""Wordings of the one-step word problems. Every number is two or more, so every noun is plural."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Operation = Literal["add", "subtract", "multiply", "divide"]

_TO_TEN = range(2, 11)
_TO_SIX = range(2, 7)

NUMBERS: Mapping[Operation, Sequence[tuple[int, int, int]]] = {
    "add": [(a, b, a + b) for a in _TO_TEN for b in _TO_TEN],
    "subtract": [(a + b, a, b) for a in _TO_SIX for b in _TO_SIX],
    "multiply": [(a, b, a * b) for a in _TO_SIX for b in _TO_SIX],
    "divide": [(a * b, a, b) for a in _TO_SIX for b in _TO_SIX],
}
"""Both numbers {a} and {b} of a problem, in the order of its template, and the answer."""

_NAMES = ("Mia", "Leo", "Ana", "Tom", "Zoe", "Ben", "Ivy", "Max", "Nora", "Sam", "Lily", "Omar")
_OTHERS = ("Kate", "Paul", "Rosa", "Finn", "Emma", "Noah")
_THINGS = ("marbles", "coins", "stickers", "pencils", "shells", "buttons", "cards", "stamps")
_FOOD = ("apples", "pears", "plums", "oranges", "lemons", "peaches", "eggs", "cookies")
_VESSELS = ("boxes", "baskets", "bags", "bowls", "crates")
_WARES = ("books", "plates", "cups", "toys", "jars", "vases", "candles", "lamps", "hats", "boots")
_SHELVES = ("shelf", "table", "bench", "rack", "counter")
_PEOPLE = ("people", "dancers", "children", "students", "tourists", "workers", "players", "scouts")
_PLANTS = ("trees", "roses", "bushes", "tulips", "cabbages", "vines", "lilies", "onions")
_PLOTS = ("garden", "park", "field", "yard", "greenhouse", "nursery", "farm", "valley")
_ROOMS = ("hall", "yard", "gym", "park", "field", "school", "museum", "stadium")


@dataclass(frozen=True)
class Template:
    """A wording with blanks.

    Attributes:
        name: what the problem's metadata calls it.
        operation: what solves it.
        text: the wording; {a} and {b} are numbers, the other blanks are in `words`.
        words: what may stand in each blank, independently of the others.
    """

    name: str
    operation: Operation
    text: str
    words: Mapping[str, Sequence[str]]


TEMPLATES = (
    Template(
        "shelf",
        "add",
        "A {place} holds {a} {noun} and {b} more are added. How many {noun} are on it now?",
        {"place": _SHELVES, "noun": _WARES},
    ),
    Template(
        "gets-more",
        "add",
        "{name} has {a} {noun} and gets {b} more. How many {noun} does {name} have now?",
        {"name": _NAMES, "noun": _THINGS},
    ),
    Template(
        "both-have",
        "add",
        "{name} has {a} {noun} and {other} has {b}. How many {noun} do they have together?",
        {"name": _NAMES, "other": _OTHERS, "noun": _THINGS},
    ),
    Template(
        "finds",
        "add",
        "{name} finds {a} {noun} in the morning and {b} in the evening. How many {noun} does {name} find in all?",
        {"name": _NAMES, "noun": _THINGS},
    ),
    Template(
        "eats",
        "subtract",
        "{name} has {a} {noun} and eats {b} of them. How many {noun} are left?",
        {"name": _NAMES, "noun": _FOOD},
    ),
    Template(
        "spends",
        "subtract",
        "{name} has {a} dollars and spends {b} dollars on {noun}. How many dollars does {name} have left?",
        {"name": _NAMES, "noun": _FOOD},
    ),
    Template(
        "cut",
        "subtract",
        "A {place} has {a} {noun}. {b} of the {noun} are cut. How many {noun} are left?",
        {"place": _PLOTS, "noun": _PLANTS},
    ),
    Template(
        "how-many-more",
        "subtract",
        "{name} picked {a} {noun} and {other} picked {b}. How many more {noun} did {name} pick than {other}?",
        {"name": _NAMES, "other": _OTHERS, "noun": _FOOD[:6]},
    ),
    Template(
        "groups",
        "multiply",
        "{name} fills {a} {places} with {b} {noun} each. How many {noun} are in the {places} in all?",
        {"name": _NAMES, "places": _VESSELS, "noun": _FOOD},
    ),
    Template(
        "each-holds",
        "multiply",
        "There are {a} {places} with {b} {noun} in each. How many {noun} are there in total?",
        {"places": _VESSELS, "noun": _THINGS + _FOOD},
    ),
    Template(
        "rows",
        "multiply",
        "A {place} has {a} rows of {noun} with {b} {noun} in each row. How many {noun} does it have?",
        {"place": _PLOTS, "noun": _PLANTS},
    ),
    Template(
        "every-day",
        "multiply",
        "Every day {name} eats {a} {noun}. How many {noun} does {name} eat in {b} days?",
        {"name": _NAMES, "noun": _FOOD},
    ),
    Template(
        "share",
        "divide",
        "{name} shares {a} {noun} equally among {b} friends. How many {noun} does each friend get?",
        {"name": _NAMES, "noun": _THINGS + _FOOD},
    ),
    Template(
        "unit-price",
        "divide",
        "{name} pays {a} dollars for {b} {noun}. How many dollars does each of the {noun} cost?",
        {"name": _NAMES, "noun": _WARES},
    ),
    Template(
        "teams",
        "divide",
        "In a {place}, {a} {noun} form {b} equal teams. How many {noun} are on each team?",
        {"place": _ROOMS, "noun": _PEOPLE},
    ),
    Template(
        "equal-rows",
        "divide",
        "{a} {noun} stand in {b} equal rows in a {place}. How many {noun} are in each row?",
        {"place": _ROOMS, "noun": _PEOPLE},
    ),
)
