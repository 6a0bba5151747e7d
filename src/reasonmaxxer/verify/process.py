"""The parent's end of a grading process: starts it, asks it, kills it when it takes too long."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import reasonmaxxer
from reasonmaxxer.child import Child, ChildError
from reasonmaxxer.errors import UserError
from reasonmaxxer.sandbox.bubblewrap import backend, sandboxed
from reasonmaxxer.sandbox.programs import LASTING, ProgramTester
from reasonmaxxer.verify.outcome import Outcome

START_LIMIT = 60.0  # seconds to start and to import the graders
_GRACE = 2.0  # seconds in which a worker says itself that an item took too long
_NEEDED = "PATH HOME LANG LC_ALL LC_CTYPE TMPDIR LD_LIBRARY_PATH PYTHONHOME SYSTEMROOT TEMP"
"""What of the environment reaches a worker that reads answers: no tokens."""
# Hashes fixed, since SymPy's choices may depend on the order of a set.
_FIXED = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}


class GradingProcess:
    """One worker, started when it is first asked and again after each death.

    Args:
        timeout: seconds to grade an item.
        verifier: which grades them all: `math`; `reasoning_gym`, in the sandbox where there is one; or `function`,
            the user's own, which alone keeps the user's environment.
    """

    def __init__(self, timeout: float, verifier: str) -> None:
        self.verifier = verifier
        self._timeout = timeout
        self._child: Child | None = None
        self._abandoned = False

    @property
    def pid(self) -> int | None:
        """Process id, none while there is no process."""
        return self._child.pid if self._child else None

    def ask(self, request: dict[str, Any]) -> tuple[Outcome, str | None]:
        """Outcome and detail of one request.

        Raises:
            UserError: the grader cannot be loaded.
            RuntimeError: the process could not be started.
        """
        fresh = self._child is None
        child = self._child = self._child or self._started()
        try:
            _send(child, request)
        except ChildError as error:
            self.close()
            if self._abandoned:
                return Outcome.ERROR, "grading was abandoned"
            if fresh:
                raise RuntimeError(f"the grading process did not start: {_ending(error)}") from error
            return self.ask(request)  # it died while it was idle, which is not this item's fault
        try:
            answer = child.receive(self._timeout + _GRACE * (self.verifier == "reasoning_gym"))
        except ChildError as error:
            self.close()
            if error.expired:
                return Outcome.TIMEOUT, f"grading took longer than {self._timeout:g} s"
            return Outcome.ERROR, f"the grading process died: {_ending(error)}"
        return Outcome(answer["outcome"]), answer["detail"]

    def check_function(self, named: str) -> None:
        """Load the user's function and end: what is wrong with it is said before long work.

        Raises:
            UserError: it cannot be loaded.
        """
        child = self._started()
        try:
            _send(child, {"verifier": "function", "function": named})
        except ChildError as error:
            long = f"its import took longer than {START_LIMIT:g} s"
            reason = long if error.expired else f"its process ended with {_ending(error)}"
            raise UserError(f"verify.function '{named}' cannot be loaded: {reason}.") from error
        finally:
            child.stop()

    def kill(self) -> None:
        """Kill the process, from any thread, and abandon what it is grading."""
        if child := self._child:
            self._abandoned = True
            child.kill()

    def close(self) -> None:
        """Kill the process and release its pipes."""
        if self._child:
            self._child.stop()
        self._child = None

    def _started(self) -> Child:
        self._abandoned = False
        code = f"import sys; sys.path[:] = {sys.path!r}; from reasonmaxxer.verify import worker; "
        code += f"worker.main({self._timeout}, {self.verifier!r})"
        if self.verifier == "reasoning_gym" and backend().program:
            with sandboxed(code, readable=_packages(), environment=_FIXED, processes=True) as (command, descriptors):
                return LASTING.submit(Child, command, pass_fds=descriptors).result()
        kept = os.environ if self.verifier == "function" else set(_NEEDED.split()) & set(os.environ)
        return Child([sys.executable, "-c", code], env={**{name: os.environ[name] for name in kept}, **_FIXED})


def _packages() -> list[str]:
    """Folders of installed packages and the one that holds this package; not the user's own folders."""
    installed = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    return [*filter(os.path.isdir, installed), str(Path(reasonmaxxer.__file__).parents[1])]


class ProgramGrader(ProgramTester):
    """What grades one program at a time, by its tests in the sandbox; asked as a `GradingProcess` is."""

    verifier = "code"

    def ask(self, request: dict[str, Any]) -> tuple[Outcome, str | None]:
        """Outcome and detail of one request."""
        names = ("extracted", "tests", "entry_point", "preamble")
        tested = self.test(*(request[name] for name in names))
        return Outcome(tested.outcome), tested.detail


def _send(child: Child, request: dict[str, Any]) -> None:
    """Send a request and wait until the process is ready to grade it, however long its imports take.

    Raises:
        UserError: the grader cannot be loaded.
        ChildError: the process died or did not get ready.
    """
    child.send(request)
    ready = child.receive(START_LIMIT)
    if "refused" in ready:
        raise UserError(ready["refused"])


def _ending(error: ChildError) -> str:
    last = error.lines[-1] if error.lines else ""
    return f"status {error.status} {last[:500]}".rstrip()
