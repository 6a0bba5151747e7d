"""The method of arXiv 2605.06241: gate, selection, advantages, loss, trainer."""
