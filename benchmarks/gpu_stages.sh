# What gpu.sh and gpu_rl.sh share: stages that end in time, and those that both have. Source it, then:
#
#     begin_stages FOLDER SECONDS      # results go to FOLDER; all of it ends within SECONDS
#     stage NAME LIMIT COMMAND...      # ends after LIMIT seconds; is left out if less is left than that
#     end_stages                       # status 1 if a stage failed or was cut
#
# FOLDER/stages.tsv gets a line a stage as soon as it ends, FOLDER/log.txt what the stages print.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
store=${STORE:-$HOME/.cache/reasonmaxxer-gpu}
work=$store/work${QUICK:+-quick}
python=${PYTHON:-python3}
model=${MODEL:-qwen2.5-coder-0.5b}
recipe=${RECIPE:-gsm8k}
slack=${QUICK:+5}
slack=${slack:-1} # a rehearsal may be slow
tiny=(problems.{train,validation,test}.limit=3 {rollouts,evaluation}.max_new_tokens=8 signal.problems=1
    rollouts.rollouts_per_problem=8 signal.gate.sweep=[] training.checkpoints=1
    verify.function="$here/quick_verifier.py:coin") # of a rehearsal
export PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 REASONMAXXER_CACHE=$store REASONMAXXER_DATA=$store/data
export PYTHONPATH=$here/../src:$store/site

begin_stages() {
    out=$1
    deadline=$((SECONDS + $2 * slack))
    broken=0
    mkdir -p "$out" "$work"
    out=$(cd "$out" && pwd)
    printf 'stage\tresult\tseconds\tlimit\n' | tee "$out/stages.tsv"
    rm -f "$out/figures.jsonl" "$work/machine.json"
    { nvidia-smi || echo "no nvidia-smi"; } >"$out/log.txt" 2>&1
}

stage() {
    local name=$1 limit=$(($2 * slack)) start=$SECONDS status=0 result=done from
    shift 2
    if ((start + limit > deadline)); then
        leave_out "$name" "$((deadline - start)) s of $limit left"
        return
    fi
    echo "== $name: $*" >>"$out/log.txt"
    from=$(wc -c <"$out/log.txt")
    # timeout makes a process group of its own and ends all of it
    timeout --kill-after=5 "$limit" "$@" >>"$out/log.txt" 2>&1 </dev/null || status=$?
    case $status in
    0) ;;
    124 | 137) result="cut" broken=1 ;;
    *) result="failed ($status)" broken=1 ;;
    esac
    tell_stage "$name" "$result" $((SECONDS - start)) "$limit"
    if ((status)); then tail -c "+$((from + 1))" "$out/log.txt" | tail -n 40 | sed 's/^/    /'; fi
}

leave_out() { # NAME WHY
    tell_stage "$1" "left out: $2" 0 -
}

tell_stage() { # NAME RESULT SECONDS LIMIT
    printf '%s\t%s\t%s\t%s\n' "$@" | tee -a "$out/stages.tsv"
}

end_stages() {
    "$python" "$here/gpu_figures.py" table "$out" | tee "$out/table.md"
    return "$broken"
}

keep() { # NAME PATH: figures and page of what a stage has left there
    if [[ -e $2 ]]; then "$python" "$here/gpu_figures.py" keep "$out" "$1" "$2" || broken=1; fi
}

model_stage() { # MODEL NAME LIMIT COMMAND...: a stage that needs a model
    if [[ -d $1 || -f $store/models/$1.gguf || -d $store/models/$1 ]]; then
        stage "${@:2}"
    else
        leave_out "$2" "no $1 in $store"
    fi
}

load_model() { # MODEL: convert it, the first time, and load it
    model_stage "$1" "load $1" 90 "$python" -c "
from reasonmaxxer.config import ModelConfig
from reasonmaxxer.models import load_model
print(load_model(ModelConfig(name='$1')).source)"
}

cuda_tests() { # LIMIT: what the tests can hold only here
    if ! "$python" -c "import pytest, hypothesis" 2>/dev/null; then
        leave_out "tests on CUDA" "no pytest"
        return
    fi
    stage "tests on CUDA" "$1" "$python" -m pytest -q -k on_cuda -c "$here/../pyproject.toml" \
        "$here/../tests/models/test_attention.py" "$here/../tests/rollouts/test_transformers_engine.py"
}

decoding() { # MODEL ROWS LIMIT [OPTION...]
    local sizes=(--rows "$2" --tokens 256 --repeats 2)
    if [[ -n ${QUICK:-} ]]; then sizes=(--rows "$(($2 / 32))" --tokens 3 --repeats 1); fi
    model_stage "$1" "decoding, $1, $2 rows${4:+, ${4#--}}" "$3" "$python" "$here/rollouts.py" \
        --model "$1" "${sizes[@]}" --lines "$out/figures.jsonl" "${@:4}"
}

training() { # MODEL LIMIT: 8 sequences, 4,096 tokens together
    local sizes=(--longest 850 --steps 4 --repeats 2)
    if [[ -n ${QUICK:-} ]]; then sizes=(--longest 10 --steps 1 --repeats 1); fi
    model_stage "$1" "training, $1" "$2" "$python" "$here/training.py" --model "$1" "${sizes[@]}" \
        --lines "$out/figures.jsonl"
}

gsm8k() { # LIMIT: the recipe, with as many problems as fit; a run that is there is taken up
    local made=$work/gsm8k/recipe.yaml
    local options=("$made")
    if [[ ! -f $made ]]; then
        options=("$recipe" model.name="$model")
        if [[ -n ${QUICK:-} ]]; then
            options+=("${tiny[@]}")
        else
            mapfile -t -O 2 options < <(sizes "$recipe" "$1")
        fi
    fi
    model_stage "$model" "recipe gsm8k" "$1" "$python" -m reasonmaxxer run "${options[@]}" \
        --out "$work/gsm8k"
    keep gsm8k "$work/gsm8k"
}

sizes() { # RECIPE LIMIT [--online]: what to set, for four fifths of the time
    "$python" "$here/gpu_sizes.py" "$out/figures.jsonl" "$1" "$(($2 * 4 / 5))" "${@:3}"
}

setting() { # KEY: of the run of the recipe, in its sections `problems` and `rollouts`
    sed -n "/^problems:/,/^verify:/s/^  $1: //p" "$work/gsm8k/recipe.yaml"
}
