"""What a process on a CPU keeps in memory: freed blocks yes, products it will hardly see again no.

Saves the time in which the system zeroes pages, and memory that would grow with every new shape (docs/performance.md,
"Growth", `python benchmarks/scaling.py`). `REASONMAXXER_CPU_KERNELS=0` switches it off.
"""

import ctypes
import os
import platform

from reasonmaxxer.models.cpu import kernels_on

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of malloc.h
PRODUCTS = 128
"""Compiled ones to keep: those of a layer, forward and backward, and some to spare."""


def configure_memory() -> None:
    """Keep memory that was freed, and only so many compiled products; call it before the first product."""
    if kernels_on():
        _keep_freed_blocks()
        _limit_compiled_products()


def _keep_freed_blocks() -> None:
    """Tell glibc to hold on to freed blocks; nothing happens with another C library.

    Every operation makes a tensor of megabytes and frees the last one. The C library returns such blocks to
    the system at once, and the next one is zeroed page by page.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.mallopt(M_MMAP_MAX, 0)
    library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    library.mallopt(M_TOP_PAD, 64 * 2**20)


def _limit_compiled_products() -> None:
    """Have PyTorch and oneDNN keep fewer than 1,024 products each, unless the user has said how many.

    One is compiled for every shape, and no two steps have the same numbers of tokens: half a megabyte each,
    they add up over a run, while compiling one again is cheap.
    """
    for cache in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
        os.environ.setdefault(cache, str(PRODUCTS))
