"""Shards that are made once."""

from reasonmaxxer.problems import Problem
from reasonmaxxer.rollouts.collect import collect, read_rollouts
from reasonmaxxer.rollouts.engine import rollout_seed
from reasonmaxxer.rollouts.table import Rollout

PROBLEMS = [Problem(f"p{n}", f"{n} so 1", str(n), "x") for n in range(5)]


def rollout(problem, index=0, text="1"):
    return Rollout(
        problem.id, index, 7, [1, 4], [5, 2], text, "stop", [0.5, 0.25], [-1.0, -0.5], "wrong", "1",
        "transformers", "5",
    )  # fmt: skip


def test_shards_are_consecutive_and_made_once(tmp_path):
    made, seen = [], []

    def make(shard):
        made.append([p.id for p in shard])
        return [rollout(p) for p in shard]

    first = collect(PROBLEMS, tmp_path, 2, make, lambda rows, fresh: seen.append(fresh))
    (tmp_path / "shard-00001.parquet").unlink()
    again = collect(PROBLEMS, tmp_path, 2, make, lambda rows, fresh: seen.append(fresh))
    assert made == [["p0", "p1"], ["p2", "p3"], ["p4"], ["p2", "p3"]]
    assert seen == [True, True, True, False, True, False]
    assert again == first == read_rollouts(tmp_path) == [rollout(p) for p in PROBLEMS]


def test_a_seed_a_rollout():
    seeds = [rollout_seed(s, p, k) for s in range(4) for p in ("a", "b", "a1") for k in range(50)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)  # the table holds int64
    assert rollout_seed(0, "a", 11) != rollout_seed(0, "a1", 1)
