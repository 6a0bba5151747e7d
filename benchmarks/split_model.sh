#!/usr/bin/env bash
# The embedded model in parts under 64 MiB, with their hashes, for a machine without a network:
#
#     benchmarks/split_model.sh FOLDER
#
# Copy the folder there and give it to gpu.sh as PARTS. PYTHON names the interpreter that has reasonmaxxer.
set -euo pipefail

parts=${1:?"usage: split_model.sh FOLDER"}
python=${PYTHON:-python}
model=$("$python" -c 'from reasonmaxxer.models import resolve_embedded as r; print(r("smollm2").path)')

mkdir -p "$parts"
tar --create --file - --directory "$(dirname "$model")" smollm2 |
    split --bytes=60M --numeric-suffixes --suffix-length=3 - "$parts/smollm2.tar."
cd "$parts"
sha256sum smollm2.tar.* >SHA256SUMS
cat smollm2.tar.* | sha256sum | cut -d' ' -f1 >WHOLE
ls -l
