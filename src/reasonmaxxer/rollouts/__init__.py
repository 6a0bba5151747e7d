"""Rollouts: completions of problems, as token ids, with what the model thought at each token."""
