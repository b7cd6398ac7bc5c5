"""ncsnr from sessions that come one after another, against the trials held in memory."""

import numpy as np
import pytest

from orchestrator.ingest import trial_means
from orchestrator.ingest.noise_ceilings import RepeatStatistics
from orchestrator.ingest.repeated_trials import RepeatedTrials, repeated_images
from orchestrator.ingest.trial_means import Block, zscored

N_VERTICES, S = 60, 0.8


def measured(n_images: int):
    """Plant signal of deviation S and noise of 1 in three sessions, image by image uneven.

    Vertex 0 has no data in the last session.
    """
    rng = np.random.default_rng(3)
    shown = rng.permutation(np.repeat(np.arange(n_images), rng.integers(1, 5, n_images)))
    signal = S * rng.standard_normal((n_images, N_VERTICES))
    sessions = tuple(np.array_split(shown, 3))
    values = [
        (signal[part] + rng.standard_normal((len(part), N_VERTICES))).astype(np.float32)
        for part in sessions
    ]
    values[2][:, 0] = np.nan
    return sessions, values


def streamed(folder, sessions, values):
    found = RepeatedTrials(folder, {"lh": N_VERTICES}, repeated_images(sessions))
    for number, session in enumerate(values):
        for columns in (slice(0, 25), slice(25, N_VERTICES)):
            found.add(number, Block("lh", columns, session[:, columns]))
    return found.ncsnr()["lh"]


def test_sessions_give_the_ncsnr_of_all_trials(tmp_path, monkeypatch) -> None:
    """Also where a vertex lacks a session, and few images are read at once."""
    monkeypatch.setattr(trial_means, "BLOCK_BYTES", 4 * N_VERTICES * 7)
    sessions, values = measured(80)
    shown, trials = np.concatenate(sessions), np.concatenate(values)
    expected = []
    for vertex in range(N_VERTICES):
        statistics = RepeatStatistics(1)
        for image in np.unique(shown):
            of_image = trials[shown == image, vertex]
            statistics.add(of_image[np.isfinite(of_image), None])
        expected.append(statistics.ncsnr()[0])
    np.testing.assert_allclose(streamed(tmp_path, sessions, values), expected, rtol=1e-5)


def test_planted_ncsnr_is_recovered_from_sessions_of_any_scale(tmp_path) -> None:
    sessions, values = measured(2000)
    scaled = [zscored(5 * number + (1 + number) * one) for number, one in enumerate(values)]
    found = streamed(tmp_path, sessions, scaled)
    assert np.sqrt(np.mean(found**2)) == pytest.approx(S, rel=0.03)


def test_images_of_one_trial_have_no_row() -> None:
    found = repeated_images((np.array([5, 2]), np.array([2, 9, 9])))
    assert found.n_rows == 2
    assert [rows.tolist() for rows in found.sessions] == [[-1, 0], [0, 1, 1]]
