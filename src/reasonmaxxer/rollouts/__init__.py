"""Rollouts: completions of problems, as token ids, with what the model thought at each token.

In reading order: what an engine is (`engine`), from problems to graded rows (`sampler`, `table`), as durable shards
(`collect`); which engines there are (`engines`), the one of this package (`transformers_engine`, `plain`, `drawing`,
`sampling`, `stop`, `graphs`), vLLM and Ray; rollouts sampled elsewhere (`imported`).
"""
