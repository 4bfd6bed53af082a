#!/usr/bin/env bash
# One would think: the options of a program are the program's own; a library that draws plots does not read them.
# What is so:      `import kaleido`, which plotly's `write_image` does, imports logistro, and that parses sys.argv with
#                  argparse, where abbreviations are allowed. An option of yours that begins one of its options, such as
#                  --log or --l, is "ambiguous": the program ends with exit code 2 in the middle of its work.
# Versions:        kaleido 1.5.0, logistro 2.0.1 (plotly 6 draws images with kaleido).
# Source:          logistro/_args.py: parser.parse_known_args() at import; --logistro-human, --logistro-structured and
#                  --logistro-level share the beginning --log.
# Why it matters:  the import comes when the first image is written, after hours of runs: a benchmark with an option --log
#                  that has worked for everything else dies at its plot, with the usage of a program it does not know.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile kaleido==1.5.0 logistro==2.0.1
cd "$work"
cat >program.py <<'PY'
import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--log")
parser.add_argument("--out")
parser.parse_args()
import kaleido

print("drawn")
PY
seen=""
for option in --out --log; do
    code=0
    "$work/venv/bin/python" program.py $option file >told 2>&1 || code=$?
    seen+=" $option $code;"
done
echo "kaleido 1.5.0, logistro 2.0.1: exit codes of a program with its own option, expected --out 0; --log 0;, seen$seen"
tail -n 1 told
if [[ $seen != " --out 0; --log 2;" ]]; then
    echo "changed: the program's options are left alone"
    exit 1
fi
