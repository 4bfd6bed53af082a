"""Searches the learning rate of each method, with equally many trials for each, judged by validation splits alone.

python -m scripts.tune_rates --out rates --overrides data_root=data           can be stopped and started again
python -m scripts.tune_rates --out rates --overrides data_root=data --write   also puts the best rates into conf/
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean

from lnbench.core.atomic_files import write_atomically
from lnbench.core.config_folders import config_dir
from scripts.rates.choice import Trial, best_factors, mean_shares, shipped_rate, write_rate, written
from scripts.rates.trials import Budget, add_options, at_factor, attempt, together

FILE = "rates.json"


def main() -> None:
    """Does all trials, and prints the best rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--factors", nargs="+", type=float, default=[0.3, 1, 3], help="factors of the shipped rates")
    parser.add_argument("--write", action="store_true", help="put the best rates into conf/")
    options = parser.parse_args()
    budget, conf = Budget.of(options), config_dir()
    rates = {method: shipped_rate(conf, method) for method in options.methods}
    trials: list[Trial] = []
    for method in options.methods:
        for task in options.tasks:
            for factor in options.factors:
                gain = _gain(budget, method, task, at_factor(method, rates[method], factor), options.seeds)
                trials.append(Trial(method, task, factor, gain))
        _report(budget, rates, trials)
    if options.write:
        for method, factor in best_factors(trials).items():
            write_rate(conf, method, rates[method] * factor)


def _gain(budget: Budget, method: str, task: str, rate: str, seeds: Sequence[int]) -> float | None:
    """Mean gain over seeds with an override of the rate; None if a run failed."""
    gains = []
    for seed in seeds:
        config = budget.configure(together(method), task, seed, rate)
        if (record := attempt(config)) is None:
            return None
        baseline = record.baseline.get("validation", {}).get(config.task.metric, 0.0)
        gains.append((record.score - baseline) * (1 if config.task.mode == "max" else -1))
    return fmean(gains)


def _report(budget: Budget, rates: dict[str, float], trials: Sequence[Trial]) -> None:
    """Saves and prints the results so far."""
    best, shares = best_factors(trials), mean_shares(trials)
    chosen = {method: written(rates[method] * factor) for method, factor in best.items()}
    known = {"rates": rates, "chosen": chosen, "trials": [asdict(one) for one in trials]}
    write_atomically(budget.out / FILE, json.dumps(known, indent=2) + "\n")
    print("\nmethod, best rate, and mean share of the best gain on each task, by rate")
    for method, by_factor in shares.items():
        tried = "  ".join(f"{written(rates[method] * factor)}: {share:.3f}" for factor, share in by_factor.items())
        print(f"{method:22} {chosen[method]:8} {tried}")


if __name__ == "__main__":
    main()
