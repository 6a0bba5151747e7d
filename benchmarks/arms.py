"""Contenders of a benchmark, each in a process of its own, told one at a time to work.

A process of its own keeps one arm's peak memory out of another's. The processes stay alive and take
turns (A B A B ...), so that a machine that grows slower does so for all of them. The protocol is a
line of JSON each way; whatever else a child prints goes to stderr.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from machine import DEVICE, wait_for_device
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from reasonmaxxer.config import ModelConfig
from reasonmaxxer.cost import Meter
from reasonmaxxer.models import EMBEDDED, LoadedModel, load_model, resolve_dtype, resolve_embedded

Work = Callable[..., dict[str, Any]]
ENVIRONMENT = dict(os.environ)
"""As it was before a model was loaded here, which sets what the peers' processes should not inherit."""


def load_base(name: str, dtype: Any = "auto") -> LoadedModel:
    """The base model on the device in use, without progress bars of its own."""
    disable_progress_bar()
    return load_model(ModelConfig(name=name, dtype=dtype))


def load_plain(name: str, dtype: Any = "auto") -> tuple[Any, Any]:
    """Model and tokenizer as transformers loads them, without what `load_model` sets in a process."""
    disable_progress_bar()
    chosen = resolve_dtype(ModelConfig(name=name, dtype=dtype), DEVICE)
    folder = model_folder(name)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=chosen).eval().to(DEVICE)
    return model, AutoTokenizer.from_pretrained(folder)


def model_folder(name: str) -> str:
    """Folder of an embedded model; any other name as it is."""
    return str(resolve_embedded(name).path) if name in EMBEDDED else name


def serve(load: Callable[[], tuple[Work, dict[str, Any]]]) -> None:
    """Be an arm: load, say so, then do each piece of work asked for until stdin ends.

    Args:
        load: makes the function that does the work and facts for the parent.
    """
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    work, facts = load()
    _send(channel, {**facts, "loaded_bytes": _measured(dict)["peak_bytes"]})
    for line in sys.stdin:
        order = json.loads(line)
        _send(channel, _measured(lambda order=order: work(**order)))  # type: ignore[misc]


def _measured(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A result with seconds, and the peak of memory (of CUDA's, or resident) while it was made.

    Where the system does not let the peak be reset (outside Linux) it is that of the whole process.
    The work must use no `Meter` of its own, which would reset the peak.
    """
    with Meter("arm", DEVICE, None) as meter:
        result = work()
        wait_for_device()
        cost = meter.snapshot()
    spent = {"seconds": cost.seconds, "cpu_seconds": cost.cpu_seconds}
    return {**spent, "peak_bytes": cost.peak_memory_bytes, **result}


def _send(channel: Any, message: dict[str, Any]) -> None:
    print(json.dumps(message), file=channel, flush=True)


@dataclass
class Arm:
    """A contender and its results so far.

    Attributes:
        name: for people.
        command: starts its process.
        facts: what it said when it had loaded.
        results: one a repetition.
    """

    name: str
    command: Sequence[str]
    facts: dict[str, Any] = field(default_factory=dict)
    results: list[dict[str, Any]] = field(default_factory=list)

    def __enter__(self) -> Arm:
        self._process = subprocess.Popen(
            list(self.command), env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.facts = self._receive()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process: its input ends; after an error it is not waited for."""
        if kind:
            self._process.kill()
        self._process.communicate()

    def ask(self, **order: Any) -> dict[str, Any]:
        """Have one piece of work done, without recording it."""
        if self._process.stdin is None:
            raise ValueError(f"{self.name} has not been started")
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return self._receive()

    def repeat(self, **order: Any) -> dict[str, Any]:
        """Have one piece of work done and record it."""
        result = self.ask(**order)
        self.results.append(result)
        return result

    def median(self, key: str) -> float:
        """Median of a recorded number."""
        return statistics.median(result[key] for result in self.results)

    def spread(self, key: str) -> tuple[float, float]:
        """Least and greatest of a recorded number."""
        values = [result[key] for result in self.results]
        return min(values), max(values)

    @property
    def peak_bytes(self) -> int:
        """Highest memory of any repetition."""
        return max(int(result["peak_bytes"]) for result in self.results)

    @property
    def above_loaded_bytes(self) -> int:
        """Highest memory beyond what the process held when its model was loaded; at least 1."""
        return max(1, self.peak_bytes - int(self.facts["loaded_bytes"]))

    def _receive(self) -> dict[str, Any]:
        if self._process.stdout is None:
            raise ValueError(f"{self.name} has not been started")
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"The arm '{self.name}' ended with status {self._process.wait()}; its messages are above."
            )
        message: dict[str, Any] = json.loads(line)
        return message


def arm(name: str, script: str, *more: str) -> Arm:
    """An arm that this very script plays when started again with `--arm NAME` and more options."""
    return Arm(name, (sys.executable, script, *sys.argv[1:], "--arm", name, *more))
