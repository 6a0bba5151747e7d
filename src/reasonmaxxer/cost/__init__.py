"""What a run cost: tokens, FLOPs, seconds, peak memory and dollars, stage by stage."""

from reasonmaxxer.cost.flops import ModelFlops
from reasonmaxxer.cost.meter import Meter, StageCost
from reasonmaxxer.cost.prices import Price, price_of

__all__ = ["Meter", "ModelFlops", "Price", "StageCost", "price_of"]
