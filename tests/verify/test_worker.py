"""What a grading process may not do; each check runs in a process of its own."""

import subprocess
import sys

import pytest

SETUP = f"import sys; sys.path[:] = {sys.path!r}\n"
SETUP += "from reasonmaxxer.verify.guard import *\nfrom reasonmaxxer.verify.worker import *\n"


def run(code):
    return subprocess.run([sys.executable, "-c", SETUP + code], capture_output=True, text=True)


FORBIDDEN = [
    "open('x', 'w')",
    "open('x', 'ab')",
    "os.open('x', os.O_RDWR)",
    "os.system('touch x')",
    "os.remove('x')",
    "os.fork()",
    "os.kill(os.getpid(), 9)",
    "os.execv('/bin/true', ['true'])",
    "__import__('subprocess').run(['true'])",
    "__import__('socket').socket()",
    "__import__('shutil').rmtree('x')",
]
TRY = """
forbid_side_effects()
for code in {codes}:
    try:
        eval(code)
    except PermissionError as error:
        print(str(error).startswith('a grader may not'))
"""


def test_no_side_effects(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(TRY.format(codes=FORBIDDEN))
    assert done.stdout.split() == ["True"] * len(FORBIDDEN)
    assert not list(tmp_path.iterdir())


def test_reading_and_importing_are_free():
    done = run("forbid_side_effects(); import wave; print(open(wave.__file__).read(1) != '')")
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds address space")
def test_memory_is_bounded():
    done = run("limit_memory(); print(len(bytes(2**30))); bytes(2**32)")
    assert done.stdout == f"{2**30}\n"
    assert "MemoryError" in done.stderr


def test_a_worker_without_a_parent_ends_by_itself():
    request = r'{"verifier": "math", "gold": "5", "extracted": "9^{9^{9^{9}}}", "conventions": {}}'
    done = subprocess.run(
        [sys.executable, "-c", SETUP + "main.__globals__['_ORPHAN'] = 0.2; main(0.2, 'math')"],
        input=request + "\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stdout == '{"ready": true}\n'
    assert "Timeout" in done.stderr


def test_prints_of_libraries_do_not_reach_the_protocol():
    code = "main.__globals__['_graded'] = lambda grade: (print('noise'), os.write(1, b'noise'), {})[2]"
    request = '{"verifier": "math", "gold": "5", "extracted": "5", "conventions": {}}\n'
    done = subprocess.run(
        [sys.executable, "-c", f"{SETUP}{code}; main(5.0, 'math')"],
        input=request,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == '{"ready": true}\n{}\n'
    assert done.stderr.count("noise") == 2
