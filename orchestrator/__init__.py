"""Where trials run, and what they mean together."""
