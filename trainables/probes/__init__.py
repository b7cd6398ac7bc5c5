"""What a fine-tuned network still knows: one file a kind of probe, one result a backbone."""
