"""Fine-tuning: batches, epochs, checkpoints and data-parallel workers."""

__all__ = [
    "batches",
    "checkpoints",
    "distributed",
    "finetune",
    "microbatches",
    "rendezvous",
    "synchronised",
]
