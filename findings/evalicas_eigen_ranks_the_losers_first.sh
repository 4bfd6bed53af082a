#!/usr/bin/env bash
# One would think: the eigenvector method ranks models by whom they beat, as Bradley-Terry and Elo do, best first.
# What is so:      it ranks them by who beats them. Of five models in a plain order, each of which wins 8 of 10 games
#                  against each one below, it puts the worst first and the best last, as its number is the largest. Both
#                  solvers do, and the command line, which sorts by it. All other methods of the package are right.
# Versions:        evalica 0.4.2, numpy 2.4.6.
# Source:          eigen in evalica/_pairwise.py iterates with matrix.T; matrix[x, y] has the wins of x over y. It
#                  is right for pagerank, which gives it a transition matrix, and wrong for the wins themselves.
# Why it matters:  models are ranked by people's or a judge's choices. A table by this method praises the worst model.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile evalica==0.4.2 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import itertools
import sys

import evalica
import numpy as np
from evalica import Winner

models = ["best", "second", "third", "fourth", "worst"]
pairs = list(itertools.combinations(models, 2))  # the first one of each pair is the better
left = [better for better, _ in pairs for _ in range(10)]
right = [worse for _, worse in pairs for _ in range(10)]
winners = ([Winner.X] * 8 + [Winner.Y] * 2) * len(pairs)

wins = np.zeros((5, 5))
for better, worse in pairs:
    wins[models.index(better), models.index(worse)] += 8
    wins[models.index(worse), models.index(better)] += 2


def leading(matrix):
    values, vectors = np.linalg.eig(matrix)
    return np.abs(np.real(vectors[:, np.argmax(values.real)]))


def order(name, solver):
    scores = getattr(evalica, name)(left, right, winners, solver=solver).scores
    return scores.loc[models].to_numpy()


others = ("counting", "average_win_rate", "bradley_terry", "newman", "elo", "pagerank")
falling = {name: bool((np.diff(order(name, "naive")) < 0).all()) for name in others}
eigen = {solver: order("eigen", solver).round(3) for solver in ("naive", "pyo3")}
by_wins, by_losses = leading(wins).round(3), leading(wins.T).round(3)
print(f"evalica {evalica.__version__}; scores from the best model to the worst, which should fall:")
print(f"  eigenvector of the wins, by numpy:   {by_wins}")
print(f"  eigenvector of the losses, by numpy: {by_losses}")
for solver, scores in eigen.items():
    print(f"  evalica.eigen, {solver}: {scores}")
print(f"  do the scores of the other methods fall? {falling}")
if not all(falling.values()) or not (np.diff(by_wins) < 0).all():
    sys.exit("changed: the other methods do not agree")
if not all(np.allclose(scores, by_losses, atol=2e-3) for scores in eigen.values()):
    sys.exit("changed: eigen does not rank by losses")
PY
