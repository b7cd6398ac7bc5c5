"""Search the regression objective's hyperparameters, with the budget of the contrastive search.

python -m orchestrator.sweep hyperparameter_search_regression --data DATA --out RUNS

64 configurations in eight rounds on the ROIs of `hyperparameter_search` (the same seed draws them),
with the same stopping rule, held-back images and searcher, and up to 2.5 times the epochs, as in
the paper: a comparison of tuned contrastive with untuned regression would favour the former.
Configurations are ranked by top-1 retrieval of the predicted responses; no test image is used.
Writes RUNS/hyperparameter_search/<digest>/hyperparameters.json, for `sweep paper --hyperparameters
FILE`, which then changes the regression trials. Expected: there are no published ranges; the
paper's settings (learning rate 2.5e-5, 75 epochs, batches of 1,024) are within these.
"""

from dataclasses import replace

from search_spaces import hyperparameter_search
from trainables.spec import Choice, IntegerRange, LogUniform, Ranges

SEARCH = replace(
    hyperparameter_search.SEARCH,
    ranges=Ranges(
        learning_rate=LogUniform(2.5e-6, 2.5e-4),
        epochs=IntegerRange(25, 112),
        batch_size=Choice((128, 256, 512, 1024)),
    ),
)
