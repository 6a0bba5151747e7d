"""Kernels that exist for a CPU's sake. Each module says what it saves.

`REASONMAXXER_CPU_KERNELS=0` in the environment switches all of them off: results are the same up to rounding.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any


def kernels_on() -> bool:
    """Whether kernels of a CPU are used."""
    return os.environ.get("REASONMAXXER_CPU_KERNELS") != "0"


@contextmanager
def other_forwards(forwards: Mapping[Any, Callable[..., Any]]) -> Iterator[None]:
    """Within the block, modules have other forwards.

    Args:
        forwards: by module. One that has a forward of its own keeps it: it is in such a block already, or has a hook
            of accelerate's.
    """
    with ExitStack() as stack:
        for module, forward in forwards.items():
            if "forward" not in vars(module):
                module.forward = forward  # hides the class's own until it is taken off again
                stack.callback(delattr, module, "forward")
        yield
