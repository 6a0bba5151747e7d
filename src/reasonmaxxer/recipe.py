"""Configs of all commands: YAML files of their keys, read, overridden, written and documented.

Whatever a file leaves out takes its default, or that of the file it `extends`; unknown or ill-typed keys are refused
by name, and `reasonmaxxer COMMAND CONFIG.yaml --print-config` shows the result. `docs/recipe.md`
describes every key.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from reasonmaxxer.config import (
    Config,
    DistillationConfig,
    InterveneConfig,
    MicroscopeConfig,
    OverlapConfig,
    Recipe,
    SuiteConfig,
    VerifyConfig,
)
from reasonmaxxer.errors import UserError, did_you_mean

AnyConfig = TypeVar("AnyConfig", bound=Config)
RECIPES = Path(__file__).parent / "recipes"
BASELINES = RECIPES / "baselines"
SUFFIXES = frozenset({".yaml", ".yml"})
SHARED = ("adapter", "max_length", "gradient_checkpointing", "report_to")
"""Keys of `training` that a baseline takes from the recipe it is a baseline of."""
MOST_VALUES = 100_000
"""Values that one file may hold, aliases expanded."""
EXTENDS = "extends"
"""Key of a file that names the file whose values it starts from."""
CONFIGS: Mapping[str, type[Config]] = {
    "run": Recipe,
    "baseline": Recipe,
    "plan": Recipe,
    "evaluate": SuiteConfig,
    "diff": MicroscopeConfig,
    "intervene": InterveneConfig,
    "overlap": OverlapConfig,
    "distill": DistillationConfig,
    "grade": VerifyConfig,
}
"""What each command of that name is configured by."""


def load_recipe(
    name: str = "default", overrides: Sequence[str] = (), baseline: str | None = None, allow_code: bool = False
) -> Recipe:
    """Read a run's config by shipped name or path and apply ``section.key=value`` overrides.

    Args:
        name: of a shipped recipe, or a path that ends in .yaml.
        overrides: applied last.
        baseline: method that trains instead. Problems, prompts, verifier, rollouts, evaluation and
            the adapter's shape stay the recipe's; the rest of `training` is the baseline's.
        allow_code: take a recipe that names code outside its own folder.

    Raises:
        UserError: no such recipe, unreadable YAML, an unknown key, an ill-typed value, or such code.
    """
    settings = _read(Recipe, _baseline(baseline))["training"] if baseline else None
    values = _read(Recipe, name)
    training = values.get("training") or {}
    if settings and isinstance(training, dict):  # any other value is refused with the rest
        values["training"] = {**settings, **{k: v for k, v in training.items() if k in SHARED}}
    return _resolve(Recipe, values, overrides, name, None if allow_code else name)


def load_config(
    kind: type[AnyConfig],
    name: str | None = None,
    overrides: Sequence[str] = (),
    required: Sequence[str] = (),
    allow_code: bool = False,
    where: str = "config",
) -> AnyConfig:
    """Read a command's config and apply ``section.key=value`` overrides.

    Args:
        kind: the command's config.
        name: path of its file, which ends in .yaml; None takes the defaults.
        overrides: applied last.
        required: keys that file or overrides must set, whatever their defaults.
        allow_code: take a file that names code outside its own folder.
        where: the values come from where there is no file, named in errors.

    Raises:
        UserError: no such file, unreadable YAML, an unknown or missing key, an ill-typed value, or such code.
    """
    values = _read(kind, name) if name else {}
    return _resolve(kind, values, overrides, name or where, None if allow_code else name, required)


def parse_config(kind: type[AnyConfig], values: dict[str, Any], where: str = "config") -> AnyConfig:
    """Validate a config's values; every fault is reported at once, by name.

    Args:
        kind: the config.
        values: by key; a section that is there in part keeps the rest of its field's default.
        where: they come from, named in errors.

    Raises:
        UserError: an unknown key or an ill-typed value.
    """
    completed = _overlay(kind, {}, values)
    for name, field in kind.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, Config) and isinstance(completed.get(name), dict):
            completed[name] = _overlay(type(default), default.model_dump(mode="json"), completed[name])
    try:
        return kind.model_validate(completed)
    except ValidationError as error:
        faults = [fault for fault in error.errors() if not _is_counted_twice(fault, error)]
        raise UserError("\n".join(f"{where}: {_explain(fault, kind)}" for fault in faults)) from error


def dump_config(config: Config) -> str:
    """The whole resolved config as YAML that reads back equal."""
    return str(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


def keys_of(kind: type[Config], prefix: str = "") -> dict[str, FieldInfo]:
    """Every key of a config, sections before what they hold."""
    keys = {}
    for name, field in kind.model_fields.items():
        keys[prefix + name] = field
        section = section_of(field)
        if section:
            keys |= keys_of(section, f"{prefix}{name}.")
    return keys


def _resolve(
    kind: type[AnyConfig],
    values: dict[str, Any],
    overrides: Sequence[str],
    where: str,
    trusted: str | None,
    required: Sequence[str] = (),
) -> AnyConfig:
    """Apply overrides, validate, and refuse code that lies outside the folder of the file `trusted`."""
    typed = []
    for override in overrides:
        typed.append(_apply(kind, values, override))
        values = _overlay(kind, {}, values)
    for key in required:
        if key not in values:
            raise UserError(f"{where}: no {key} is named: put it after the command, or set {key}=MODEL.")
    config = parse_config(kind, values, where)
    for key, code in config.code() if trusted else ():
        if not any(f"{key}.".startswith(f"{t}.") for t in typed) and not _beside(code.file, where):
            raise UserError(
                f"{where}: {key} = '{code.value}' would run, {code.how}, and is no file in the recipe's folder. Look "
                "at it, then allow it with --allow-code, or set the key on the command line."
            )
    return config


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


def _read(kind: type[Config], name: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """Values of a file, laid over those of the file that it extends."""
    if name in above:
        raise UserError(f"Recipe '{name}' extends itself: {' -> '.join((*above, name))}.")
    path = _path(kind, name)
    values = _yaml(path.read_bytes(), str(path)) or {}
    if not isinstance(values, dict):
        raise UserError(f"{path} must be a mapping of sections, not a {type(values).__name__}.")
    base = values.pop(EXTENDS, None)
    return _overlay(kind, {} if base is None else _read(kind, str(base), (*above, name)), values)


def _path(kind: type[Config], name: str) -> Path:
    """Path of a file, or of a shipped recipe by its name."""
    path = Path(name)
    shipped = kind is Recipe and path.suffix not in SUFFIXES
    if shipped:
        path = RECIPES / f"{name}.yaml"
    if path.is_file():
        return path
    if not shipped:
        raise UserError(f"There is no file {name}: a config is a path that ends in .yaml.")
    known = sorted(p.stem for p in RECIPES.glob("*.yaml"))
    raise UserError(
        f"No recipe '{name}'.{did_you_mean(name, known)} Shipped recipes: {', '.join(known)}; "
        "a file of your own ends in .yaml."
    )


def _overlay(kind: type[Config] | None, below: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Lay values over others, section by section, so that a partial section keeps the rest.

    A string in the place of a section sets the key that it is short for.
    """
    merged = dict(below)
    for key, value in values.items():
        section = section_of(kind.model_fields.get(str(key))) if kind else None
        if section and section.short_for and isinstance(value, str):
            value = {section.short_for: value}
        under = below.get(key)
        if isinstance(value, dict):
            value = _overlay(section, under if isinstance(under, dict) else {}, value)
        merged[key] = value
    return merged


def _apply(kind: type[Config], values: dict[str, Any], override: str) -> str:
    """Set one key; returns which, since a string in the place of a section sets but the key that it is short for."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"'{override}' is not of the form section.key=value.")
    *sections, last = key.split(".")
    value = _yaml(text, f"'{override}': the value")
    section = section_of(keys_of(kind).get(key))
    if section and section.short_for and isinstance(value, str):
        sections, last = [*sections, last], section.short_for
    for name in sections:
        values = values.setdefault(name, {})
        if not isinstance(values, dict):
            raise UserError(f"'{override}': '{name}' is a value, not a section.")
    values[last] = value
    return ".".join((*sections, last))


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


def _is_counted_twice(fault: Any, error: ValidationError) -> bool:
    """Whether a list is called too short because of members that are refused themselves."""
    place = fault["loc"]
    members = (other["loc"] for other in error.errors() if len(other["loc"]) > len(place))
    return fault["type"] == "too_short" and any(loc[: len(place)] == place for loc in members)


def _explain(fault: Any, kind: type[Config]) -> str:
    path = [str(part) for part in fault["loc"]]
    key = ".".join(path)
    if fault["type"] == "extra_forbidden":
        owner = _section(kind, path[:-1])
        siblings = [".".join((*path[:-1], name)) for name in owner.model_fields] if owner else []
        near = did_you_mean(key, siblings) or did_you_mean(key, keys_of(kind))
        return f"unknown key '{key}'.{near} Keys here: {', '.join(siblings) or 'none'}."
    if fault["type"] == "model_type" and (section := _section(kind, path)):
        known = list(section.model_fields)
        return (
            f"'{key}' = {fault['input']!r}: it is a section, {{{known[0]}: VALUE, ...}}, not a value. Keys of it: "
            f"{', '.join(known)}."
        )
    if fault["type"] == "value_error":  # keys that contradict each other, which the message names
        return f"{key + ': ' if key else ''}{fault['ctx']['error']}."
    if fault["type"] == "missing":
        return f"'{key}' is missing."
    wanted = fault["msg"].replace("Input should be", "it must be").replace("a valid dictionary", "{KEY: VALUE, ...}")
    choices = fault["ctx"]["expected"].split("'")[1::2] if fault["type"] == "literal_error" else ()
    near = did_you_mean(str(fault["input"]), choices)
    return f"'{key or kind.__name__.lower()}' = {fault['input']!r}: {wanted}.{near}"


def _section(kind: type[Config], path: Sequence[str]) -> type[Config] | None:
    """The config below another at a path, whose numbers are members of lists."""
    owner: type[Config] | None = kind
    for part in (p for p in path if not p.isdigit()):
        owner = section_of(owner.model_fields.get(part), members=True) if owner else None
    return owner


def section_of(field: FieldInfo | None, members: bool = False) -> type[Config] | None:
    """The config that a field holds, or, if asked for, that the members of its list are."""
    annotation = field and field.annotation
    if members and get_origin(annotation) is tuple:
        annotation = get_args(annotation)[0]
    return annotation if isinstance(annotation, type) and issubclass(annotation, Config) else None
