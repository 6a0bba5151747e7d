#!/usr/bin/env bash
# GRPO beside ReasonMaxxer on one CUDA machine without a network, in nine minutes, and a larger model:
#
#     OUT=FOLDER benchmarks/gpu_rl.sh
#
# Settings are those of gpu.sh. A run that gpu.sh has left in STORE, done or not, is taken up.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/gpu_stages.sh"

begin_stages "${OUT:-runs/gpu-rl}" "${BUDGET:-540}"
stage machine 60 "$python" "$here/machine.py" --json "$work/machine.json"
keep machine "$work/machine.json"
load_model "$model"
decoding "$model" 256 90
gsm8k 150

made=$work/gsm8k/recipe.yaml
if [[ -f $made ]]; then
    steps=(training.baseline.steps=1 training.{batch_size=8,checkpoints=1})
    if [[ -z ${QUICK:-} ]]; then mapfile -t steps < <(sizes "$made" 200 --online); fi
    stage "GRPO" 200 "$python" -m reasonmaxxer baseline grpo "$made" "${steps[@]}" --out "$work/grpo"
    keep grpo "$work/grpo"
    stage "comparison" 30 "$python" -m reasonmaxxer compare "$work/gsm8k" "$work/grpo" \
        --out "$work/comparison"
    keep comparison "$work/comparison"
fi

larger=qwen2.5-coder-1.5b
load_model "$larger"
decoding "$larger" 256 90
end_stages
