"""A run predicted before anything is spent: what it takes, whether it fits, what it costs."""
