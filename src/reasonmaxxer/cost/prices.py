"""What an hour of the machine costs: a dated price book, or the user's own figure."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reasonmaxxer.config import CostConfig
from reasonmaxxer.errors import UserError, did_you_mean

BOOK = Path(__file__).parent / "prices.yaml"


@dataclass(frozen=True)
class Price:
    """Price of the machine in use.

    Attributes:
        name: entry of the book, `recipe` for the user's own, None if there is none.
        usd_per_hour: of the whole machine; None if unknown.
        date: day the price held, ISO 8601.
        source: whose price it is.
        estimated: whether it is an assumption and no list price.
        count: GPUs or CPU cores that the price is of.
    """

    name: str | None
    usd_per_hour: float | None
    date: str | None = None
    source: str | None = None
    estimated: bool = False
    count: int = 1


def price_of(config: CostConfig, device: str, gpus: int = 1) -> Price:
    """The price the recipe asks for, else that of the device in use, if the book has it.

    Args:
        config: the recipe's prices.
        device: torch device of the run.
        gpus: how many are held while it runs, where the book's price is of one.

    Raises:
        UserError: the recipe names an entry that the book does not have.
    """
    if config.usd_per_hour is not None:
        return Price("recipe", config.usd_per_hour, source="recipe")
    book = yaml.safe_load(BOOK.read_text(encoding="utf-8"))
    name = config.price or _entry_for(device, book)
    if name is None:
        return Price(None, None)
    if name not in book:
        raise UserError(
            f"cost.price = '{name}' is not in the price book.{did_you_mean(name, book)} It has: "
            f"{', '.join(book)}. Set cost.usd_per_hour for a machine of your own."
        )
    entry = book[name]
    count = _cores() if entry["each"] == "cpu core" else gpus
    return Price(
        name=name,
        usd_per_hour=entry["usd_per_hour"] * count,
        date=entry["date"].isoformat(),
        source=entry["source"],
        estimated=entry.get("estimated", False),
        count=count,
    )


def _entry_for(device: str, book: dict[str, Any]) -> str | None:
    """The book's entry for a device, by the longest part of its name."""
    if device == "cpu":
        return "cpu-core"
    if not device.startswith("cuda"):
        return None
    import torch

    own = torch.cuda.get_device_name(device).upper()
    matches = [name for name, entry in book.items() if entry.get("device", "\0").upper() in own]
    return max(matches, key=lambda name: len(book[name]["device"]), default=None)


def _cores() -> int:
    """Cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(affinity(0)) if affinity else os.cpu_count() or 1
