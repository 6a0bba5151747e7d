"""Programs in the sandbox: what is right passes; nothing else buys a verdict, and nothing leaves."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import yaml

from reasonmaxxer.sandbox import ProgramTester, backend, programs

pytestmark = pytest.mark.skipif(not backend().program, reason=f"no sandbox: {backend().version}")
DOUBLES = ["assert f(2) == 4\nassert f([1]) == [1, 1]"]
CLOSE = ["import math\nassert abs(f(2) - 4) < 1e-6 and 4 in {f(2)} and math.isclose(f(2), 4)"]
RIGHT = "def f(x): return x * 2"
PROGRAMS = yaml.safe_load((Path(__file__).parent / "programs.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tester():
    made = ProgramTester(20.0)
    yield made
    made.close()


def _open_descriptors():
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def graded(tester, code, tests=DOUBLES, **more):
    return tester.test(code, tests, "f", **more)


@pytest.mark.parametrize("case", PROGRAMS["right"])
def test_a_right_program_passes(tester, case):
    program = PROGRAMS["right"][case]
    assert graded(tester, program["code"], [program["tests"]]) == ("correct", None)


@pytest.mark.parametrize("code, kind", [
    ("def f(x): return x * 3", "AssertionError: assert f(2) == 4"),
    ("def g(x): return x * 2", "NameError: no function 'f'"),
    ("def f(x) return x", "SyntaxError"),
    ("def f(x): return 1 / 0", "ZeroDivisionError: division by zero; assert f(2) == 4"),
    ("import numpy\n" + RIGHT, "ModuleNotFoundError"),
    ("def f(x): return f(x)", "RecursionError"),
    ("\0", "SyntaxError|ValueError"),
])  # fmt: skip
def test_a_wrong_program_fails_with_its_reason(tester, code, kind):
    outcome, detail = graded(tester, code)
    assert outcome == "wrong" and detail.startswith(tuple(kind.split("|")))


@pytest.mark.parametrize("trick", PROGRAMS["tricks"])
def test_a_verdict_cannot_be_bought(tester, trick):
    hidden = ["assert f(3) == 6"] if "shown" in trick else []
    assert graded(tester, PROGRAMS["tricks"][trick], DOUBLES + hidden).outcome == "wrong"
    assert graded(tester, PROGRAMS["tricks"][trick], CLOSE + hidden).outcome == "wrong"
    assert graded(tester, RIGHT).outcome == "correct"
    assert graded(tester, "def f(x): return 7").outcome == "wrong"


@pytest.mark.parametrize("escape", PROGRAMS["escapes"])
def test_nothing_leaves_the_sandbox(tester, escape):
    assert graded(tester, f"{PROGRAMS['escapes'][escape]}\n{RIGHT}").outcome == "wrong"
    assert graded(tester, RIGHT).outcome == "correct"


@pytest.mark.parametrize("code", [
    "while True: pass",
    "import signal\nfor s in (1, 2, 3, 14, 15): signal.signal(s, signal.SIG_IGN)\nwhile True: pass",
    "import time\ntime.time = time.monotonic = lambda: 0\ntime.sleep(60)",
    "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\nimport time\ntime.sleep(60)",
])  # fmt: skip
def test_a_program_that_does_not_end_is_late(code):
    tester = ProgramTester(3.0)
    start = time.monotonic()
    assert graded(tester, f"{code}\n{RIGHT}").outcome == "timeout"
    assert time.monotonic() - start < 15
    assert graded(tester, RIGHT).outcome == "correct"
    tester.close()


def test_a_gigabyte_of_output_harms_nothing(tester):
    assert graded(tester, "for _ in range(64): print('a' * 2**24)\n" + RIGHT).outcome == "correct"


def test_tests_are_timed_too():
    tester = ProgramTester(3.0)
    assert graded(tester, RIGHT, ["while True: pass"]).outcome == "timeout"
    assert graded(tester, RIGHT).outcome == "correct"
    tester.close()


def test_the_users_files_environment_and_network_are_not_there(tester, tmp_path, monkeypatch):
    (tmp_path / "secret").write_text("hush")
    monkeypatch.setenv("HF_TOKEN", "hush")
    code = f"""
import os
def f(x):
    there = [{str(tmp_path)!r}, '/etc/passwd', '/root/.ssh', '/home', '/sys', '/run'] + os.listdir('/tmp')
    assert not any(map(os.path.exists, there)), there
    assert 'hush' not in str(os.environ) and os.getuid() == 65534
    assert not os.path.exists('/proc')
    return x * 2"""
    assert graded(tester, code) == ("correct", None)


def test_tests_that_cannot_run_are_an_error(tester):
    assert graded(tester, RIGHT, ["assert f(1) =="]).outcome == "error"
    assert graded(tester, RIGHT, ["assert f(object())"]).outcome == "error"
    assert graded(tester, RIGHT, ["import itertools\nassert f(itertools.count())"]).outcome == "error"
    assert graded(tester, "class f: pass", ["class A(f): pass"]).outcome == "error"


def test_a_sandbox_that_does_not_start_is_an_error(monkeypatch):
    tester = ProgramTester(20.0)
    assert graded(tester, RIGHT).outcome == "correct"
    monkeypatch.setattr(programs, "_IMPORT", "raise OSError;")
    assert graded(tester, RIGHT) == ("error", "the program's sandbox did not start")
    tester.close()


def test_tests_use_the_standard_library_and_the_preamble_not_the_programs(tester):
    cheat = "class math:\n  isclose = staticmethod(lambda *a: True)\ndef helper(x): return True\ndef f(x): return 7"
    for tests in ("assert math.isclose(f(1), 2)", "assert helper(f(1))"):
        preamble = "def helper(x): return x == 2"
        assert graded(tester, cheat, [tests], preamble=preamble).outcome == "wrong"
        assert graded(tester, RIGHT, [tests], preamble=preamble).outcome == "correct"


def test_a_program_that_ends_has_failed_whatever_the_tests_catch(tester):
    tests = ["try:\n  value = f(2)\nexcept:\n  value = 4\nassert value == 4"]
    assert graded(tester, "import os\ndef f(x): os._exit(0)", tests) == (
        "wrong",
        "Ended: the program ended its process",
    )


def test_a_function_of_pythons_that_tests_pass_runs_in_the_program(tester):
    code = "def f(run, x): return run('[exec(\"import sys; sys.leave = 1\"), ' + x + '][1]')"
    tests = ["import sys\nassert f(eval, '2') == 2 and not hasattr(sys, 'leave')"]
    assert graded(tester, code, tests).outcome == "correct"


def test_types_differ_that_compare_otherwise(tester):
    code = "from collections import OrderedDict, namedtuple\nP = namedtuple('P', 'a b')\n"
    code += "def f(x): return OrderedDict([(2, 1), (1, 2)]) if x else P(1, 2)"
    ordered = "from collections import OrderedDict\nassert f(1) == OrderedDict([(1, 2), (2, 1)])"
    assert graded(tester, code, [ordered]).outcome == "wrong"
    assert graded(tester, code, ["assert type(f(0)) is tuple"]).outcome == "wrong"


def test_every_set_of_tests_must_pass(tester):
    assert graded(tester, RIGHT, ["assert f(1) == 2", "assert f(2) == 4"]).outcome == "correct"
    assert graded(tester, RIGHT, ["assert f(1) == 2", "assert f(2) == 5"]) == (
        "wrong",
        "AssertionError: assert f(2) == 5",
    )


def test_a_judge_outlives_the_thread_that_first_asked_and_its_own_death(tester):
    thread = threading.Thread(target=graded, args=(tester, RIGHT))
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert graded(tester, RIGHT).outcome == "correct"
    tester.kill()
    assert graded(tester, RIGHT).outcome in ("error", "correct")
    assert graded(tester, RIGHT).outcome == "correct"


def test_nothing_is_left_when_it_ends():
    tester = ProgramTester(5.0)
    before = _open_descriptors()
    for _ in range(5):
        graded(tester, RIGHT)
    tester.close()
    assert _open_descriptors() <= before


def test_dead_processes_do_not_gather_where_nobody_collects_orphans():
    source = (  # which fall to this process, as to process 1 of a container
        "import ctypes, psutil; from reasonmaxxer.sandbox import ProgramTester; ctypes.CDLL(None).prctl(36, 1)\n"
        f"tester = ProgramTester(20)\nfor _ in range(16): tester.test({RIGHT!r}, {DOUBLES}, 'f')\n"
        "print(len(psutil.Process().children()))"
    )
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", source], env=environment, capture_output=True, text=True, check=True)
    # what holds the tests, and a few programs that ended by themselves before they were killed
    assert int(done.stdout) < 12


def test_nothing_outlives_the_process_that_grades():
    source = (
        f"from reasonmaxxer.sandbox import ProgramTester; ProgramTester(600).test('while True: pass', {DOUBLES}, 'f')"
    )
    grading = subprocess.Popen([sys.executable, "-c", source], env={**os.environ, "PYTHONPATH": ":".join(sys.path)})
    deadline = time.monotonic() + 60
    while len(started := psutil.Process(grading.pid).children(recursive=True)) < 5:  # 2 for each sandbox, and a fork
        assert time.monotonic() < deadline, started
        time.sleep(0.05)
    grading.kill()
    grading.wait()
    _, left = psutil.wait_procs(started, 20)
    assert not left
