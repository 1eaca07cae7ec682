#!/bin/sh
# The three architectures, each searched, trained for 50 epochs, tested once, and then side by side in one report.
# The ResNets are meant for a GPU. More options go to each search:
#
#     sh benchmarks/three_architectures.sh --confirm 3 --storage runs
set -e
for model in simple_cnn resnet18 resnet50; do
    python -m tune.run --space search_spaces/$model.py --name compared-$model --then-finalize "$@"
done
