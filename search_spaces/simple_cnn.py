"""SimpleCNN: 1.1 million parameters, an epoch of 40,000 images in about 15 s on a CPU core. For a first search.

Why these ranges: with momentum 0.9 the best learning rate is about a thousandth of the batch size (docs/log.md), so
0.001 to 0.3 covers batch sizes of 8 to 256. The original write-up's setting, lr 0.1 at batch size 8, is ten times
larger and stays at chance level. Weight decay 5e-4 is the usual value for CIFAR; a network this small may need less.
Augmentation costs accuracy in short trainings and gains some in long ones. So do MixUp, CutMix, erasing, and the
distortions, which are meant for degraded images. AugMix's consistency loss is left out, since it triples the cost of a
step. Weight averaging is tried where the learning rate does not fall to zero; where it does, averaged and final weights
are alike (docs/log.md).
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
                {"scheduler": "step", "gamma": tune.uniform(0.8, 0.98), "ema": tune.choice([0.0, 0.998])},
                {"scheduler": "cosine", "warmup": tune.choice([0.0, 0.1])},
                {"scheduler": "one_cycle", "warmup": tune.uniform(0.1, 0.5)},
            ]
        ),
        "augmentation": tune.choice(["none", "crop_flip", "trivialaugment", "augmix"]),
        "distortion": tune.choice([0.0, 0.5]),
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
        "distortion": 0.0,
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
            "ema": 0.0,
            "augmentation": "none",
            "distortion": 0.0,
            "random_erasing": 0.0,
            "label_smoothing": 0.0,
            "mixup": 0.0,
            "cutmix": 0.0,
            "dropout": 0.0,
        }
    ],
)
