#!/bin/sh
# The three architectures, each searched, trained for 50 epochs and tested once; then side by side in one report.
# The ResNets are meant for a GPU. More options go to each search, as in
#
#     STORAGE=runs sh benchmarks/three_architectures.sh --confirm 3
#
# STORAGE is a folder. After an interruption the same line goes on where it was.
set -e
runs=${STORAGE:-results}
for model in simple_cnn resnet18 resnet50; do
    run=$runs/compared-$model
    if [ -e "$run/final/metrics.json" ]; then
        echo "$run is done."
    elif [ -e "$run/final/checkpoint.pt" ]; then
        python -m tune.finalize "compared-$model" --storage "$runs" --resume
    elif [ -e "$run/experiment.json" ]; then
        python -m tune.run --resume "compared-$model" --storage "$runs" --then-finalize "$@"
    else
        python -m tune.run --space "search_spaces/$model.py" --name "compared-$model" --storage "$runs" --then-finalize "$@"
    fi
done
python -m tune.report compared-simple_cnn compared-resnet18 compared-resnet50 --storage "$runs"
