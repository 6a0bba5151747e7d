"""A finished run whose every number is chosen by hand; no model took part."""

from dataclasses import asdict, replace

from reasonmaxxer.artifacts import folder_files, read_json, write_json, write_table
from reasonmaxxer.config import Recipe
from reasonmaxxer.cost import Price, StageCost
from reasonmaxxer.measure.rollouts import rollout_summary
from reasonmaxxer.method.selection import Example, example_table
from reasonmaxxer.method.train import history_table
from reasonmaxxer.method.validation import SCHEMA as VALIDATION
from reasonmaxxer.problems import Problem, problems_table
from reasonmaxxer.rollouts.table import Rollout, rollout_table
from reasonmaxxer.work.summary import summarise
from reasonmaxxer.work.workspace import Workspace

HOSTILE = "</script><img src=x onerror=alert(1)>\x1b[31m\u202e<b>"
POOL = {"t0": 0, "t1": 2, "t2": 1, "t3": 4}
"""Right rollouts of four, by training problem."""
ENTROPY = [0.1, 0.5, 2.0]
"""Entropy of the three tokens of every completion, nats."""
TEST = {"e0": (False, True), "e1": (True, False), "e2": (True, True), "e3": (False, False),
        "e4": (False, True)}  # fmt: skip
"""Solved by base and adapted model, by test problem."""
GATES = [
    {"kind": "threshold", "tau": tau, "decision_share": share, "seed": 0}
    for tau, share in ((0.3, 2 / 3), (1.0, 1 / 3))
]
VALIDATED = {(0, 2): 1, (0, 4): 1, (1, 2): 1, (1, 4): 2}
"""Right of two validation problems, by gate and step; gate 1 at step 4 is chosen."""
HARDWARE = {"device": "cpu", "cpu": "an abacus", "threads": 2}


def rollout(problem_id, index, correct, text="so 7", reason="stop"):
    return Rollout(
        problem_id=problem_id, rollout=index, seed=1, prompt_ids=[1, 4], completion_ids=[5, 6, 2],
        text=text, finish_reason=reason, entropy=ENTROPY, logprob=[-0.1] * 3,
        outcome="correct" if correct else "wrong", extracted="7", engine="made", engine_version="1",
    )  # fmt: skip


def spent(gate, step):
    """Cost of the training stage up to a checkpoint."""
    done = 4 * gate + step
    return StageCost("training", 10 * done, 1e9 * done, 2.0 * done, 4.0 * done, 2**30, 0.001 * done)


def problems(*names, verifier="math"):
    return problems_table([Problem(name, f"What is {name}?", "7", "sums", verifier) for name in names])


def edited(path):
    """A made run whose tables were changed by hand: of that its stages say nothing any more."""
    for record in path.glob("*/stage.json"):
        files = folder_files(record.parent, without=(record.name,))
        write_json({**read_json(record), "files": files}, record)


def make_run(path, *, gates=GATES, samples=2, texts=None, wrong=None, **recipe):
    """Write the run directory and return the recipe behind it.

    Args:
        path: of the run directory.
        gates: those trained, the last one chosen.
        samples: sampled completions a test problem.
        texts: completion of the adapted model by test problem.
        wrong: why wrong rollouts are wrong, for answers that are programs.
        recipe: sections or keys of the recipe to set.
    """
    recipe = Recipe.model_validate(
        {
            "evaluation": {"samples": samples, "ks": [1, 2], "bootstrap": 200},
            "rollouts": {"rollouts_per_problem": 4, "temperature": 0.7},
            **recipe,
        }
    )
    stages = ("problems", "rollouts", "signal", "training", "evaluation")
    directory = Workspace(path, "run", recipe, stages=stages, price=Price("cpu-core", 0.1, estimated=True))

    def graded(*given):
        made = rollout(*given)
        return made if made.reward else replace(made, detail=wrong)

    pool = [graded(p, i, i < right) for p, right in POOL.items() for i in range(4)]
    splits = {"train": POOL, "validation": ("v0", "v1"), "test": TEST}

    def write_problems(work):
        for name, ids in splits.items():
            write_table(problems(*ids, verifier="code" if wrong else "math"), work.folder / f"{name}.parquet")
        work.counts = {name: len(ids) for name, ids in splits.items()}

    def write_rollouts(work):
        write_table(rollout_table(pool), work.folder / "shard-00000.parquet")
        work.counts = rollout_summary(pool)
        work.meter.add(tokens=48, flops=5e9)

    def write_signal(work):
        kept = [r for r in pool if r.problem_id in ("t1", "t2")]
        examples = [
            Example(r.problem_id, r.rollout, r.prompt_ids, r.completion_ids, ENTROPY, r.logprob, 1.0) for r in kept
        ]
        write_table(example_table(examples), work.folder / "examples.parquet")
        work.counts = {"problems": 2, "sequences": 8, "tokens": 24, "gates": gates}

    def write_training(work):
        history = [
            {
                "round": 1, "gate": gate, "step": step, "loss": gate + step / 10, "grad_norm": 1.0, "kl": step / 100,
                "learning_rate": 1e-3, "delta_logprob_positive": step / 10,
                "delta_logprob_negative": -step / 5,
            }
            for gate in range(len(gates)) for step in range(1, 5)
        ]  # fmt: skip
        tried = [
            {"round": 1, "gate": gate, "step": step, "problem_id": f"v{i}", "correct": i < right}
            for (gate, step), right in VALIDATED.items()
            for i in range(2)
            if gate < len(gates)
        ]
        write_table(history_table(history), work.folder / "history.parquet")
        write_table(VALIDATION.empty_table().from_pylist(tried), work.folder / "validation.parquet")
        work.meter.add(tokens=100, flops=1e10)
        work.counts = {
            "method": "reasonmaxxer", "gate": gates[-1], "gate_number": len(gates) - 1, "rounds": [],
            "steps": 4, "planned_steps": 4,
            "sequences": 8, "tokens": 40,
            "checkpoint": "step 4", "validation_accuracy": 1.0, "validation_problems": 2,
            "checkpoints": [
                {"gate": gate, "step": step, **asdict(spent(gate, step))}
                for gate in range(len(gates)) for step in (2, 4)
            ],
        }  # fmt: skip

    def write_evaluation(work):
        model = {"name": "made/model", "source": "hand", "fingerprint": "ab", "dtype": "float32"}
        work.counts = {"model": model}
        for arm, name in enumerate(("base", "adapted")):
            own = (texts or {}) if name == "adapted" else {}
            greedy = [graded(p, 0, solved[arm], own.get(p, "so 7")) for p, solved in TEST.items()]
            folder = work.folder / f"{name}-greedy"
            write_table(rollout_table(greedy), folder / "shard-00000.parquet")
            if samples:
                drawn = [graded(p, i, s[arm]) for p, s in TEST.items() for i in range(samples)]
                folder = work.folder / f"{name}-sampled"
                write_table(rollout_table(drawn), folder / "shard-00000.parquet")

    directory.run_stage("problems", (), write_problems)
    directory.run_stage("rollouts", ("problems",), write_rollouts)
    directory.run_stage("signal", ("rollouts",), write_signal)
    directory.run_stage("training", ("problems", "signal"), write_training)
    directory.run_stage("evaluation", ("problems", "training"), write_evaluation)
    environment = {"versions": {"reasonmaxxer": "0"}, "hardware": HARDWARE, "seed": 0}
    write_json(summarise(directory, environment), path / "summary.json")
    return recipe
