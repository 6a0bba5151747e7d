"""How well a model does, with intervals over problems and paired comparisons."""
