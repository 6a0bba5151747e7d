"""The method of arXiv 2605.06241.

In reading order: what teaches (`pool`, `advantages`, `selection`), where (`gate`), how (`loss`, `data`, `packed`,
`trainer`), from start to end (`fit`, `train`) and with which gate and checkpoint (`validation`). Beside them:
`order` and `base_states` save computation, `checkpoints`, `history` and `trackers` keep and tell what happened,
`processes` is for several devices, `scoring` for rollouts whose engine tells no entropies.
"""
