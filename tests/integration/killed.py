"""Works and kills its own process (-9) at one file operation: `killed.py COMMAND CONFIG OUT EVENT PATH`.

COMMAND is `run`, of a recipe, or `distill`, of a config as JSON. EVENT is `os.rename` (just before a
finished file or folder takes its name), `open` or `os.remove` (just before a file is opened or removed),
PATH the end of that file's path.
"""

import os
import signal
import sys
from pathlib import Path

command, config, out, event, ending = sys.argv[1:]


def watch(name, arguments):
    if name != event:
        return
    path = arguments[1] if name == "os.rename" else arguments[0]
    if isinstance(path, str | os.PathLike) and str(path).endswith(ending):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    from reasonmaxxer.config import DistillationConfig
    from reasonmaxxer.method.processes import is_first
    from reasonmaxxer.recipe import load_recipe
    from reasonmaxxer.work.distill import distill
    from reasonmaxxer.work.join import join
    from reasonmaxxer.work.main_job import run

    if not is_first():  # of the processes of `accelerate launch` the first is killed
        join(load_recipe(config), Path(out))
        sys.exit()
    sys.addaudithook(watch)
    if command == "run":
        run(load_recipe(config), Path(out))
    else:
        distill(DistillationConfig.model_validate_json(Path(config).read_text()), Path(out))
