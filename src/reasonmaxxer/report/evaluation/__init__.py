"""The page of `evaluate`."""
