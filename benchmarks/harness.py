"""lm-evaluation-harness and this package on the same rows, prompt and greedy decoding: do they agree?

    python benchmarks/harness.py RUN gsm8k_test.jsonl --lm-eval ENVIRONMENT/bin/lm-eval --out runs/harness

RUN is a finished run or a PEFT folder. The rows have `problem` and `answer`; the harness lives in an
environment of its own (`pip install 'lm-eval[hf]' peft`) and is called by its public command, once for the
base (`pretrained=FOLDER`) and once for both (`pretrained=FOLDER,peft=ADAPTER`), with the task in
`benchmarks/tasks/`. Weights are float32 on both sides, so that what differs is not rounding.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from reasonmaxxer.config import ModelConfig, SamplingConfig, SourceConfig, VerifyConfig
from reasonmaxxer.models import LoadedModel, eos_ids
from reasonmaxxer.models.load import load_adapter
from reasonmaxxer.problems import Problem, load_problems
from reasonmaxxer.rollouts.sampler import Sampler
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.share.source import find_source
from reasonmaxxer.verify import Verifier

TASKS = Path(__file__).parent / "tasks"
TASK, FILTER = "gsm8k_rows", "last-number"
ROWS = "rows.jsonl"
MAX_NEW_TOKENS = 200  # as in the task
BATCH = 20


@dataclass(frozen=True)
class Answer:
    """One answer: its text, and whether it was graded right."""

    text: str
    right: bool


def ours(loaded: LoadedModel, problems: Sequence[Problem]) -> list[Answer]:
    """Greedy answers of a model as it stands, by this package."""
    sampling = SamplingConfig(temperature=0, max_new_tokens=MAX_NEW_TOKENS)
    engine = TransformersEngine(loaded.model, eos_ids(loaded.model, loaded.tokenizer), BATCH)
    with Verifier(VerifyConfig(extraction="last_number"), "chat_template") as verifier:
        sampler = Sampler(
            engine, verifier, loaded.tokenizer, prompt_style="chat_template", sampling=sampling, per_problem=1, seed=0
        )
        rollouts = sampler.sample(problems)
    return [Answer(rollout.text, rollout.reward == 1) for rollout in rollouts]


def command(lm_eval: str, base: str, adapter: Path | None, name: str) -> list[str]:
    """The harness's command for one model."""
    peft = f",peft={adapter.resolve()}" if adapter else ""
    return [
        *(lm_eval, "run", "--model", "hf", "--device", "cpu", "--batch_size", str(BATCH)),
        *("--model_args", f"pretrained={base}{peft},dtype=float32"),
        *("--tasks", TASK, "--include_path", str(TASKS.resolve()), "--apply_chat_template"),
        *("--log_samples", "--output_path", name),
    ]


def theirs(folder: Path) -> list[Answer]:
    """What the harness logged of each row, in order."""
    (path,) = folder.rglob(f"samples_{TASK}_*.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows = sorted((row for row in rows if row["filter"] == FILTER), key=lambda row: row["doc_id"])
    return [Answer(row["resps"][0][0], row["exact_match"] == 1) for row in rows]


def compared(name: str, one: Sequence[Answer], other: Sequence[Answer]) -> tuple[str, ...]:
    """A row of the table: both accuracies, and rows on which grade and text agree."""
    pairs = list(zip(one, other, strict=True))
    grade = sum(a.right == b.right for a, b in pairs)
    text = sum(a.text.strip() == b.text.strip() for a, b in pairs)
    rates = (f"{sum(a.right for a in side)}/{len(side)}" for side in (one, other))
    return name, *rates, f"{grade}/{len(pairs)}", f"{text}/{len(pairs)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("rows", type=Path)
    parser.add_argument("--lm-eval", required=True)
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    out = arguments.out
    out.mkdir(parents=True)
    lines = arguments.rows.read_text(encoding="utf-8").splitlines()[: arguments.limit]
    (out / ROWS).write_text("\n".join(lines) + "\n", encoding="utf-8")
    problems = load_problems(SourceConfig(source=str(out / ROWS)), 0, "rows")

    source = find_source(arguments.source)
    config = ModelConfig(name=str(source.adapter), device="cpu", dtype="float32")
    loaded = load_adapter(config, source.adapter)
    base = loaded.model.get_base_model().name_or_path
    table = Table(title=f"{len(problems)} rows of {arguments.rows.name}, greedy, float32")
    for column in ("model", "this package", "harness", "same grade", "same text"):
        table.add_column(column)
    for name, adapter in (("base", None), ("adapted", source.adapter)):
        call = command(arguments.lm_eval, base, adapter, name)
        print("$", *call, flush=True)
        subprocess.run(call, cwd=out, check=True)
        with nullcontext() if adapter else loaded.model.disable_adapter():
            table.add_row(*compared(name, ours(loaded, problems), theirs(out / name)))
    Console().print(table)


if __name__ == "__main__":
    main()
