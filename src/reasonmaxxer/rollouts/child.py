"""A program in a process of its own that is asked and answers in lines of JSON.

Its input ends when this process dies, which tells it to end too. It leads a process group, so that what
it has started ends with it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

LAST_LINES = 12
"""Of what it said on stderr, how many are told when it has failed."""


class ChildError(Exception):
    """It died, or was silent for too long; the message says how, with the end of its stderr."""


class Child:
    """One running program.

    Args:
        command: that starts it.
        limit: seconds of silence after which it is killed.
    """

    def __init__(self, command: Sequence[str], limit: float) -> None:
        self._limit, self._expired = limit, False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Process id, also of its group."""
        return self._process.pid

    def send(self, message: dict[str, Any]) -> None:
        """Send a line; if the process is gone, `receive` will tell."""
        assert self._process.stdin
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """Its next line.

        Raises:
            ChildError: there is none.
        """
        assert self._process.stdout
        timer = threading.Timer(self._limit, self._expire)
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if self._expired or not line:
            raise ChildError(self._failure())
        message: dict[str, Any] = json.loads(line)
        return message

    def stop(self) -> None:
        """Kill it with all that it has started; when this returns, its memory is free."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        with suppress(BrokenPipeError), self._process:
            pass
        self._errors.close()

    def _expire(self) -> None:
        self._expired = True
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _failure(self) -> str:
        status = self._process.wait()
        how = (
            f"was silent for {self._limit:g} s" if self._expired else f"ended with status {status}"
        )
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return "\n".join([f"{how}. The end of what it said:", *lines[-LAST_LINES:]])
