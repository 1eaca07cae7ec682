"""The replay laboratory: real learning curves, recorded once, and searches that run on them without training."""
