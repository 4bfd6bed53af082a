#!/usr/bin/env bash
# One would think: Dataset.map's fingerprint hashes the function's code, so an edit of the function computes anew.
# What is so:      that holds for functions of the main script. A function of an imported module is hashed by its
#                  name: edit the module, run again, and map returns the rows that the old code made.
# Versions:        datasets 5.2.0.
# Source:          Hasher in datasets/fingerprint.py pickles with dill (datasets/utils/_dill.py), which writes what
#                  can be imported as module and name; update_fingerprint never sees the code.
# Why it matters:  preprocessing usually lives in a module. A corrected prompt, truncation or label map is not
#                  applied, and the numbers of the old one are reported for the new.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile datasets==5.2.0
cd "$work"
export HF_HOME=$work/hf HF_HUB_OFFLINE=1 PYTHONDONTWRITEBYTECODE=1
echo '{"text": "abcdef"}' > rows.jsonl
cat > run.py <<'PY'
import datasets
import prep

datasets.disable_progress_bars()


def in_main(row):
    return {"cut": row["text"][:LENGTH]}


rows = datasets.load_dataset("json", data_files="rows.jsonl", split="train")
print(datasets.__version__, rows.map(prep.cut)[0]["cut"], rows.map(in_main)[0]["cut"])
PY
edit() {  # the same edit in both places: keep $1 characters
    printf 'def cut(row):\n    return {"cut": row["text"][:%s]}\n' "$1" > prep.py
    sed "s/LENGTH/$1/" run.py > main.py
}
edit 2; before=$("$work/venv/bin/python" -W ignore main.py)
edit 4; after=$("$work/venv/bin/python" -W ignore main.py)
read -r version in_module in_main <<< "$after"
echo "datasets $version: first run (module, main) '${before#* }'; after the edit of both expected 'abcd abcd'," \
    "seen '$in_module $in_main'"
if [ "${before#* }" != "ab ab" ] || [ "$in_module $in_main" != "ab abcd" ]; then
    echo "changed: an edit of the imported module is no longer overlooked" >&2
    exit 1
fi
