"""Problems from a Hugging Face data set, on the hub or in a local folder of its layout."""

from __future__ import annotations

from pathlib import Path

from reasonmaxxer.config import SourceConfig
from reasonmaxxer.errors import UserError, did_you_mean
from reasonmaxxer.problems.catalogue import CATALOGUE
from reasonmaxxer.problems.files import SUFFIXES
from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.problems.rows import Row, problems_from_rows


def hub_problems(config: SourceConfig, where: str) -> list[Problem]:
    """Every problem of one split, in order; ids are `NAME/SUBSET/SPLIT/ROW` where none are given.

    Raises:
        UserError: the data set, subset or split cannot be loaded, or its rows are not problems.
    """
    name = Path(config.source).name
    stem = "/".join(part for part in (name, config.subset, config.split) if part)
    return problems_from_rows(hub_rows(config, where), config, stem=stem, domain=name, where=where)


def hub_rows(config: SourceConfig, where: str) -> list[Row]:
    """Every row of one split, in order.

    Raises:
        UserError: the data set, subset or split cannot be loaded.
    """
    import datasets

    try:
        table = datasets.load_dataset(config.source, name=config.subset, split=config.split, revision=config.revision)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise UserError(
            f"{where}.source '{config.source}' (subset {config.subset}, split {config.split}) "
            f"cannot be loaded: {error} Name a data set of the Hugging Face hub, a folder, a "
            f"file ({', '.join(SUFFIXES)}), reasoning-gym/TASK, word-problems or a benchmark "
            f"({', '.join(CATALOGUE)}).{did_you_mean(config.source, ('word-problems', *CATALOGUE))}"
        ) from error
    return list(table)
