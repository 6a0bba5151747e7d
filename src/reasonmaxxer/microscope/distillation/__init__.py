"""Distilling a tuned model into small adapters of its base: how few parameters hold what it learnt."""
