"""What is said of the machine's load."""

from __future__ import annotations

from tune.search.machine_load import Load, gpus_in_words


def test_the_load_of_this_machine() -> None:
    load = Load(on_gpu=False)
    assert load() == load()  # looked at now and then only
    words = load().split()
    assert (words[0], words[2], words[4]) == ("load", "on", "cores")
    assert float(words[1]) >= 0
    assert int(words[3]) >= 1


def test_the_load_of_gpus() -> None:
    assert gpus_in_words([87], [12_300_000_000], [80_000_000_000]) == "GPU 87 %, 12 of 80 GB"
    assert gpus_in_words([90, 70], [10**10] * 2, [8 * 10**10] * 2) == "2 GPUs 80 %, 20 of 160 GB"
