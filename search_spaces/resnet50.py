"""ResNet-50 from ImageNet weights, fine-tuned at 224 px: 24 million parameters. For a GPU of its own.

Why these ranges: fine-tuning needs smaller learning rates than training from scratch, around 0.01 for SGD at batch
size 64 and around 1e-4 for AdamW (Kornblith et al. 2019 search 1e-4 to 0.1), so each optimizer has its own range.
Freezing the early layers for the first epochs, or a smaller learning rate for all layers but the classifier, keeps the
untrained classifier from disturbing them. Smaller images, or images that start small, take a fraction of the time. The
original write-up's setting is lr 0.01 at batch size 8.
"""

from ray import tune

from tune.space import SearchSpace

SPACE = SearchSpace(
    model="resnet50",
    epochs=10,
    trials=16,
    parameters={
        "optimisation": tune.choice(
            [
                {
                    "optimizer": "sgd",
                    "lr": tune.loguniform(1e-3, 0.1),
                    "momentum": 0.9,
                    "nesterov": tune.choice([False, True]),
                    "weight_decay": tune.choice([0.0, 1e-4, 5e-4]),
                },
                {
                    "optimizer": "adamw",
                    "lr": tune.loguniform(1e-5, 1e-3),
                    "weight_decay": tune.choice([0.01, 0.05]),
                },
            ]
        ),
        "batch_size": tune.choice([8, 32, 64, 128]),
        "schedule": tune.choice(
            [
                {"scheduler": "step", "gamma": tune.uniform(0.6, 0.95)},
                {"scheduler": "cosine", "warmup": tune.choice([0.0, 0.1])},
                {"scheduler": "one_cycle", "warmup": tune.uniform(0.1, 0.4)},
            ]
        ),
        "augmenting": tune.choice(
            [
                {"augmentation": "standard"},
                {"augmentation": "crop_flip"},
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
        "dropout": tune.choice([0.0, 0.2, 0.4]),
        "ema": tune.choice([0.0, 0.999]),
        "backbone_lr": tune.choice([0.1, 0.3, 1.0]),
        "freeze_epochs": tune.choice([0, 1, 2]),
        "image_size": tune.choice([64, 128, 160, 224]),
        "initial_scale": tune.choice([0.5, 1.0]),
    },
    reference={
        "optimizer": "sgd",
        "lr": 0.01,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 1e-4,
        "batch_size": 64,
        "scheduler": "cosine",
        "warmup": 0.1,
        "augmentation": "standard",
        "distortion": 0.0,
        "random_erasing": 0.0,
        "label_smoothing": 0.1,
        "mixup": 0.0,
        "cutmix": 0.0,
        "dropout": 0.0,
        "ema": 0.0,
        "backbone_lr": 1.0,
        "freeze_epochs": 0,
        "image_size": 224,
        "initial_scale": 1.0,
    },
    baselines=[
        {  # the original write-up's: StepLR(step 1, gamma 0.9), plain momentum
            "optimizer": "sgd",
            "lr": 0.01,
            "momentum": 0.9,
            "nesterov": False,
            "weight_decay": 0.0,
            "batch_size": 8,
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
            "backbone_lr": 1.0,
            "freeze_epochs": 0,
            "image_size": 224,
            "initial_scale": 1.0,
        }
    ],
)
