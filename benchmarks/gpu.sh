#!/usr/bin/env bash
# The default recipe and the benchmarks on one CUDA machine, without a network:
#
#     PARTS=FOLDER OUT=FOLDER benchmarks/gpu.sh
#
# PARTS holds the embedded model as benchmarks/split_model.sh cut it; without it the model must be in the
# cache. OUT (default: runs/gpu) receives figures, reports and logs. PYTHON is an interpreter with PyTorch and
# reasonmaxxer; docs/devices.md says how to make one from a folder of wheels. QUICK=1 takes short benchmarks
# and a run of a few problems. Without CUDA it warns and measures the CPU.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python}
out=${OUT:-runs/gpu}
mkdir -p "$out"
out=$(cd "$out" && pwd)
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1

fail() {
    echo "Error: $*" >&2
    exit 2
}

unpack_model() {
    local parts=$1 cache=$2
    (cd "$parts" && sha256sum --check --quiet SHA256SUMS) ||
        fail "$parts: a part is missing or differs from SHA256SUMS. Copy the folder again."
    [[ $(cat "$parts"/smollm2.tar.* | sha256sum | cut -d' ' -f1) == "$(cat "$parts/WHOLE")" ]] ||
        fail "$parts: the joined parts are not the whole. Copy the folder again, into an empty one."
    mkdir -p "$cache/models"
    cat "$parts"/smollm2.tar.* | tar --extract --file - --directory "$cache/models"
}

benchmark() {
    local name=$1
    shift
    echo "== $name"
    "$python" "$here/$name.py" "${quick[@]}" "$@" --json "$out/$name.json" 2>&1 | tee "$out/$name.log"
}

if [[ -n ${PARTS:-} ]]; then
    export REASONMAXXER_CACHE="$out/cache"
    unpack_model "$PARTS" "$REASONMAXXER_CACHE"
fi
"$python" -c 'from reasonmaxxer.models.embedded import is_cached; raise SystemExit(not is_cached("smollm2"))' ||
    fail "the embedded model is not in the cache: set PARTS to the folder that split_model.sh made."

quick=()
recipe=(default)
if [[ -n ${QUICK:-} ]]; then
    quick=(--quick)
    recipe+=(problems.train.limit=12 problems.validation.limit=4 problems.test.limit=8 signal.problems=4)
fi

"$python" - "$out/environment.json" <<'PYTHON'
import json, sys
from pathlib import Path

import torch

from reasonmaxxer.artifacts import write_json
from reasonmaxxer.config import ModelConfig
from reasonmaxxer.environment import describe_environment
from reasonmaxxer.models import resolve_device

device = resolve_device(ModelConfig())
found = describe_environment(device, 0) | {"cuda": torch.version.cuda}
write_json(found, Path(sys.argv[1]))
print(json.dumps(found, indent=2))
if device == "cpu":
    print("Warning: no CUDA device; these are figures of the CPU.", file=sys.stderr)
PYTHON

echo "== default recipe"
"$python" -m reasonmaxxer run "${recipe[@]}" --out "$out/run" 2>&1 | tee "$out/run.log"
benchmark rollouts
benchmark training --cache "$out/rollouts"
benchmark divergence
echo "Figures: $out/*.json, $out/run/summary.json"
