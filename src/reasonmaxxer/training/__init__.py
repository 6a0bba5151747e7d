"""ReasonMaxxer training: the loss, the trainer, the choice of gate and checkpoint."""
