"""Equations 5 to 7 of arXiv 2605.06241, written out in float64 with plain autograd."""

import math

import torch


def token_loss(name, advantage, taken, base_taken, floor):
    """The objectives, each from its paper's words, differentiated by autograd."""
    if name == "paper":
        held = torch.where(advantage < 0, taken.clamp(min=math.log(floor)), taken) if floor else taken
        return -advantage * held
    ratio = (taken - base_taken).exp()
    if name == "topr":  # REINFORCE whose weight is the ratio cut to [0, 1], taken as a constant
        weight = torch.where(advantage < 0, ratio.clamp(max=1), 1.0).detach()
        value = torch.where(ratio < 1, ratio, 1 + ratio.log())
        surrogate = -advantage * weight * taken
        shown = -advantage * torch.where(advantage < 0, value, taken)
        return surrogate + (shown - surrogate).detach()
    return -torch.minimum(advantage * ratio, advantage * ratio.clamp(0.8, 1.2))


def sequence_loss(model, base, row, anchor_weight=0.2, floor=0.0, anchors="all", objective="paper"):
    """L of one row: whole float64 logits, one sequence, no chunk, no padding."""
    ids = torch.tensor([list(row["prompt_ids"]) + list(row["completion_ids"])])
    logp = model(ids).logits[0].double().log_softmax(-1)
    with torch.no_grad():
        base_logp = base(ids).logits[0].double().log_softmax(-1)
    start = len(row["prompt_ids"])
    decisions, kls = [], []
    for t in range(ids.shape[1] - 1):
        target = ids[0, t + 1]
        in_completion = t + 1 >= start
        if in_completion and row["decision"][t + 1 - start]:
            advantage = torch.tensor(row["advantage"], dtype=torch.float64)
            decisions.append(token_loss(objective, advantage, logp[t, target], base_logp[t, target], floor))
        elif in_completion or anchors == "all":
            kls.append((base_logp[t].exp() * (base_logp[t] - logp[t])).sum())
    zero = logp.sum() * 0
    decision = torch.stack(decisions).mean() if decisions else zero
    anchor = torch.stack(kls).mean() if kls else zero
    return decision + anchor_weight * anchor
