"""A run directory with the few files the viewer reads, made of given bytes and made-up scores."""

import numpy as np
import pyarrow as pa

from reasonmaxxer.artifacts import write_json, write_table
from reasonmaxxer.microscope.inspection import SAMPLED_BY, TOKENS
from reasonmaxxer.microscope.pair import ARMS
from reasonmaxxer.microscope.vocabulary import VOCABULARY
from reasonmaxxer.problems import Problem, problems_table

WORDS = [b" so", b" one", b" and", b" two", b" is", b" three", b".", b"\n", b"\t", b"<|end|>"]
SPECIAL = 9
"""Place of the special token among the words."""


def completion(problem, split, arm="base", number=0, outcome="wrong", ids=(0, 1, 2), **more):
    """One row to be, without its scores."""
    return {
        "problem_id": problem,
        "split": split,
        "arm": arm,
        "rollout": number,
        "outcome": outcome,
        "extracted": "3",
        "finish_reason": "stop",
        "advantage": None,
        "ids": list(ids),
        "decision": [i % 3 == 1 for i in range(len(ids))],
        **more,
    }


def scores(rng, ids, vocabulary):
    """One model's random but possible numbers at each position."""
    top = [[100 + int(i) for i in rng.permutation(vocabulary)[:5]] for _ in ids]
    falling = -np.sort(rng.exponential(1.5, (len(ids), 5)), axis=1)
    return {
        "entropy": rng.exponential(0.8, len(ids)).tolist(),
        "logprob": (-rng.exponential(1.0, len(ids))).tolist(),
        "rank": rng.integers(1, 40, len(ids)).tolist(),
        "top": top,
        "top_logprob": falling.tolist(),
    }


def comparison(rng, count):
    """Random but possible numbers of both models together at each position."""
    ranks = {f"{side}_rank": rng.integers(1, 40, count).tolist() for side in ("forward", "backward")}
    names = ("jsd", "kl_base", "kl_tuned", "overlap", "moved_within", "moved_out")
    return {
        "kind": rng.integers(0, 3, count).tolist(),
        **ranks,
        **{name: rng.uniform(0, 0.6, count).tolist() for name in names},
    }


def write_run(folder, completions, words=WORDS, special=(SPECIAL,), texts=None, **problem):
    """Fill a folder; the vocabulary's ids are 100 + place, and `problem` is of every problem. Returns the folder."""
    rng = np.random.default_rng(0)
    rows = []
    for given in completions:
        row = dict(given)
        for arm in ARMS:
            row |= {f"{arm}_{name}": v for name, v in scores(rng, row["ids"], len(words)).items()}
        row |= comparison(rng, len(row["ids"]))
        row["ids"] = [100 + i for i in row["ids"]]
        rows.append(row)
    vocabulary = [{"id": 100 + n, "piece": word, "special": n in special} for n, word in enumerate(words)]
    write_table(pa.Table.from_pylist(rows, schema=TOKENS), folder / "inspection" / "tokens.parquet")
    table = pa.Table.from_pylist(vocabulary, schema=VOCABULARY)
    write_table(table, folder / "inspection" / "vocabulary.parquet")
    for split in ("train", "test"):
        ids = dict.fromkeys(c["problem_id"] for c in completions if c["split"] == split)
        fields = {"answer": "3", "domain": "numbers", **problem}
        problems = [Problem(id, (texts or {}).get(id, f"What is {id}?"), **fields) for id in ids]
        write_table(problems_table(problems), folder / "problems" / f"{split}.parquet")
    gate = {"kind": "threshold", "tau": 0.8, "decision_share": 0.3, "seed": 0}
    write_json({"counts": {"gates": [gate]}}, folder / "signal" / "stage.json")
    write_json({"counts": {"gate_number": 0}}, folder / "training" / "stage.json")
    write_json({"counts": {"model": {"name": "tiny"}}}, folder / "evaluation" / "stage.json")
    write_json({}, folder / "inspection" / "stage.json")
    return folder


def small_run(folder):
    """Two training problems with four rollouts each, three test problems: gained, lost, same."""
    long = [0, 1, 2, 3, 4, 5, 6, 7] * 4
    forked = [*long[:12], 8, *long[13:], SPECIAL]
    train = [
        completion(problem, "train", number=n, outcome=outcome, ids=ids, advantage=advantage)
        for problem in ("t0", "t1")
        for n, (outcome, ids, advantage) in enumerate(
            [
                ("wrong", long, -1.0),
                ("correct", [1, *long], 1.0),
                ("correct", forked, 1.0),
                ("unparsed", long[:20], -1.0),
            ]
        )
    ]
    outcomes = {"g": ("wrong", "correct"), "l": ("correct", "timeout"), "s": ("correct", "correct")}
    test = [
        completion(problem, "test", arm, 0, outcome, ids)
        for problem, pair in outcomes.items()
        for arm, outcome, ids in zip(SAMPLED_BY, pair, (long, forked), strict=True)
    ]
    return write_run(folder, train + test)


CODE = [
    b"```python", b"\n", b"def", b" first", b"(", b"x", b"):", b"\n   ", b" if", b" not", b" x", b":", b"\n       ",
    b" return", b" None", b"\n   ", b" x", b"[", b"0", b"]", b"\n\n", b"\treturn", b" + 1" * 40, b"\n", b"```",
    b"<|end|>",
]  # fmt: skip


def code_run(folder):
    """A training problem and a test problem of code: programs that part in a line and at an indentation."""
    start = [*range(11)]  # to `if not x`
    whole = [*start, 11, 12, 13, 14, 7, 13, 16, 17, 18, 19, 23, 24, 25]
    inside = [*start, 17, 18, 19, 11, 12, 13, 14, 20, 21, 16, 23, 24]  # other tokens after `if not x`
    at_break = [*whole[:15], 20, 21, 16, 22, 23, 24]  # another line break after `return None`
    wrong = {"outcome": "wrong", "detail": "NameError: name 'y' is not defined; assert first([]) is None"}
    rows = [
        completion("t", "train", number=0, ids=whole, advantage=1.0, outcome="correct"),
        completion("t", "train", number=1, ids=inside, advantage=-1.0, **wrong),
        completion("e", "test", "base", ids=at_break, **wrong),
        completion("e", "test", "adapted", ids=whole, outcome="correct"),
    ]
    text = 'def first(x):\n    """The first element.\n    >>> first([1])\n    1\n    """\n'
    solution = "def first(x):\n\treturn x[0] if x else None" + "  # <b>" * 40
    return write_run(
        folder, rows, CODE, (25,), {"t": text, "e": text}, answer=solution, domain="code", verifier="code"
    )
