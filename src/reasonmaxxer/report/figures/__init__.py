"""Figures of a run. Each function takes plain values and gives a matplotlib figure, for a notebook too:

results = read_results(Path("runs/default"))
figures.accuracy(results.summary)
"""

from reasonmaxxer.report.figures.comparison import accuracy_cost, arms_accuracy, pass_at_k
from reasonmaxxer.report.figures.outcome import (
    OUTCOME_COLOURS,
    accuracy,
    changes,
    cost,
    metric_rows,
    outcomes,
)
from reasonmaxxer.report.figures.signal import entropy, gate_words, pass_rates
from reasonmaxxer.report.figures.style import svg
from reasonmaxxer.report.figures.training import delta_logprob, metric, validation

__all__ = [
    "OUTCOME_COLOURS", "accuracy", "accuracy_cost", "arms_accuracy", "changes", "cost",
    "delta_logprob", "entropy", "gate_words", "metric", "metric_rows", "outcomes", "pass_at_k",
    "pass_rates", "svg", "validation",
]  # fmt: skip
