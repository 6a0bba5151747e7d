"""What came out of a run: `summary.json` and the tables on the terminal."""
