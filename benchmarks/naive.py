"""ReasonMaxxer training as one writes it first: the reference that `training.py` measures against.

One sequence at a time, one forward with the adapter off and one with it on, the whole logits of both
in float32, the loss read off the equations, gradients accumulated over a step's sequences.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import get_linear_schedule_with_warmup

from reasonmaxxer.config import TrainingConfig


def sequence_loss(model: Any, row: dict[str, Any], config: TrainingConfig) -> Tensor:
    """The loss of one sequence (arXiv 2605.06241, Eq. 6 and 7), a scalar with gradient.

    Args:
        model: a causal LM with a PEFT adapter.
        row: `prompt_ids`, `completion_ids`, `decision` (a bool a completion token), `advantage`.
        config: weight of the anchor, which holds at all other positions, and the negative floor.
    """
    ids_1T = torch.tensor([list(row["prompt_ids"]) + list(row["completion_ids"])])
    ids_1T = ids_1T.to(model.device)
    with torch.no_grad(), model.disable_adapter():
        base_TV = model(input_ids=ids_1T, use_cache=False).logits[0, :-1].float().log_softmax(-1)
    own_TV = model(input_ids=ids_1T, use_cache=False).logits[0, :-1].float().log_softmax(-1)

    before = torch.zeros(len(row["prompt_ids"]) - 1, dtype=torch.bool)
    decision_T = torch.cat([before, torch.tensor(row["decision"], dtype=torch.bool)])
    decision_T = decision_T.to(model.device)
    taken_T = own_TV.gather(-1, ids_1T[0, 1:, None]).squeeze(-1)
    if row["advantage"] < 0 and config.negative_floor > 0:
        taken_T = taken_T.clamp(min=math.log(config.negative_floor))
    kl_T = (base_TV.exp() * (base_TV - own_TV)).sum(-1)
    loss = config.anchor_weight * kl_T[~decision_T].mean()
    if decision_T.any():
        loss = loss - row["advantage"] * taken_T[decision_T].mean()
    return loss


def train(model: Any, steps: Sequence[Sequence[dict[str, Any]]], config: TrainingConfig) -> list[float]:
    """Train the adapter in place; the loss of each step.

    Args:
        model: a causal LM with a fresh PEFT adapter.
        steps: the rows of each optimiser step.
        config: loss and optimiser.
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = get_linear_schedule_with_warmup(optimizer, config.warmup_steps, len(steps))
    losses = []
    model.train()
    for rows in steps:
        total = 0.0
        for row in rows:
            loss = sequence_loss(model, row, config) / len(rows)
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(weights, config.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(total)
    return losses
