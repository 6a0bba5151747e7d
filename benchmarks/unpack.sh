#!/usr/bin/env bash
# One bundle of pack.py into the store of a machine without a network:
#
#     benchmarks/unpack.sh BUNDLE
#
# Every file is checked by SHA-256; nothing of a broken bundle is taken. Wheels are installed into the
# store, data and pieces of models kept there, and a model is joined and checked once its last piece has
# come. STORE is that folder (default: ~/.cache/reasonmaxxer-gpu), PYTHON the interpreter that has PyTorch.
set -euo pipefail
shopt -s nullglob

bundle=${1:?"usage: unpack.sh BUNDLE"}
store=${STORE:-$HOME/.cache/reasonmaxxer-gpu}
python=${PYTHON:-python3}

fail() {
    echo "Error: $*" >&2
    exit 2
}

keep() { # KIND: put the bundle's files of a kind into the store, each whole or absent
    local name target
    (cd "$bundle/$1" && find . -type f) | while read -r name; do
        target=$store/$1/$name
        mkdir -p "${target%/*}"
        cp "$bundle/$1/$name" "${target%/*}/.partial"
        mv "${target%/*}/.partial" "$target"
    done
}

join() { # NAME.gguf: make the model of its pieces, if all are there
    local pieces=("$store/pieces/$1".*-of-*) whole="$store/models/$1" count
    count=$((10#${pieces[0]##*-of-}))
    if ((${#pieces[@]} < count)); then
        echo "$1: ${#pieces[@]} of $count pieces"
        return
    fi
    mkdir -p "$store/models"
    cat "${pieces[@]}" >"$store/models/.$1"
    [[ $(sha256sum <"$store/models/.$1" | cut -d' ' -f1) == "$(cat "$store/pieces/$1.sha256")" ]] ||
        fail "$1: the joined pieces are not the whole. Remove $store/pieces and carry its bundles again."
    mv "$store/models/.$1" "$whole"
    rm "${pieces[@]}"
    echo "$1: whole"
}

(cd "$bundle" && sha256sum --check --strict --quiet SHA256SUMS) ||
    fail "$bundle: a file is missing or differs from SHA256SUMS. Carry this bundle again."
for kind in wheels data pieces; do
    if [[ -d $bundle/$kind ]]; then keep "$kind"; fi
done
if [[ -d $bundle/wheels ]]; then
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --upgrade \
        --target "$store/site" "$store"/wheels/*.whl
fi
for hash in "$bundle"/pieces/*.sha256; do
    name=$(basename "$hash" .sha256)
    if [[ ! -f $store/models/$name ]]; then join "$name"; fi
done
