#!/bin/sh
# The three architectures, each searched, trained for 50 epochs and tested once; then side by side in one report.
# The ResNets are meant for a GPU. More options go to each search, as in
#
#     STORAGE=runs sh benchmarks/three_architectures.sh --confirm 3
set -e
runs=${STORAGE:-results}
for model in simple_cnn resnet18 resnet50; do
    python -m tune.run --space "search_spaces/$model.py" --name "compared-$model" --storage "$runs" --then-finalize "$@"
done
python -m tune.report compared-simple_cnn compared-resnet18 compared-resnet50 --storage "$runs"
