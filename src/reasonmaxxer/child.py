"""A program in a process of its own that is asked and answers in lines of JSON.

It is a plain child, not a `multiprocessing` one, since those import the caller's main module again. Its
input ends when this process dies, which tells it to end too. It leads a process group, so that what it has
started ends with it.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

MEMORY = 2 * 2**30
"""Bytes that a program may add, once it limits itself, to what it has by then."""
LAST_LINES = 12
"""Lines of its stderr that are told when it has failed."""


class ChildError(Exception):
    """It died, or was silent for too long; the message says how, with the end of its stderr.

    Attributes:
        expired: whether it was silent for too long.
        status: its exit status, negative for a signal.
        lines: the last of its stderr.
    """

    def __init__(self, expired: bool, limit: float, status: int, lines: Sequence[str]) -> None:
        how = f"was silent for {limit:g} s" if expired else f"ended with status {status}"
        super().__init__("\n".join([f"{how}. The end of what it said:", *lines]))
        self.expired, self.status, self.lines = expired, status, lines


class Child:
    """One running program.

    Args:
        command: that starts it.
        env: its environment; none is this process's.
        pass_fds: descriptors that it inherits.
    """

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str] | None = None, pass_fds: Sequence[int] = ()
    ) -> None:
        self._expired = False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            start_new_session=True,
            env=env,
            pass_fds=tuple(pass_fds),
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

    def receive(self, limit: float) -> dict[str, Any]:
        """Its next line.

        Args:
            limit: seconds of silence after which it is killed.

        Raises:
            ChildError: there is none.
        """
        assert self._process.stdout
        timer = threading.Timer(limit, self._expire)
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if self._expired or not line.endswith("\n"):  # a part of one, if it died while it wrote
            raise ChildError(self._expired, limit, self._process.wait(), self._last_lines())
        message: dict[str, Any] = json.loads(line)
        return message

    def kill(self) -> None:
        """Kill it with all that it has started, from any thread."""
        with suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(self.pid, signal.SIGKILL)
            else:  # Windows has no process groups
                self._process.kill()

    def stop(self) -> None:
        """Kill it, and release its pipes; when this returns, its memory is free."""
        self.kill()
        with suppress(BrokenPipeError), self._process:
            pass
        self._errors.close()

    def _expire(self) -> None:
        self._expired = True
        self.kill()

    def _last_lines(self) -> list[str]:
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip()
        return said.splitlines()[-LAST_LINES:]


def limit_memory() -> None:
    """In the program: let allocations fail beyond the bound, and leave no core file."""
    if sys.platform != "linux":
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = pages * resource.getpagesize() + MEMORY
    bounded = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (bounded, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
