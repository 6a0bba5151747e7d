"""What every config is, and the types of its values."""

import hashlib
import json
import os
from collections.abc import Iterator
from functools import reduce
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Item = TypeVar("Item")
Section = TypeVar("Section", bound="Config")

Share = Annotated[float, Field(ge=0, le=1)]
AboveZero = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Place = Annotated[str, Field(min_length=1), AfterValidator(os.path.expanduser)]
"""A name that may be a path, in which `~` is the home folder."""


def _as_list(value: Any) -> Any:
    return value if value is None or isinstance(value, list | tuple) else (value,)


Several = Annotated[tuple[Item, ...], BeforeValidator(_as_list)]
"""A list; a single value stands for a list of one."""
OneOrMore = Annotated[tuple[Item, ...], Field(min_length=1), BeforeValidator(_as_list)]
"""The same, and never empty."""


class Code(NamedTuple):
    """Something outside this package that a config causes to run.

    Attributes:
        value: as the config names it.
        file: that would run; None where it is no file.
        how: it would run, in words.
    """

    value: str
    file: str | None
    how: str


class Config(BaseModel):
    """Base of every config: immutable, and closed to unknown keys. Docstrings of fields describe them in the docs.

    Attributes:
        short_for: key that a string in the place of the whole config sets; empty where none does.
        outside_identity: fields that may change from one command to the next in the same folder of results.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)
    short_for: ClassVar[str] = ""
    outside_identity: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, values: Any) -> Any:
        return {cls.short_for: values} if cls.short_for and isinstance(values, str) else values

    def identity(self) -> dict[str, Any]:
        """What a folder of results belongs to: all values as JSON, `outside_identity` left out."""
        return self.model_dump(mode="json", exclude=set(self.outside_identity))

    def hash(self) -> str:
        """SHA-256 of the canonical JSON of this config, as hexadecimal."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def value(self, key: str) -> Any:
        """What a dotted key is set to."""
        return reduce(getattr, key.split("."), self)

    def sections(self, kind: type[Section], prefix: str = "") -> Iterator[tuple[str, Section]]:
        """Every section of a kind with its key, such as all models."""
        for name in type(self).model_fields:
            section = getattr(self, name)
            if isinstance(section, kind):
                yield prefix + name, section
            elif isinstance(section, Config):
                yield from section.sections(kind, f"{prefix}{name}.")

    def code(self) -> Iterator[tuple[str, Code]]:
        """Key and description of all that would run beside this package, sections included."""
        for name in type(self).model_fields:
            section = getattr(self, name)
            if isinstance(section, Config):
                yield from ((f"{name}.{key}", code) for key, code in section.code())
