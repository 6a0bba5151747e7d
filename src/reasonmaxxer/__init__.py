"""ReasonMaxxer: what RL changes in a language model, without RL (arXiv 2605.06241)."""

__version__ = "0.2.0"
