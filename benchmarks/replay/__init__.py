"""Replays: searches on real learning curves that were recorded once, without any training."""
