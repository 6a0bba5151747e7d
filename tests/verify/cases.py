"""Answers and completions to grade: of each kind of fault that graders have, many, judged by hand."""

import json
from pathlib import Path

ROWS = Path(__file__).with_name("cases.jsonl").read_text(encoding="utf-8").split("\n")
CASES = [(row["kind"], row["gold"], row["prediction"], row["correct"]) for row in map(json.loads, filter(None, ROWS))]
"""Kind, gold answer, prediction, and whether it is right."""
