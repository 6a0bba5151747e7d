"""What every config is."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
Place = Annotated[str, AfterValidator(os.path.expanduser)]
"""A name that may be a path, in which `~` is the home folder."""


class Config(BaseModel):
    """Base of every stage config: immutable, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def hash(self) -> str:
        """SHA-256 of the canonical JSON of this config, as hexadecimal."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
