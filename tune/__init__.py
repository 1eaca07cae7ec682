"""Hyperparameter search for CIFAR-100 with Ray Tune."""

__version__ = "0.1.0"
