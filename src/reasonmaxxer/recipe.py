"""Recipes: YAML files of the configs' fields, read, overridden, written and documented.

Whatever a recipe leaves out takes its default, or that of the recipe it `extends`; unknown or ill-typed
keys are refused by name, and `reasonmaxxer run RECIPE --print-recipe` shows the result.
`python -m reasonmaxxer.recipe` prints the reference of every key (`docs/recipe.md`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from reasonmaxxer.config import Config, Recipe
from reasonmaxxer.errors import UserError, did_you_mean

AnyConfig = TypeVar("AnyConfig", bound=Config)
RECIPES = Path(__file__).parent / "recipes"
BASELINES = RECIPES / "baselines"
SHARED = ("adapter", "max_length", "gradient_checkpointing", "report_to")
"""Keys of `training` that a baseline takes from the recipe it is a baseline of."""
MOST_VALUES = 100_000
"""In one file."""
EXTENDS = "extends"
"""Key of a file that names the recipe whose values it starts from."""


def load_recipe(
    name: str = "default", overrides: tuple[str, ...] = (), baseline: str | None = None, allow_code: bool = False
) -> Recipe:
    """Read a recipe by shipped name or path and apply ``section.key=value`` overrides.

    Args:
        name: of a shipped recipe, or a path that ends in .yaml.
        overrides: applied last.
        baseline: method that trains instead. Problems, prompts, verifier, rollouts, evaluation and
            the adapter's shape stay the recipe's; the rest of `training` is the baseline's.
        allow_code: take a recipe that names code outside its own folder.

    Raises:
        UserError: no such recipe, unreadable YAML, an unknown key, an ill-typed value, or such code.
    """
    values = _read(name)
    if baseline:
        shared = {k: v for k, v in (values.get("training") or {}).items() if k in SHARED}
        values["training"] = {**_read(_baseline(baseline))["training"], **shared}
    for override in overrides:
        _apply(values, override)
    recipe = parse_recipe(values, where=name)
    if not allow_code:
        _refuse_code(recipe, name, overrides)
    return recipe


def _refuse_code(recipe: Recipe, name: str, overrides: tuple[str, ...]) -> None:
    """Refuse code that neither lies in the recipe's folder nor was named by whoever runs it."""
    engine = recipe.rollouts.engine
    address = engine.ray.address if engine.ray.address != "auto" else None
    named = {  # what a cluster sends is unpickled here, so it is code too
        "verify.function": (recipe.verify.function, recipe.verify.file, "in the grading processes"),
        "rollouts.engine.vllm.python": (engine.vllm.python, engine.vllm.python, "as a program"),
        "rollouts.engine.ray.address": (address, None, "as a cluster that is trusted"),
    }
    typed = {override.partition("=")[0] for override in overrides}
    for key, (value, file, how) in named.items():
        if value and not any(f"{key}.".startswith(f"{t}.") for t in typed) and not _beside(file, name):
            raise UserError(
                f"{name}: {key} = '{value}' would run, {how}, and is no file in the recipe's folder. Look "
                "at it, then allow it with --allow-code, or set the key on the command line."
            )


def _beside(file: str | None, name: str) -> bool:
    """Whether it is a file in the folder of a recipe."""
    if not file or not Path(file).is_file():
        return False
    return Path(file).parent.resolve() == Path(name).parent.resolve()


def _baseline(method: str) -> str:
    """Path of a baseline's settings."""
    known = sorted(path.stem for path in BASELINES.glob("*.yaml"))
    if method not in known:
        raise UserError(f"No baseline '{method}'.{did_you_mean(method, known)} Baselines: {', '.join(known)}.")
    return str(BASELINES / f"{method}.yaml")


def _read(name: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """Values of a recipe file, laid over those of the recipe that it extends."""
    if name in above:
        raise UserError(f"Recipe '{name}' extends itself: {' -> '.join((*above, name))}.")
    path = Path(name) if Path(name).suffix in {".yaml", ".yml"} else RECIPES / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in RECIPES.glob("*.yaml"))
        raise UserError(
            f"No recipe '{name}'.{did_you_mean(name, known)} Shipped recipes: {', '.join(known)}; "
            "a file of your own ends in .yaml."
        )
    values = _yaml(path.read_bytes(), str(path)) or {}
    if not isinstance(values, dict):
        raise UserError(f"{path} must be a mapping of sections, not a {type(values).__name__}.")
    base = values.pop(EXTENDS, None)
    return values if base is None else _merge(_read(str(base), (*above, name)), values)


def parse_recipe(values: dict[str, Any], where: str = "recipe") -> Recipe:
    """Validate a recipe's values; every fault is reported at once, by name."""
    return parse_config(Recipe, _merge(Recipe().model_dump(mode="json"), values), where)


def parse_config(kind: type[AnyConfig], values: dict[str, Any], where: str) -> AnyConfig:
    """Validate a config's values; every fault is reported at once, by name.

    Args:
        kind: the config.
        values: by key.
        where: they come from, named in errors.

    Raises:
        UserError: an unknown key or an ill-typed value.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UserError("\n".join(f"{where}: {_explain(fault, kind)}" for fault in error.errors())) from error


def dump_recipe(recipe: Recipe) -> str:
    """The whole resolved recipe as YAML that `load_recipe` reads back."""
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return str(text)


def _merge(defaults: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Lay values over defaults, section by section, so that a partial section keeps the rest."""
    merged = dict(defaults)
    for key, value in values.items():
        below = defaults.get(key)
        sections = isinstance(below, dict) and isinstance(value, dict)
        merged[key] = _merge(below, value) if sections and below else value
    return merged


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"'{override}' is not of the form section.key=value.")
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise UserError(f"'{override}': '{section}' is a value, not a section.")
    values[last] = _yaml(text, f"'{override}': the value")


class _Once(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML would keep the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.value != "<<"]
        twice = [str(key) for key in keys if keys.count(key) > 1]
        if twice:
            raise ValueError(f"it has '{twice[0]}' twice")
        return super().construct_mapping(node, deep)


def _yaml(text: str | bytes, what: str) -> Any:
    try:
        read = yaml.load(text, _Once)  # a safe loader
        _check(read)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # no such date, too many digits
        raise UserError(f"{what} is not valid YAML, in UTF-8: {error}") from error
    return read


def _check(read: Any) -> None:
    """Refuse aliases that make many values of few, or a value that holds itself, and lone surrogates.

    Raises:
        ValueError: it says which.
    """
    left, count = [read], 0
    while left:
        value, count = left.pop(), count + 1
        if count > MOST_VALUES:
            raise ValueError(f"it holds more than {MOST_VALUES:,} values; write out its aliases")
        if isinstance(value, str):
            value.encode()
        elif isinstance(value, dict):
            left += [*value, *value.values()]
        elif isinstance(value, list):
            left += value


def _explain(fault: Any, kind: type[Config]) -> str:
    path = [str(part) for part in fault["loc"]]
    key = ".".join(path)
    if fault["type"] == "extra_forbidden":
        known = _keys(kind)
        siblings = [k for k in known if k.rpartition(".")[0] == ".".join(path[:-1])]
        near = did_you_mean(key, siblings) or did_you_mean(key, known)
        return f"unknown key '{key}'.{near} Keys here: {', '.join(siblings) or 'none'}."
    if fault["type"] == "value_error":  # keys that contradict each other, which the message names
        return f"{key + ': ' if key else ''}{fault['ctx']['error']}."
    if fault["type"] == "missing":
        return f"'{key}' is missing."
    return f"'{key or kind.__name__.lower()}' = {fault['input']!r}: {fault['msg']}."


def _keys(config: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, field in config.model_fields.items():
        keys.append(prefix + name)
        if _is_config(field.annotation):
            keys += _keys(field.annotation, f"{prefix}{name}.")  # type: ignore[arg-type]
    return keys


def _is_config(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Config)


def reference() -> str:
    """Markdown reference of every key, its type, default and the paper's value."""
    lines = [
        "# Recipe reference",
        "",
        "Generated by `python -m reasonmaxxer.recipe`. Any key can be set in a recipe file or on the",
        "command line: `reasonmaxxer run default rollouts.temperature=0.7`. A file may begin with",
        "`extends: NAME`, a shipped recipe or a path: it then says only what differs from that one.",
        "",
        "| key | type | default | meaning |",
        "|---|---|---|---|",
    ]
    defaults = Recipe()
    for key in _keys(Recipe):
        owner: Any = Recipe
        value: Any = defaults
        for part in key.split("."):
            field = owner.model_fields[part]
            owner, value = field.annotation, getattr(value, part)
        if not _is_config(field.annotation):
            shown = json.dumps(value if not isinstance(value, tuple) else list(value))
            text = str(field.description).replace("|", "\\|")
            lines.append(f"| `{key}` | {_type_name(field.annotation)} | `{shown}` | {text} |")
    return "\n".join(lines) + "\n"


def _type_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{a}`" for a in arguments)
    if origin is Annotated:
        return _type_name(arguments[0])
    if origin is tuple:
        return f"list of {_type_name(arguments[0])}"
    if origin is dict:
        return "mapping"
    if origin is not None:
        return " or ".join(_type_name(a) for a in arguments)
    return "none" if annotation is type(None) else str(annotation.__name__)


if __name__ == "__main__":
    print(reference(), end="")
