"""ResNet-18 at 32 px: 11 million parameters, trained from scratch. For a GPU; on a CPU with --train-subset.

Why these ranges: SGD with Nesterov momentum, lr 0.1 at batch size 128, weight decay 5e-4 and a cosine or one-cycle
schedule are the usual recipe for ResNets on CIFAR (Loshchilov & Hutter 2017). The best learning rate grows with the
batch size, hence the wide range. Regularisation (MixUp, CutMix, TrivialAugment, label smoothing) helps more than for
SimpleCNN, since this network can memorise the training images. AugMix is tried with its consistency loss, at the
paper's weight (Hendrycks et al. 2020), and without, as the loss triples the cost of a step. The original
write-up's setting is lr 0.1 at batch size 8, without weight decay.
"""

from ray import tune

from tune.space import SearchSpace

SPACE = SearchSpace(
    model="resnet18",
    epochs=30,
    trials=32,
    parameters={
        "lr": tune.loguniform(3e-3, 0.5),
        "batch_size": tune.choice([8, 64, 128, 256, 512]),
        "momentum": 0.9,
        "nesterov": tune.choice([False, True]),
        "weight_decay": tune.choice([0.0, 1e-4, 5e-4, 1e-3]),
        "schedule": tune.choice(
            [
                {"scheduler": "step", "gamma": tune.uniform(0.8, 0.98)},
                {"scheduler": "cosine", "warmup": tune.choice([0.0, 0.1])},
                {"scheduler": "one_cycle", "warmup": tune.uniform(0.1, 0.5)},
            ]
        ),
        "augmenting": tune.choice(
            [
                {"augmentation": "standard"},
                {"augmentation": "randaugment"},
                {"augmentation": "trivialaugment"},
                {"augmentation": "augmix", "jsd": tune.choice([0.0, 12.0])},
            ]
        ),
        "distortion": tune.choice([0.0, 0.5]),
        "random_erasing": tune.choice([0.0, 0.25]),
        "label_smoothing": tune.choice([0.0, 0.1]),
        "mixup": tune.choice([0.0, 0.2]),
        "cutmix": tune.choice([0.0, 1.0]),
        "dropout": tune.choice([0.0, 0.2]),
        "ema": tune.choice([0.0, 0.999]),
    },
    reference={
        "lr": 0.1,
        "batch_size": 128,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 5e-4,
        "scheduler": "one_cycle",
        "warmup": 0.3,
        "augmentation": "standard",
        "distortion": 0.0,
        "random_erasing": 0.0,
        "label_smoothing": 0.1,
        "mixup": 0.0,
        "cutmix": 0.0,
        "dropout": 0.0,
        "ema": 0.0,
    },
    baselines=[
        {  # the original write-up's: StepLR(step 1, gamma 0.9), plain momentum, crop and flip
            "lr": 0.1,
            "batch_size": 8,
            "momentum": 0.9,
            "nesterov": False,
            "weight_decay": 0.0,
            "scheduler": "step",
            "gamma": 0.9,
            "augmentation": "standard",
            "distortion": 0.0,
            "random_erasing": 0.0,
            "label_smoothing": 0.0,
            "mixup": 0.0,
            "cutmix": 0.0,
            "dropout": 0.0,
            "ema": 0.0,
        }
    ],
)
