"""Problems: where they come from, which split they belong to, and how they are asked."""

from reasonmaxxer.problems.load import Splits, load_disjoint, load_problems, load_samples, load_splits, source_name
from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.problems.prompts import render_prompt
from reasonmaxxer.problems.table import problems_from_table, problems_table
from reasonmaxxer.problems.text import normalise

__all__ = [
    "Problem",
    "Splits",
    "load_disjoint",
    "load_problems",
    "load_samples",
    "load_splits",
    "normalise",
    "problems_from_table",
    "problems_table",
    "render_prompt",
    "source_name",
]
