"""Distils and kills its own process (-9) at one file operation; arguments are CONFIG OUT EVENT PATH.

EVENT is `os.rename` (just before a finished file or folder takes its name) or `open` (just before a
file is opened), PATH the end of that file's path.
"""

import os
import signal
import sys
from pathlib import Path

config, out, event, ending = sys.argv[1:]


def watch(name, arguments):
    if name != event:
        return
    path = arguments[1] if name == "os.rename" else arguments[0]
    if isinstance(path, str | os.PathLike) and str(path).endswith(ending):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    from reasonmaxxer.config import DistillationConfig
    from reasonmaxxer.divergence.distillation.run import distill

    sys.addaudithook(watch)
    distill(DistillationConfig.model_validate_json(Path(config).read_text()), Path(out))
