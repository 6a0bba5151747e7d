"""Commands in a sandbox: what they may read."""

import subprocess

import pytest

from reasonmaxxer.sandbox import backend
from reasonmaxxer.sandbox.bubblewrap import sandboxed

pytestmark = pytest.mark.skipif(not backend().program, reason=f"no sandbox: {backend().version}")


def run(code, **more):
    with sandboxed(code, **more) as (command, descriptors):
        return subprocess.run(command, pass_fds=descriptors, capture_output=True, text=True, timeout=60, check=False)


def test_a_folder_below_tmp_can_be_read_and_not_written(tmp_path):
    (tmp_path / "named").write_text("there")
    (tmp_path / "unnamed").write_text("there")
    code = f"import os; print(open({str(tmp_path / 'named')!r}).read(), os.listdir({str(tmp_path)!r}))"
    assert run(code, readable=[tmp_path / "named"]).stdout == "there ['named']\n"
    assert "Read-only" in run(f"open({str(tmp_path / 'named')!r}, 'a')", readable=[tmp_path / "named"]).stderr


def test_variables_are_those_that_are_given(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hush")
    code = "import os; print(sorted(set(os.environ) - {'PWD', 'LC_CTYPE'}))"
    assert run(code, environment={"A": "1"}).stdout == "['A', 'HOME', 'LANG', 'PATH', 'PYTHONHASHSEED']\n"
