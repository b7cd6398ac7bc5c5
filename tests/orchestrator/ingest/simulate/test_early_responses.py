"""Receptive fields of early ROIs, and the signals that they pool."""

import numpy as np
import pytest

from orchestrator.ingest.simulate.early_responses import (
    CHANNEL_OF_AREA,
    draw_tuning,
    early_signals,
)
from orchestrator.ingest.simulate.local_features import measure_features
from orchestrator.ingest.simulate.receptive_fields import (
    ReceptiveFields,
    area_of,
    draw_receptive_fields,
)
from tests.builders.pictures import patch
from trainables.spec.rois import EARLY


def fields(roi: str, hemisphere: str, n_vertices: int = 200) -> ReceptiveFields:
    return draw_receptive_fields(roi, hemisphere, n_vertices, np.random.default_rng(1))


@pytest.mark.parametrize("roi", ["V1v", "V2d", "V3v", "hV4"])
def test_early_receptive_fields_are_contralateral(roi: str) -> None:
    assert np.all(fields(roi, "lh").centre[:, 0] >= 0)
    assert np.all(fields(roi, "rh").centre[:, 0] <= 0)


def test_ventral_parts_see_the_upper_field_dorsal_the_lower_and_hv4_both() -> None:
    assert np.all(fields("V2v", "lh").centre[:, 1] >= 0)
    assert np.all(fields("V2d", "lh").centre[:, 1] <= 0)
    assert np.ptp(np.sign(fields("hV4", "lh").centre[:, 1])) == 2


def test_receptive_fields_grow_from_v1_to_hv4_and_with_eccentricity() -> None:
    widths = [fields(roi, "lh").width.mean() for roi in ("V1v", "V2v", "V3v", "hV4")]
    assert widths == sorted(widths)
    drawn = fields("V1v", "lh")
    assert np.corrcoef(np.hypot(*drawn.centre.T), drawn.width)[0, 1] > 0.99


@pytest.mark.parametrize("roi", ["V1v", "V2v"])
def test_a_left_hemisphere_vertex_follows_the_right_visual_field_only(roi: str) -> None:
    grey = np.full((64, 64, 3), 128, np.uint8)
    features = measure_features([patch(-0.5, 0.5), patch(0.5, 0.5), grey])
    signal = early_signals(features, roi, fields(roi, "lh"), np.random.default_rng(2))
    left, right = np.mean(abs(signal[:2] - signal[2]), axis=1)
    assert right > 1.5 * left


def test_every_early_roi_has_a_channel_whose_tuning_fits_its_features() -> None:
    features = measure_features([patch(0, 0)])
    for roi in EARLY:
        channel = CHANNEL_OF_AREA[area_of(roi)]
        tuning = draw_tuning(channel, 50, np.random.default_rng(0))
        n_features, n_positions = getattr(features, channel.name).shape[1:]
        assert tuning.shape == (50, n_features)
        assert channel.grid**2 == n_positions
        np.testing.assert_allclose(tuning.sum(axis=1), 0.5)
