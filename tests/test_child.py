"""Processes that answer, die, hang, and outlive whom they should not."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from reasonmaxxer.child import LAST_LINES, Child, ChildError

linux = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc who is alive")
ECHO = "import sys\nfor line in sys.stdin: print(line.strip(), flush=True)"


def child(code):
    return Child([sys.executable, "-c", code])


def gone(pid, seconds=20):
    """Whether a process ends (or waits to be buried by whoever adopted it) in time."""
    for _ in range(int(seconds * 20)):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_a_line_each_way():
    echo = child(ECHO)
    for message in ({"a": [1, 2]}, {"text": "zwölf\n"}):
        echo.send(message)
        assert echo.receive(60) == message
    echo.stop()
    assert gone(echo.pid)


def test_how_it_died_is_told():
    dying = child("import sys\nfor n in range(99): print('line', n, file=sys.stderr)\nsys.exit(3)")
    with pytest.raises(ChildError) as error:
        dying.receive(60)
    lines = str(error.value).splitlines()
    assert "status 3" in lines[0]
    assert lines[1:] == [f"line {n}" for n in range(99 - LAST_LINES, 99)]
    dying.send({"late": 1})  # is no error of its own
    dying.stop()


def test_half_a_line_is_no_answer():
    dying = child("import sys; sys.stdout.write('{\"a\": '); sys.stdout.flush(); sys.exit(4)")
    with pytest.raises(ChildError, match="status 4"):
        dying.receive(60)
    dying.stop()


def test_one_that_hangs_is_killed():
    hanging = child("import time; print('{}', flush=True); time.sleep(999)")
    with pytest.raises(ChildError, match=r"silent for 0\.5 s"):
        [hanging.receive(0.5) for _ in range(2)]
    assert gone(hanging.pid)
    hanging.stop()


@linux
def test_what_it_started_ends_with_it():
    parent = child(
        "import json, subprocess, sys, time\n"
        "own = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(999)'])\n"
        "print(json.dumps({'pid': own.pid}), flush=True); time.sleep(999)"
    )
    grandchild = parent.receive(60)["pid"]
    parent.stop()
    assert gone(parent.pid) and gone(grandchild)


@linux
def test_vllms_process_ends_when_its_parent_is_killed():
    watching = (
        "import queue, threading, time\n"
        "from reasonmaxxer.rollouts.vllm_worker import _watch\n"
        "threading.Thread(target=_watch, args=(queue.Queue(),), daemon=True).start()\n"
        "time.sleep(999)"
    )
    starting = (
        "import sys, time\nfrom reasonmaxxer.child import Child\n"
        f"child = Child([sys.executable, '-c', {watching!r}])\n"
        "print(child.pid, flush=True); time.sleep(999)"
    )
    with subprocess.Popen([sys.executable, "-c", starting], stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        assert not gone(pid, 1)
        parent.kill()
    assert gone(pid)
