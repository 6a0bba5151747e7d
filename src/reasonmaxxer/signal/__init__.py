"""The learning signal: which rollouts teach, how strongly, and at which positions."""
