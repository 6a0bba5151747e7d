"""Out of a run: merged weights, the hub, and rollouts in the formats of TRL."""
