"""Baselines: what is compared with what, and what stays when one benchmark is stored."""

import pytest
from figures import baseline, figure_table, save_baseline
from machine import Machine, slug

from reasonmaxxer.artifacts import read_json

MACHINE = Machine("a-cpu-2-threads", "float32", 1e9, 1e9, (), {"versions": {"torch": "9"}})


def cells(table):
    return [list(column.cells) for column in table.columns]


def test_slug_names_the_kind_of_machine():
    info = {"model name": "AMD EPYC", "cpu family": "25", "model": "17"}
    assert slug(info, 2) == "amd-epyc-25-17-2-threads"
    assert slug({"model name": "Intel(R) Xeon(R) CPU @ 2.20GHz"}, 8) == ("intel-r-xeon-r-cpu-2-20ghz-8-threads")
    assert slug({}, 4) == "unknown-cpu-4-threads"


def test_a_baseline_is_compared_with_the_same_settings_only(tmp_path):
    path = tmp_path / "machine.json"
    assert baseline(path, "rollouts", {"problems": 2}) == {}
    save_baseline(path, "rollouts", {"problems": 2}, {"ratio": 2.0}, MACHINE)
    assert baseline(path, "rollouts", {"problems": 2}) == {"ratio": 2.0}
    assert baseline(path, "rollouts", {"problems": 3}) == {}
    assert baseline(path, "rollouts-quick", {"problems": 2}) == {}


def test_storing_one_benchmark_keeps_the_others(tmp_path):
    path = tmp_path / "machine.json"
    save_baseline(path, "training", {}, {"ratio": 3.0}, MACHINE)
    save_baseline(path, "rollouts", {}, {"ratio": 2.0}, MACHINE)
    save_baseline(path, "rollouts", {}, {"ratio": 2.5}, MACHINE)
    assert baseline(path, "training", {}) == {"ratio": 3.0}
    assert baseline(path, "rollouts", {}) == {"ratio": 2.5}
    stored = read_json(path)
    assert stored["machine"] == "a-cpu-2-threads"
    assert stored["benchmarks"]["rollouts"]["versions"] == {"torch": "9"}


def test_change_is_against_the_baseline():
    _, values, old, change = cells(figure_table("x", {"ratio": 3.0, "new": 1.0}, {"ratio": 2.5}))
    assert values == ["3", "1"]
    assert old == ["2.5", "-"]
    assert change == ["+20%", "-"]


@pytest.mark.parametrize("name", ["rollouts", "training"])
def test_stored_baselines_have_the_figures_that_are_compared(name):
    from figures import BASELINES

    for path in BASELINES.glob("*.json"):
        stored = read_json(path)
        assert stored["machine"] == path.stem
        if name in stored["benchmarks"]:
            figures = stored["benchmarks"][name]["figures"]
            assert {"ratio", "peak_memory_ratio", "matmul_share"} <= set(figures)
