"""A subject whose responses need a backbone that was tuned on them."""

from pathlib import Path

import numpy as np

from benchmarks.small_shards import N_VERTICES, PlantedRows, write_subject
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import TEST, TRAIN, list_rois
from trainables.spec import Roi

N_PATTERNS = 48
"""Patterns that make up an image: many more than a tiny backbone's 20 logits hold."""
N_SEEN = 3
"""Patterns that every vertex responds to: the first three."""


def write_planted_gain(data: Path, n_images: int = 320, seed: int = 0) -> list[Roi]:
    """Write a subject whose responses are a few of the many directions in which images vary.

    The logits of an untuned backbone hold these among all the others; one that is tuned on the
    responses learns to hold these. Returns the subject's ROIs.
    """
    generator = np.random.default_rng(seed)
    strengths = generator.standard_normal((n_images, N_PATTERNS))
    patterns = generator.standard_normal((N_PATTERNS, 3, 4, 4)).repeat(8, axis=2).repeat(8, axis=3)
    images = 128 + 10 * np.einsum("nk,kcyx->ncyx", strengths, patterns)
    n_vertices = sum(N_VERTICES.values())
    weights = generator.standard_normal((N_SEEN, n_vertices)) / np.sqrt(N_SEEN)
    noise = 0.5 * generator.standard_normal((n_images, n_vertices))
    responses = (strengths[:, :N_SEEN] @ weights + noise).astype(np.float32)
    order = np.arange(n_images)
    split = [TRAIN if place < n_images * 3 // 4 else TEST for place in order]
    stimuli = [f"made-up-{place:05d}" for place in order]
    pixels = images.clip(0, 255).astype(np.uint8)
    write_subject(data, "subj01", PlantedRows(stimuli, split, order, pixels, responses))
    return list_rois(DataDirectory(data))
