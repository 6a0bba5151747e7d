"""How a score was measured: one object, stored with every result."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from typing_extensions import NotRequired

from reasonmaxxer import __version__
from reasonmaxxer.artifacts import differences
from reasonmaxxer.config import SourceConfig, SuiteConfig
from reasonmaxxer.problems import Problem
from reasonmaxxer.problems.benchmarks import provenance
from reasonmaxxer.problems.catalogue import CATALOGUE
from reasonmaxxer.verify.extract import graded_by


class Protocol(TypedDict):
    """How a score was measured; two scores compare where theirs are equal.

    Attributes:
        metric: what `accuracy` is: `pass@1`, `avg@N`, or `greedy pass@1`.
        samples: completions a problem.
        prompt_style: how problems became prompts.
        temperature: of sampling; 0 is greedy.
        top_p: nucleus mass.
        max_new_tokens: longest completion, tokens.
        power: how the completions were drawn, where that was power sampling.
        stop: strings that ended a completion, beside the model's end-of-sequence tokens.
        extraction: where the answer was read, that a program was run with its tests, or the verifier of one's own that
            graded.
        seed: of every draw.
        engine: that sampled, with its version.
        dtype: type of the weights.
        data: where the problems come from, with the revision where it is pinned.
        problems: how many were asked.
        problems_hash: SHA-256 of their texts and answers, in order.
        package_version: of reasonmaxxer.
    """

    metric: str
    samples: int
    prompt_style: str
    temperature: float
    top_p: float
    max_new_tokens: int
    power: NotRequired[dict[str, Any]]
    stop: list[str]
    extraction: str
    seed: int
    engine: str
    dtype: str
    data: Mapping[str, str]
    problems: int
    problems_hash: str
    package_version: str


def protocol_of(
    config: SuiteConfig, source: SourceConfig, problems: Sequence[Problem], engine: str, dtype: str
) -> Protocol:
    """The protocol of one benchmark.

    Args:
        config: of the evaluation.
        source: of the problems.
        problems: all that are asked.
        engine: name and version of what samples.
        dtype: type of the weights.
    """
    samples = samples_of(config, source)
    protocol = Protocol(
        metric=metric_name(samples, config.temperature),
        samples=samples,
        prompt_style=config.prompt_style,
        temperature=config.temperature,
        top_p=config.top_p,
        max_new_tokens=config.max_new_tokens,
        stop=list(config.stop),
        extraction=graded_by(config.verify, config.prompt_style, problems),
        seed=config.seed,
        engine=engine,
        dtype=dtype,
        data=provenance(source),
        problems=len(problems),
        problems_hash=problems_hash(problems),
        package_version=__version__,
    )
    if config.power.cuts != "none":
        protocol["power"] = config.power.model_dump()
    return protocol


def samples_of(config: SuiteConfig, source: SourceConfig) -> int:
    """Completions a problem: what is asked for, else the benchmark's own number, else one."""
    if config.temperature == 0:
        return 1
    benchmark = CATALOGUE.get(source.source)
    return config.samples or (benchmark and benchmark.samples) or 1


def unlike(protocol: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What keeps two scores from being compared; type of weights, engine, seed and version do not."""
    free = ("data", "dtype", "engine", "package_version", "seed")
    mine, theirs = ({k: v for k, v in p.items() if k not in free} for p in (protocol, other))
    return differences(theirs, mine)


def metric_name(samples: int, temperature: float) -> str:
    """What the mean over problems of the share of right completions is called."""
    if temperature == 0:
        return "greedy pass@1"
    return "pass@1" if samples == 1 else f"avg@{samples}"


def problems_hash(problems: Iterable[Problem]) -> str:
    """SHA-256 over texts and answers, in order; ids and metadata do not count."""
    digest = hashlib.sha256()
    for problem in problems:
        digest.update(f"{problem.text}\0{problem.answer}\0\0".encode())
    return digest.hexdigest()
