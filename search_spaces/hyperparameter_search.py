"""Search the contrastive objective's hyperparameters on 30 random ROIs (arXiv 2410.06067).

python -m orchestrator.sweep hyperparameter_search --data DATA --out RUNS

64 configurations in eight rounds, each on the same 30 ROIs of more than 20 vertices (subjects and
hemispheres mixed, streams left out): 1,920 trials. ASHA stops the worse ones of each ROI at 5 or 15
epochs, so that most cost a fraction of a `paper` trial, and none is encoded; `--dry-run` estimates
an upper bound on your data. Configurations are ranked by top-1 retrieval on a tenth of the training
images; no test image is used. Writes RUNS/hyperparameter_search/<digest>/hyperparameters.json, for
`sweep paper --hyperparameters FILE`. Expected: there are no published ranges; the paper's own
settings (temperature 0.3, learning rate 1e-4, 30 epochs, batches of 1,024, ratios 0.8 and 0.2) are
within these, so the best configuration should retrieve at least as well. A copy with
`tune="lora:8"` or `tune="from:LAYER"` in SEARCH searches the same for a part of the backbone.
"""

from trainables.spec import Backbone, Choice, IntegerRange, LogUniform, Ranges, Search

SEARCH = Search(
    ranges=Ranges(
        temperature=LogUniform(0.03, 1.0),
        learning_rate=LogUniform(1e-5, 1e-3),
        epochs=IntegerRange(10, 45),
        batch_size=Choice((128, 256, 512, 1024)),
        hidden_ratio=LogUniform(0.2, 1.6),
        embedding_ratio=LogUniform(0.05, 0.8),
    ),
    n_rois=30,
    min_vertices=20,
    n_configurations=64,
    per_round=8,
    grace_period=5,
    reduction_factor=3,
    backbone=Backbone("alexnet", "IMAGENET1K_V1"),
    seed=0,
)
