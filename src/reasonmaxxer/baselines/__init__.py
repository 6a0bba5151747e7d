"""What ReasonMaxxer is held against: GRPO, RLOO, SFT, DPO and KTO through TRL, on the same footing."""
