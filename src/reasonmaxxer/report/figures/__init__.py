"""Figures of a run. Each function takes plain values and gives a matplotlib figure, for a notebook too:

results = read_results(Path("runs/default"))
figures.accuracy(results.summary)
"""

from reasonmaxxer.report.figures.comparison import accuracy_cost, arms_accuracy, pass_at_k, suite_scores
from reasonmaxxer.report.figures.distillation import accuracy_by_parameters, students_accuracy, students_kl
from reasonmaxxer.report.figures.divergence import (
    PAPER_TAU,
    choice_ranks,
    class_shares,
    divergence_by_tenth,
    entropy_by_class,
    gate_precision_recall,
    gate_threshold,
)
from reasonmaxxer.report.figures.intervention import (
    KINDS,
    dose_response,
    fewest_edits_histogram,
    interventions_accuracy,
)
from reasonmaxxer.report.figures.outcome import OUTCOME_COLOURS, accuracy, changes, cost, outcomes
from reasonmaxxer.report.figures.overlap import overlap_and_chance, overlap_by
from reasonmaxxer.report.figures.signal import entropy, pass_rates
from reasonmaxxer.report.figures.style import svg
from reasonmaxxer.report.figures.training import delta_logprob, metric, validation

__all__ = [
    "KINDS", "OUTCOME_COLOURS", "PAPER_TAU", "accuracy", "accuracy_by_parameters", "accuracy_cost",
    "arms_accuracy", "changes", "choice_ranks", "class_shares", "cost", "delta_logprob",
    "divergence_by_tenth", "dose_response", "entropy", "entropy_by_class", "fewest_edits_histogram",
    "gate_precision_recall", "gate_threshold", "interventions_accuracy", "metric",
    "outcomes", "overlap_and_chance", "overlap_by", "pass_at_k", "pass_rates",
    "students_accuracy", "students_kl", "suite_scores", "svg", "validation",
]  # fmt: skip
