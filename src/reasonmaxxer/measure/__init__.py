"""Numbers of what was sampled: accuracy, pass@k, intervals, paired comparisons. No prose."""
