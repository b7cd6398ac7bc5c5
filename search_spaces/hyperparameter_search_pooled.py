"""Search the pooled objective's hyperparameters, with the budget of the contrastive search.

python -m orchestrator.sweep hyperparameter_search_pooled --data DATA --out RUNS

64 configurations in eight rounds, each on 30 random ROIs of more than 20 vertices (hemispheres
apart, streams left out) that two subjects or more have, with one backbone for all of these: with
NSD's eight subjects a trial is about eight times the work of a contrastive one. Heads are as wide
as the mean number of vertices. Ranked by top-1 retrieval, averaged over subjects; no test image is
used. Writes RUNS/hyperparameter_search/<digest>/hyperparameters.json, for `sweep pooled
--hyperparameters FILE`, which then changes the pooled trials. Expected: there are no published
ranges; the paper's settings (temperature 0.3, learning rate 1e-4, 30 epochs, batches of 1,024) are
within these.
"""

from dataclasses import replace

from search_spaces import hyperparameter_search
from trainables.spec import Choice, IntegerRange, LogUniform, Ranges

SEARCH = replace(
    hyperparameter_search.SEARCH,
    ranges=Ranges(
        temperature=LogUniform(0.03, 1.0),
        learning_rate=LogUniform(1e-5, 1e-3),
        epochs=IntegerRange(10, 45),
        batch_size=Choice((128, 256, 512, 1024)),
    ),
)
