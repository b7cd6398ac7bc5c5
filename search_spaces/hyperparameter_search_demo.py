"""A small hyperparameter search, for the simulated subjects of the demonstration.

python -m orchestrator.sweep hyperparameter_search_demo --data demo/data --out demo/runs \
    --weights demo/weights.safetensors

Run `python -m orchestrator.sweep` first, which makes the data. 8 configurations in two rounds on 3
ROIs: 24 trials of at most 6 epochs; two to three minutes on two CPU cores. Expected: learning rates
of 2e-4 to 3e-4 retrieve best, those near 3e-5 worse. Retrieval is low after so few epochs (at most
5 % of 75 held-back images, where chance is 1.3 %): this shows that a search runs, no more.
"""

from trainables.spec import FROM_FILE, Backbone, Choice, IntegerRange, LogUniform, Ranges, Search

SEARCH = Search(
    ranges=Ranges(
        temperature=LogUniform(0.05, 1.0),
        learning_rate=LogUniform(1e-5, 3e-3),
        epochs=IntegerRange(2, 6),
        batch_size=Choice((32, 64, 128)),
        hidden_ratio=LogUniform(0.4, 1.6),
        embedding_ratio=LogUniform(0.1, 0.8),
    ),
    n_rois=3,
    min_vertices=20,
    n_configurations=8,
    per_round=4,
    grace_period=1,
    reduction_factor=2,
    backbone=Backbone("narrow-alexnet", FROM_FILE),
    seed=0,
)
