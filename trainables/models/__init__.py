"""Backbones, readout heads, the pooled model and losses."""
