"""Planning and running trials on a cluster."""
