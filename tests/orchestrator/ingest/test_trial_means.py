"""Means over the trials of an image: z-scored by session, whatever the blocks."""

import numpy as np
import pytest

from orchestrator.ingest import trial_means
from orchestrator.ingest.trial_means import (
    NOT_KEPT,
    Block,
    TrialMeans,
    TrialRows,
    column_blocks,
    scratch_bytes,
)

N_COLUMNS = {"lh": 7, "rh": 4}
TRIALS = TrialRows(
    tuple(np.array(rows, np.int32) for rows in ([0, 1, 0, 2], [2, 3, NOT_KEPT], [3, 1, 4, 4, 1])),
    n_rows=5,
)


def sessions(seed: int = 0) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [
        {name: rng.normal(3, 2, (len(rows), n)).astype(np.float32) for name, n in N_COLUMNS.items()}
        for rows in TRIALS.sessions
    ]


def by_hand(values, hemisphere: str, zscores: bool = True) -> np.ndarray:
    """Average trial by trial, in float64; invalid sessions are left out."""
    kept = [[[] for _ in range(N_COLUMNS[hemisphere])] for _ in range(TRIALS.n_rows)]
    for rows, session in zip(TRIALS.sessions, values, strict=True):
        for column in range(N_COLUMNS[hemisphere]):
            betas = session[hemisphere][:, column].astype(np.float64)
            if not np.isfinite(betas).all() or (zscores and np.ptp(betas) == 0):
                continue
            if zscores:
                betas = (betas - betas.mean()) / betas.std(ddof=0)
            for row, beta in zip(rows, betas, strict=True):
                if row != NOT_KEPT:
                    kept[row][column].append(beta)
    return np.array([[np.mean(c) if c else np.nan for c in row] for row in kept])


def means_of(values, folder, width: int = 3, **options) -> TrialMeans:
    folder.mkdir()
    means = TrialMeans(folder, N_COLUMNS, TRIALS, **options)

    def reader(session: int):
        for name, n in N_COLUMNS.items():
            for start in range(0, n, width):
                columns = slice(start, min(start + width, n))
                yield Block(name, columns, values[session][name][:, columns])

    means.read(reader)
    return means


@pytest.mark.parametrize("zscores", [True, False])
@pytest.mark.parametrize("width", [1, 3, 7])
def test_rows_are_means_of_their_trials(tmp_path, zscores, width):
    values = sessions()
    found = means_of(values, tmp_path / "scratch", width, zscores=zscores).rows()
    for name in N_COLUMNS:
        expected = by_hand(values, name, zscores)
        np.testing.assert_allclose(found[name][0:5], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(found[name][2:4], found[name][0:5][2:4])


def test_a_vertex_that_is_invalid_in_a_session_is_left_out_of_its_means(tmp_path):
    values = sessions(1)
    values[0]["lh"][:, 2] = np.nan
    values[1]["lh"][:, 3] = 0  # constant, as where int16 files have no data
    values[2]["lh"][1, 5] = np.inf
    rows = means_of(values, tmp_path / "scratch").rows()["lh"]
    expected = by_hand(values, "lh")
    np.testing.assert_allclose(rows[0:5], expected, rtol=1e-5, atol=1e-6)
    assert np.isnan(expected[0, 2])
    assert not np.isnan(expected[3, 3])
    assert np.flatnonzero(~np.isnan(expected).any(axis=0)).tolist() == [0, 1, 3, 4, 6]
    complete = rows.complete()
    assert complete.columns.tolist() == [0, 1, 3, 4, 6]
    np.testing.assert_array_equal(complete[1:3], rows[1:3][:, [0, 1, 3, 4, 6]])


def test_what_is_added_can_be_watched(tmp_path):
    values, seen = sessions(2), {}
    values[1]["rh"][:, 0] = np.nan
    (tmp_path / "scratch").mkdir()
    means = TrialMeans(tmp_path / "scratch", N_COLUMNS, TRIALS)
    whole = {name: slice(0, n) for name, n in N_COLUMNS.items()}
    means.read(
        lambda session: [Block(name, whole[name], values[session][name]) for name in whole],
        lambda session, block: seen.update({(session, block.hemisphere): block.values}),
    )
    assert len(seen) == 6
    assert np.isnan(seen[1, "rh"][:, 0]).all()
    for block in seen.values():
        usable = block[:, ~np.isnan(block[0])]
        np.testing.assert_allclose(usable.mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(usable.std(axis=0), 1, atol=1e-6)


def test_a_session_of_another_length_is_refused(tmp_path):
    means = TrialMeans(tmp_path, N_COLUMNS, TRIALS)
    with pytest.raises(ValueError, match="expected 4 trials, found 3"):
        means.add(0, Block("lh", slice(0, 7), np.zeros((3, 7), np.float32)))


def test_scratch_files_have_the_size_that_was_announced(tmp_path):
    means_of(sessions(), tmp_path / "scratch")
    there = sum(path.stat().st_size for path in (tmp_path / "scratch").iterdir())
    assert there == scratch_bytes(TRIALS.n_rows, N_COLUMNS) == 5 * 11 * 4


def test_blocks_cover_all_columns_within_the_limit(monkeypatch):
    monkeypatch.setattr(trial_means, "BLOCK_BYTES", 1000)
    assert [(b.start, b.stop) for b in column_blocks(50, 12)] == [(0, 5), (5, 10), (10, 12)]
    assert [(b.start, b.stop) for b in column_blocks(1000, 2)] == [(0, 1), (1, 2)]
