"""Wordings of the one-step word problems. Every number is two or more, so every noun is plural."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Operation = Literal["add", "subtract", "multiply", "divide"]

_SMALL = range(2, 21)
_DIGITS = range(2, 10)

NUMBERS: Mapping[Operation, Sequence[tuple[int, int, int]]] = {
    "add": [(a, b, a + b) for a in _SMALL for b in _SMALL],
    "subtract": [(a, b, a - b) for a in _SMALL for b in _SMALL if b <= a - 2],
    "multiply": [(a, b, a * b) for a in _DIGITS for b in _DIGITS],
    "divide": [(a * b, a, b) for a in _DIGITS for b in _DIGITS],
}
"""Both numbers {a} and {b} of a problem, in the order of its template, and the answer."""

_NAMES = ("Mia", "Leo", "Ana", "Tom", "Zoe", "Ben", "Ivy", "Max", "Nora", "Sam", "Lily", "Omar")
_OTHERS = ("Kate", "Paul", "Rosa", "Finn", "Emma", "Noah")
_THINGS = ("marbles", "coins", "stickers", "pencils", "shells", "buttons", "cards", "stamps")
_FOOD = ("apples", "pears", "plums", "oranges", "lemons", "peaches", "eggs", "cookies")
_VESSELS = ("box", "basket", "bag", "bowl", "crate")
_BIRDS = ("birds", "crows", "pigeons", "gulls", "sparrows", "doves", "starlings", "storks")
_WARES = ("books", "plates", "cups", "toys", "jars", "vases", "candles", "lamps", "hats", "boots")
_SHELVES = ("shelf", "table", "bench", "rack", "counter")
_PEOPLE = ("people", "passengers", "children", "students", "tourists", "workers", "players")
_VEHICLES = ("bus", "train", "boat", "ferry", "tram", "plane")
_PLANTS = ("trees", "roses", "bushes", "tulips", "cabbages", "vines", "lilies", "onions")
_PLOTS = ("garden", "park", "field", "yard", "greenhouse")
_ROOMS = ("hall", "tent", "library", "cafe", "gym", "museum", "school")


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
        "two-places",
        "add",
        "There are {a} {noun} on a {place} and {b} on a roof. How many {noun} are there in all?",
        {"noun": _BIRDS, "place": ("fence", "field", "bridge", "wall", "lawn")},
    ),
    Template(
        "gives-away",
        "subtract",
        "{name} has {a} {noun} and gives {b} of them to {other}. "
        "How many {noun} does {name} have left?",
        {"name": _NAMES, "other": _OTHERS, "noun": _THINGS},
    ),
    Template(
        "get-off",
        "subtract",
        "A {place} carries {a} {noun} and {b} of them get off. How many {noun} are still on it?",
        {"place": _VEHICLES, "noun": _PEOPLE},
    ),
    Template(
        "taken-out",
        "subtract",
        "There are {a} {noun} in a {place}. {name} takes out {b} of them. "
        "How many {noun} are still in the {place}?",
        {"place": _VESSELS, "name": _NAMES, "noun": _FOOD},
    ),
    Template(
        "how-many-more",
        "subtract",
        "{name} picked {a} {noun} and {other} picked {b}. "
        "How many more {noun} did {name} pick than {other}?",
        {"name": _NAMES, "other": _OTHERS, "noun": _FOOD[:6]},
    ),
    Template(
        "groups",
        "multiply",
        "{name} fills {a} {places} with {b} {noun} each. "
        "How many {noun} are in the {places} in all?",
        {"name": _NAMES, "places": ("boxes", "baskets", "bags", "bowls", "crates"), "noun": _FOOD},
    ),
    Template(
        "rows",
        "multiply",
        "A {place} has {a} rows of {noun} with {b} {noun} in each row. "
        "How many {noun} does it have?",
        {"place": _PLOTS, "noun": _PLANTS},
    ),
    Template(
        "price",
        "multiply",
        "One {thing} costs {b} dollars. How many dollars does {name} pay for {a} of them?",
        {"name": _NAMES, "thing": ("book", "ticket", "toy", "lamp", "hat", "cake", "ball", "pen")},
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
        "pack",
        "divide",
        "{name} packs {a} {noun} into {places} of {b}. How many {places} does {name} fill?",
        {"name": _NAMES, "noun": _FOOD, "places": ("boxes", "bags", "cartons", "crates")},
    ),
    Template(
        "tables",
        "divide",
        "In a {place}, {a} {noun} sit at tables with {b} at each. How many tables do they fill?",
        {"place": _ROOMS, "noun": _PEOPLE},
    ),
    Template(
        "equal-rows",
        "divide",
        "{a} {noun} stand in {b} equal rows in a {place}. How many {noun} are in each row?",
        {"place": ("yard", "hall", "gym", "park", "field"), "noun": _PEOPLE},
    ),
)
