"""The command that plans a run: by formula and assumed rates, or by rates measured on the device at hand."""

from reasonmaxxer.config import Recipe
from reasonmaxxer.cost.measure import measure
from reasonmaxxer.cost.plan import Plan, assumed_lengths, assumed_rates, device_named, make_plan
from reasonmaxxer.cost.shape import shape_of
from reasonmaxxer.errors import UserError
from reasonmaxxer.models.base import resolve_dtype


def plan(
    recipe: Recipe,
    device: str | None = None,
    measured: bool = False,
    mean_tokens: float | None = None,
    prompt_tokens: int | None = None,
    trust_remote_code: bool = False,
) -> Plan:
    """What a recipe will take.

    Args:
        recipe: what would be run.
        device: of the table of devices; None is this machine's CPU.
        measured: do a little of the work on the device at hand, and extrapolate.
        mean_tokens: mean length of a completion; None is an assumption by model.
        prompt_tokens: mean length of a prompt.
        trust_remote_code: let the model's repository run its own code.

    Raises:
        UserError: a device, price or model that is not known, or one named beside `measured`.
    """
    if device and measured:
        raise UserError(f"--measure works on the device at hand, not on '{device}': take one of the two options off.")
    if measured:
        where, lengths, rates = measure(recipe, trust_remote_code)
        itemsize = resolve_dtype(recipe.model, where.name).itemsize
        return make_plan(recipe, shape_of(recipe, itemsize, trust_remote_code), where, lengths, rates)
    where = device_named(device or "cpu")
    on_gpu_auto = where.type == "cuda" and recipe.model.dtype == "auto"
    itemsize = 2 if on_gpu_auto else resolve_dtype(recipe.model, "cpu").itemsize
    shape = shape_of(recipe, itemsize, trust_remote_code)
    lengths = assumed_lengths(recipe, mean_tokens, prompt_tokens)
    return make_plan(recipe, shape, where, lengths, assumed_rates(where, shape))
