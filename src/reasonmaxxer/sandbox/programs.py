"""Grades a program by its tests: the program in one sandbox, the tests in another, neither in this process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from reasonmaxxer.child import Child, ChildError
from reasonmaxxer.sandbox.bubblewrap import FILES, MEMORY, sandboxed

GRACE = 2.0
"""Seconds in which a judge must tell of a program that was killed."""


_IMPORT = "from reasonmaxxer.sandbox.inside import"
LASTING = ThreadPoolExecutor(1, "sandbox")
"""Starts the judges: bubblewrap dies with the thread that started it, and those that grade come and go."""


class Tested(NamedTuple):
    """What became of a program: `correct`, `wrong`, `timeout`, or `error` where its tests cannot be run; and why."""

    outcome: Literal["correct", "wrong", "timeout", "error"]
    detail: str | None


class ProgramTester:
    """Tests programs one at a time; the judge that holds the tests is started when it is needed.

    Args:
        timeout: seconds, of wall-clock and of processor time, that a program may take for all its tests.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._bounds = f"{MEMORY}, {FILES}, {int(timeout) + 1}"
        self._judge: tuple[Child, socket.socket] | None = None
        self._program: subprocess.Popen[bytes] | None = None

    def test(self, code: str, tests: Sequence[str], entry_point: str, preamble: str = "") -> Tested:
        """Whether a program passes all its tests.

        Args:
            code: the program.
            tests: Python texts, of which none may raise.
            entry_point: function that the program must define.
            preamble: trusted definitions that the tests use, as Python text.
        """
        judge, passing = self._judge = self._judge or self._started_judge()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            program = self._program = self._started_program(theirs)
            with suppress(OSError):  # a judge that has died is silent below
                socket.send_fds(passing, [b"\0"], [ours.fileno()])
        judge.send({"code": code, "tests": list(tests), "entry_point": entry_point, "preamble": preamble})
        late = threading.Event()
        timer = threading.Timer(self._timeout, self._expire, (late,))
        timer.start()
        try:
            answer = judge.receive(self._timeout + GRACE)
        except ChildError as error:
            self._stop_judge()
            answer = {"outcome": "error", "detail": f"the process that holds the tests died: {error}"}
        finally:
            timer.cancel()
            timer.join()  # what it kills must be this program, not the next
            self._kill_program()
            self._program = None
            program.wait()
        if late.is_set():
            return Tested("timeout", f"the program took longer than {self._timeout:g} s")
        return Tested(answer["outcome"], answer["detail"])

    def _expire(self, late: threading.Event) -> None:
        late.set()
        self._kill_program()

    def kill(self) -> None:
        """Kill what is being tested, from any thread."""
        self._kill_program()
        if judge := self._judge:
            judge[0].kill()

    def _kill_program(self) -> None:
        """Kill the sandbox's first process, with which everything in it dies; bubblewrap collects it and ends.

        Were bubblewrap killed, its child would be left to process 1, which in many a container collects nothing.
        """
        if program := self._program:
            with suppress(ProcessLookupError):
                os.kill(_child_of(program.pid) or program.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the judge; another test starts it again."""
        if self._judge:
            self._stop_judge()

    def _started_judge(self) -> tuple[Child, socket.socket]:
        ours, theirs = socket.socketpair()
        code = f"{_IMPORT} judge; judge.main({self._bounds}, {theirs.fileno()})"
        with theirs, sandboxed(code, processes=True) as (command, descriptors):
            inherited = (*descriptors, theirs.fileno())
            return LASTING.submit(Child, command, pass_fds=inherited).result(), ours

    def _stop_judge(self) -> None:
        assert self._judge
        child, passing = self._judge
        self._judge = None
        child.stop()
        passing.close()

    def _started_program(self, channel: socket.socket) -> subprocess.Popen[bytes]:
        """What runs the program, in a sandbox of its own; the tests' side of the channel tells it which."""
        with sandboxed(f"{_IMPORT} program; program.main({self._bounds})") as (command, descriptors):
            return subprocess.Popen(
                command,
                stdin=channel.fileno(),
                stdout=channel.fileno(),
                stderr=subprocess.DEVNULL,
                pass_fds=descriptors,
                start_new_session=True,
            )


def _child_of(pid: int) -> int | None:
    """The first child of a process of one thread; none where it has none yet, or the kernel does not tell."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return None
    return int(children[0]) if children else None
