"""What runs in a sandbox: `program` executes a model's code, `judge` holds its tests. Standard library alone."""
