#!/usr/bin/env bash
# What a CUDA machine without a network can show in nine minutes, in order of worth:
#
#     OUT=FOLDER benchmarks/gpu.sh
#
# STORE is what unpack.sh has filled (default: ~/.cache/reasonmaxxer-gpu); OUT (default: runs/gpu) receives a
# handful of files as they come. PYTHON is the interpreter that has PyTorch, BUDGET the seconds that all may
# take, MODEL and RECIPE what is measured, ONLY which stages are done. QUICK=1 does each in miniature. Without CUDA
# the CPU is measured. docs/devices.md has the rest.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/gpu_stages.sh"

begin_stages "${OUT:-runs/gpu}" "${BUDGET:-540}"
stage machine 60 "$python" "$here/machine.py" --json "$work/machine.json"
keep machine "$work/machine.json"
load_model "$model"
decoding "$model" 256 90
cuda_tests 60
decoding "$model" 64 70
training "$model" 90
gsm8k 150
mbpp 120
decoding "$model" 256 60 --cuda-graphs

default=(default)
compared=100
if [[ -n ${QUICK:-} ]]; then
    default+=("${tiny[@]}")
    compared=2
fi
model_stage smollm2 "default recipe" 100 "$python" -m reasonmaxxer run "${default[@]}" --out "$work/default"
keep default "$work/default"

if [[ -f $work/gsm8k/training/adapter/adapter_config.json ]]; then
    stage "diff of base and adapter" 60 "$python" -m reasonmaxxer diff "$model" \
        "$work/gsm8k/training/adapter" problems=gsm8k --limit "$compared" --out "$work/diff" \
        prompt_style="$(setting prompt_style)" max_new_tokens="$(setting max_new_tokens)"
    keep diff "$work/diff"
else
    leave_out "diff of base and adapter" "no adapter was trained"
fi
end_stages
