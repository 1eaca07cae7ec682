"""A plain Ray Tune search for SimpleCNN: HyperOptSearch and ASHAScheduler as their documentation shows them.

    python -m benchmarks.peers.plain_ray_tune --data-dir DIR --train-subset 10000 --trials 16 --max-epochs 4 --seed 0

The space is that of benchmarks/space.py, but flat, since HyperOptSearch loops for ever on initial points of a
conditional space. The same two configurations run first: the reference and the original write-up's baseline.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.hyperopt import HyperOptSearch

from benchmarks.peers import plain_loop

SPACE = {
    "lr": tune.loguniform(1e-3, 0.3),
    "batch_size": tune.choice([8, 32, 64, 128, 256]),
    "nesterov": tune.choice([False, True]),
    "weight_decay": tune.choice([0.0, 1e-4, 5e-4, 2e-3]),
    "scheduler": tune.choice(["step", "cosine", "one_cycle"]),
    "gamma": tune.uniform(0.8, 0.98),
    "cosine_warmup": tune.choice([0.0, 0.1]),
    "one_cycle_warmup": tune.uniform(0.1, 0.5),
    "augmentation": tune.choice(["none", "crop_flip", "trivialaugment"]),
    "random_erasing": tune.choice([0.0, 0.25]),
    "label_smoothing": tune.choice([0.0, 0.1]),
    "mixup": tune.choice([0.0, 0.2]),
    "cutmix": tune.choice([0.0, 1.0]),
    "dropout": tune.uniform(0.0, 0.5),
}
PLAIN = {"random_erasing": 0.0, "label_smoothing": 0.0, "mixup": 0.0, "cutmix": 0.0, "dropout": 0.0}
FIRST: list[dict[str, Any]] = [
    PLAIN | {"lr": 0.04, "batch_size": 32, "nesterov": True, "weight_decay": 5e-4}
    | {"scheduler": "cosine", "augmentation": "crop_flip"}
    | {"gamma": 0.9, "cosine_warmup": 0.1, "one_cycle_warmup": 0.3},
    PLAIN | {"lr": 0.1, "batch_size": 8, "nesterov": False, "weight_decay": 0.0}
    | {"scheduler": "step", "augmentation": "none"}
    | {"gamma": 0.9, "cosine_warmup": 0.0, "one_cycle_warmup": 0.3},
]  # fmt: skip


def train(config: dict[str, Any], data_dir: Path, subset: int, seed: int) -> None:
    config = config | {"warmup": config.get(f"{config['scheduler']}_warmup", 0.0)}
    for result in plain_loop.epochs(config, data_dir, subset, seed):
        tune.report(result)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--train-subset", type=int, default=10_000)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--max-epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--storage", type=Path, required=True)
    options = parser.parse_args()
    trainable = tune.with_parameters(
        train, data_dir=options.data_dir.absolute(), subset=options.train_subset, seed=options.seed
    )
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space=SPACE | {"epochs": options.max_epochs},
        tune_config=tune.TuneConfig(
            metric="val_acc",
            mode="max",
            num_samples=options.trials,
            search_alg=HyperOptSearch(points_to_evaluate=FIRST, random_state_seed=options.seed),
            scheduler=ASHAScheduler(time_attr="epoch", max_t=options.max_epochs),
        ),
        run_config=tune.RunConfig(name="plain", storage_path=str(options.storage.absolute()), verbose=1),
    )
    results = tuner.fit()
    if results.num_errors:
        sys.exit(f"{results.num_errors} trials failed")
    best = results.get_best_result(scope="last")
    epochs = sum(result.metrics["epoch"] for result in results if result.metrics)
    print(json.dumps({"best_val_acc": best.metrics["val_acc"], "epochs": epochs, "trials": len(results)}))


if __name__ == "__main__":
    main()
