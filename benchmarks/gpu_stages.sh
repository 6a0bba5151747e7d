# What gpu.sh and gpu_rl.sh share: stages that end in time, and those that both have. Source it, then:
#
#     begin_stages FOLDER SECONDS      # results go to FOLDER; all of it ends within SECONDS
#     stage NAME LIMIT COMMAND...      # ends after LIMIT seconds; is left out if less is left than that
#     end_stages                       # status 1 if a stage failed or was cut
#
# ONLY is a regular expression: stages whose names do not match are passed over.
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
    if [[ ! $name =~ ${ONLY:-} ]]; then return; fi
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
    if [[ $1 =~ ${ONLY:-} ]]; then tell_stage "$1" "left out: $2" 0 -; fi
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

gsm8k() { # LIMIT
    trained gsm8k "$recipe" "$1"
}

mbpp() { # LIMIT: as gsm8k; where no sandbox can run, the rollouts alone, to be graded on another machine
    local why options=("verify.workers=$(nproc)")
    if why=$("$python" -c "
from reasonmaxxer.sandbox import backend
raise SystemExit(None if backend().program else backend().version)" 2>&1); then
        if [[ -n ${QUICK:-} ]]; then # in earnest, as far as there are mixed problems among so many
            options+=(problems.train.limit=6 rollouts.max_new_tokens=100 verify.function=null)
        fi
        trained mbpp mbpp "$1" "${options[@]}"
    else
        leave_out "recipe mbpp" "no sandbox: ${why//[$'\n\t']/ }"
        ungraded mbpp mbpp "$1"
    fi
}

trained() { # NAME RECIPE LIMIT [KEY=VALUE...]: with as many problems as fit; a run that is there is taken up
    local options
    sized "$@"
    model_stage "$model" "recipe $1" "$3" "$python" -m reasonmaxxer run "${options[@]}" --out "$work/$1"
    keep "$1" "$work/$1"
}

ungraded() { # NAME RECIPE LIMIT: rollouts for `rollouts.imported`; the run ends after them, as nothing is correct
    local options
    sized "$1-ungraded" "$2" "$3" verify.function="$here/quick_verifier.py:nothing"
    model_stage "$model" "rollouts $1, ungraded" "$3" bash -c '"${@:3}" --out "$1"
        "$3" -m reasonmaxxer export "$1" --out "$2"' bash "$work/$1-ungraded" "$out/$1-rollouts.jsonl" \
        "$python" -m reasonmaxxer run "${options[@]}"
}

sized() { # NAME RECIPE LIMIT [KEY=VALUE...]: put into `options` the recipe of a run, or the one that it has
    options=("$work/$1/recipe.yaml")
    if [[ -f ${options[0]} ]]; then return; fi
    options=("$2" model.name="$model")
    if [[ -n ${QUICK:-} ]]; then
        options+=("${tiny[@]}")
    else
        mapfile -t -O 2 options < <(sizes "$2" "$3")
    fi
    options+=("${@:4}")
}

sizes() { # RECIPE LIMIT [--online]: what to set, for four fifths of the time
    "$python" "$here/gpu_sizes.py" "$out/figures.jsonl" "$1" "$(($2 * 4 / 5))" "${@:3}"
}

setting() { # KEY: of the run of the recipe, in its sections `problems` and `rollouts`
    sed -n "/^problems:/,/^verify:/s/^  $1: //p" "$work/gsm8k/recipe.yaml"
}
