"""Equations 5 to 7 of arXiv 2605.06241, written out in float64 with plain autograd."""

import torch


def sequence_loss(model, base, row, anchor_weight=0.2, floor=0.0, anchors="all"):
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
            term = logp[t, target]
            if row["advantage"] < 0 and floor > 0:
                term = term.clamp(min=torch.log(torch.tensor(floor, dtype=torch.float64)))
            decisions.append(-row["advantage"] * term)
        elif in_completion or anchors == "all":
            kls.append((base_logp[t].exp() * (base_logp[t] - logp[t])).sum())
    zero = logp.sum() * 0
    decision = torch.stack(decisions).mean() if decisions else zero
    anchor = torch.stack(kls).mean() if kls else zero
    return decision + anchor_weight * anchor
