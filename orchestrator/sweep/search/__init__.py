"""A search for hyperparameters: rounds of trials, schedulers rebuilt, and what it ends in."""
