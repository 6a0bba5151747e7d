"""The parent's end of a grading process: starts it, asks it, kills it when it takes too long."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from typing import Any

from reasonmaxxer.verify.outcome import Outcome

START_LIMIT = 60.0  # seconds to start and to import the graders


class GradingProcess:
    """One worker, started when it is first asked and again after each death.

    It is a plain child program that speaks JSON lines, not a `multiprocessing` one, since those
    import the caller's main module again.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._child: _Child | None = None

    @property
    def pid(self) -> int | None:
        """Process id, none while there is no process."""
        return self._child.process.pid if self._child else None

    def ask(self, request: dict[str, Any]) -> tuple[Outcome, str | None]:
        """Outcome and detail of one request.

        Raises:
            RuntimeError: the process could not be started.
        """
        fresh = self._child is None
        child = self._child = self._child or _Child(self._timeout)
        child.send(request)
        if not child.receive(START_LIMIT):
            self._child = None
            reason = child.stop()
            if child.abandoned:
                return Outcome.ERROR, "grading was abandoned"
            if fresh:
                raise RuntimeError(f"the grading process did not start: {reason}")
            return self.ask(request)  # it died while it was idle, which is not this item's fault
        reply = child.receive(self._timeout)
        if not reply:
            self._child = None
            return _failure(child, self._timeout)
        answer = json.loads(reply)
        return Outcome(answer["outcome"]), answer["detail"]

    def kill(self) -> None:
        """Kill the process, from any thread, and abandon what it is grading."""
        if child := self._child:
            child.abandoned = True
            child.process.kill()

    def close(self) -> None:
        """Kill the process and release its pipes."""
        if self._child:
            self._child.stop()
        self._child = None


def _failure(child: _Child, timeout: float) -> tuple[Outcome, str]:
    reason = child.stop()
    if child.expired:
        return Outcome.TIMEOUT, f"grading took longer than {timeout:g} s"
    return Outcome.ERROR, f"the grading process died: {reason}"


class _Child:
    """A running worker and its pipes."""

    def __init__(self, timeout: float) -> None:
        code = f"import sys; sys.path[:] = {sys.path!r}; from reasonmaxxer.verify import worker"
        self.expired = self.abandoned = False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"{code}; worker.main({timeout})"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            # Hashes fixed, since SymPy's choices may depend on the order of a set.
            env={**os.environ, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"},
        )

    def send(self, request: dict[str, Any]) -> None:
        """Send a line; if the process is gone, `receive` will tell."""
        assert self.process.stdin
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()

    def receive(self, limit: float) -> str:
        """The next line; empty if the process died or took longer than `limit` seconds."""
        assert self.process.stdout
        timer = threading.Timer(limit, self._expire)
        timer.start()
        try:
            line = self.process.stdout.readline()
        finally:
            timer.cancel()
        return "" if self.expired else line

    def _expire(self) -> None:
        self.expired = True
        self.process.kill()

    def stop(self) -> str:
        """Kill the process, release its pipes, and say how it ended."""
        self.process.kill()
        with suppress(BrokenPipeError), self.process:
            pass
        with self._errors as errors:
            errors.seek(0)
            words = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
        return f"status {self.process.returncode} {words[:500]}".rstrip()
