"""Fine-tuning: batches, epochs, checkpoints and data-parallel workers."""

__all__ = [
    "batches",
    "checkpoint_notes",
    "checkpoints",
    "distributed",
    "finetune",
    "microbatches",
    "rendezvous",
    "saved_state",
    "single_trials",
    "synchronised",
]
