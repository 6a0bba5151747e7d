"""Runs of a tiny model killed (-9) at random file operations, each held to an unbroken one.

    python -m tests.integration.kills 64 [code]

With `code` the problems are programs, graded in the sandbox. An attempt is killed just before one of its next
operations on the run's files (opened for writing, renamed or removed), drawn at random, and taken up by the next.
Whatever ends must have the tables, the adapter and the ledger of the unbroken run. No attempt may leave a process
behind, such as a sandbox.
"""

import ctypes
import multiprocessing
import os
import random
import signal
import sys
import tempfile
from pathlib import Path

import psutil

from reasonmaxxer.artifacts import file_hash, read_json
from reasonmaxxer.recipe import dump_config, load_recipe
from reasonmaxxer.work.main_job import run
from tests.tiny import tiny_recipe

FARTHEST = 60
"""Operations until a kill, at most; a run has about two hundred."""
PATIENCE = 20
"""Seconds in which what an attempt has started must end after it."""
ADOPT = 36  # PR_SET_CHILD_SUBREAPER: who loses its parent below this process becomes its child


def killed_at(count, out):
    """An audit hook that kills this process at its operation of that number on the files of a run."""
    left = count

    def watch(event, arguments):
        nonlocal left
        if event not in ("open", "os.rename", "os.remove"):
            return
        writes = event != "open" or (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if writes and str(arguments[0]).startswith(str(out)):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    return watch


def attempt(recipe, out, count):
    """In a process of its own: run, or go on, until the kill."""
    if count:
        sys.addaudithook(killed_at(count, out))
    run(load_recipe(str(recipe)), out)


def outcome(out):
    """Hash of every table and weight file, and what of the ledger does not depend on the clock."""
    files = [p for p in out.rglob("*") if p.suffix in {".parquet", ".safetensors"}]
    stages = read_json(out / "summary.json")["cost"]["stages"]
    # FLOPs but for the order in which they are added
    ledger = [(s["stage"], s["tokens"], f"{s['flops']:.12e}") for s in stages]
    return {str(p.relative_to(out)): file_hash(p) for p in files}, ledger


def apart(function, *arguments):
    """The exit status of a function in a forked process; this one never computes with torch."""
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    process.start()
    process.join()
    _, left = psutil.wait_procs(psutil.Process().children(recursive=True), PATIENCE)
    assert not left, left
    return process.exitcode


def make_recipe(folder, code):
    """Write the recipe of a run that takes seconds."""
    (folder / "recipe.yaml").write_text(dump_config(tiny_recipe(folder, code)), encoding="utf-8")


def main(kills, code):
    """Kill so many times, and tell how the runs between them ended."""
    ctypes.CDLL(None).prctl(ADOPT, 1)
    draws, done, ended, unlike = random.Random(0), 0, 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe, unbroken, out = (folder / part for part in ("recipe.yaml", "unbroken", "run-0"))
        assert apart(make_recipe, folder, code) == apart(attempt, recipe, unbroken, 0) == 0
        wanted = outcome(unbroken)
        while done < kills or out.exists():
            count = draws.randint(1, FARTHEST) if done < kills else 0
            status = apart(attempt, recipe, out, count)
            if status == -signal.SIGKILL:
                done += 1
                continue
            assert status == 0, status
            tables, ledger = outcome(out)
            ended, unlike = ended + 1, unlike + ((tables, ledger) != wanted)
            print(f"{done} kills: tables {tables == wanted[0]}, ledger {ledger == wanted[1]}")
            if ledger != wanted[1]:
                print("  ", ledger, "\n  ", wanted[1])
            out = folder / f"run-{ended}"
    print(f"{done} kills, {ended} runs, {unlike} unlike the unbroken one")
    return unlike


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), "code" in sys.argv[2:]))
