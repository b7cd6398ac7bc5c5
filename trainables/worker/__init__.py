"""One trial on a warm worker, from data to scores."""
