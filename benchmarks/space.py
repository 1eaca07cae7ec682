"""The search space of the benchmarks: SimpleCNN's, without AugMix, distortions and weight averaging, which came later.

It must not change: results/curves.parquet holds curves of its configurations, and the peers have its augmentations.
"""

from ray import tune

from tune.space import SearchSpace

SPACE = SearchSpace(
    model="simple_cnn",
    epochs=27,
    trials=32,
    parameters={
        "lr": tune.loguniform(1e-3, 0.3),
        "batch_size": tune.choice([8, 32, 64, 128, 256]),
        "momentum": 0.9,
        "nesterov": tune.choice([False, True]),
        "weight_decay": tune.choice([0.0, 1e-4, 5e-4, 2e-3]),
        "schedule": tune.choice(
            [
                {"scheduler": "step", "gamma": tune.uniform(0.8, 0.98)},
                {"scheduler": "cosine", "warmup": tune.choice([0.0, 0.1])},
                {"scheduler": "one_cycle", "warmup": tune.uniform(0.1, 0.5)},
            ]
        ),
        "augmentation": tune.choice(["none", "crop_flip", "trivialaugment"]),
        "random_erasing": tune.choice([0.0, 0.25]),
        "label_smoothing": tune.choice([0.0, 0.1]),
        "mixup": tune.choice([0.0, 0.2]),
        "cutmix": tune.choice([0.0, 1.0]),
        "dropout": tune.uniform(0.0, 0.5),
    },
    reference={
        "lr": 0.04,
        "batch_size": 32,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 5e-4,
        "scheduler": "cosine",
        "warmup": 0.1,
        "augmentation": "crop_flip",
        "random_erasing": 0.0,
        "label_smoothing": 0.0,
        "mixup": 0.0,
        "cutmix": 0.0,
        "dropout": 0.0,
    },
    baselines=[
        {  # the original write-up's: StepLR(step 1, gamma 0.9), plain momentum, no augmentation
            "lr": 0.1,
            "batch_size": 8,
            "momentum": 0.9,
            "nesterov": False,
            "weight_decay": 0.0,
            "scheduler": "step",
            "gamma": 0.9,
            "augmentation": "none",
            "random_erasing": 0.0,
            "label_smoothing": 0.0,
            "mixup": 0.0,
            "cutmix": 0.0,
            "dropout": 0.0,
        }
    ],
)
