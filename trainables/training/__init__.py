"""Fine-tuning: batches, epochs, checkpoints, data-parallel workers."""
