"""Noise ceilings from NSD's ncsnr: the formula against a simulation, and what is refused."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from orchestrator.cli.errors import InputError
from orchestrator.ingest.__main__ import main
from orchestrator.ingest.algonauts.files import find_subjects
from orchestrator.ingest.noise_ceilings import (
    RepeatStatistics,
    ceiling_from_ncsnr,
    ceiling_of,
    noise_left,
    parse_repeats,
    read_ceiling,
)
from tests.builders.algonauts_folder import N_VERTICES, write_folder
from trainables.data.data_directory import VERTICES


def write_ncsnr(folder, subject=1):
    for hemisphere, n_vertices in N_VERTICES.items():
        path = folder / f"subj{subject:02d}" / f"{hemisphere}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.linspace(0.0, 1.5, n_vertices))
    return folder


@pytest.mark.parametrize("repeats", ["1", "3", "2000,3000,5000"])
def test_the_ceiling_is_the_r_of_a_perfect_model(repeats) -> None:
    """Planted: signal of standard deviation s, noise of 1 a trial, means over trials."""
    rng, s = np.random.default_rng(0), 0.6
    counts = parse_repeats(repeats)
    per_image = np.repeat(np.arange(1, len(counts) + 1), np.array(counts) * 10_000 // sum(counts))
    signal = s * rng.standard_normal(len(per_image))
    measured = signal + rng.standard_normal(len(per_image)) / np.sqrt(per_image)
    (ceiling,) = ceiling_from_ncsnr(np.array([s]), counts)
    assert ceiling == pytest.approx(np.corrcoef(signal, measured)[0, 1], abs=0.02)


def test_the_published_formula_gives_the_squared_ceiling() -> None:
    s, (a, b, c) = np.array([0.0, 0.3, 1.2]), (600, 900, 7341)
    expected = s**2 / (s**2 + (a + b / 2 + c / 3) / (a + b + c))
    np.testing.assert_allclose(ceiling_from_ncsnr(s, (a, b, c)) ** 2, expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        ceiling_from_ncsnr(s, parse_repeats("3")) ** 2, s**2 / (s**2 + 1 / 3), rtol=0, atol=1e-9
    )


def test_what_is_not_known_stays_unknown() -> None:
    assert np.isnan(ceiling_from_ncsnr(np.array([np.nan, 0.5]), (0, 0, 1))).tolist() == [
        True,
        False,
    ]


@pytest.mark.parametrize("text", ["", "0", "three", "-1", "1.5", "0,0", "1,,2", "9841"])
def test_repeats_that_are_none_are_refused(text) -> None:
    with pytest.raises(InputError, match="--repeats"):
        parse_repeats(text)


@pytest.mark.parametrize(
    ("ncsnr", "text"),
    [
        (np.ones(9), "9 values of ncsnr, but the responses have 10 vertices"),
        (np.ones((10, 1)), "expected one float per vertex"),
        (np.ones(10, int), "expected one float per vertex"),
        (np.r_[-0.1, np.ones(9)], "1 negative or infinite, at vertices 0"),
        (np.r_[np.ones(9), np.inf], "at vertices 9"),
    ],
)
def test_wrong_ncsnr_is_refused(tmp_path, ncsnr, text) -> None:
    np.save(tmp_path / "lh.npy", ncsnr)
    with pytest.raises(InputError, match=text):
        read_ceiling(tmp_path / "lh.npy", 10, (1,))


def test_other_repeats_are_another_source(tmp_path) -> None:
    root, folder = write_folder(tmp_path / "source").root, write_ncsnr(tmp_path / "ncsnr")
    digests = {find_subjects(root, None, folder, r)[0].digest() for r in (None, (1,), (0, 1))}
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--ncsnr", "x"), "belong together"),
        (("--repeats", "3"), "belong together"),
        (("--ncsnr", "x", "--repeats", "3", "--noise-ceiling", "y"), "leave --ncsnr"),
        (("--ncsnr", "x", "--repeats", "0"), "--repeats '0'"),
        (("--ncsnr", "x", "--repeats", "3"), "lh.npy: ncsnr missing"),
    ],
)
def test_flags_that_do_not_fit_are_code_2(tmp_path, capsys, flags, text) -> None:
    root = write_folder(tmp_path / "source").root
    out = tmp_path / "data"
    assert main(["algonauts", str(root), "--out", str(out), "--split", "paper", *flags]) == 2
    assert text in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.ray
def test_ingest_stores_the_computed_ceilings(tmp_path, local_ray) -> None:
    root, out = write_folder(tmp_path / "source").root, tmp_path / "data"
    ncsnr = write_ncsnr(tmp_path / "ncsnr")
    arguments = ["algonauts", str(root), "--out", str(out), "--split", "paper"]
    assert main([*arguments, "--ncsnr", str(ncsnr), "--repeats", "3"]) == 0
    rows = pq.read_table(out / "nsd-subj01" / VERTICES).to_pylist()
    left = [row["noise_ceiling"] for row in rows if row["hemisphere"] == "lh"]
    s = np.linspace(0.0, 1.5, N_VERTICES["lh"])
    np.testing.assert_allclose(left, np.sqrt(s**2 / (s**2 + 1 / 3)), rtol=1e-5)


def repeated(trials, s, n_vertices=400):
    """Add images of the given numbers of trials, with signal of deviation s and noise of 1."""
    rng, found = np.random.default_rng(1), RepeatStatistics(n_vertices)
    for n in trials:
        signal = 3 + s * rng.standard_normal(n_vertices)
        found.add(signal + rng.standard_normal((n, n_vertices)))
    return found


@pytest.mark.parametrize("trials", [[3] * 300, [1, 2, 3, 4] * 100, [12] * 100, [2] * 400])
@pytest.mark.parametrize("s", [0.5, 1.2])
def test_planted_noise_is_recovered_from_repeats(trials, s) -> None:
    found, left = repeated(trials, s), noise_left(np.array([3, 3, 2]))
    expected = ceiling_of(np.array([s]), left)
    assert np.sqrt(np.mean(found.ncsnr() ** 2)) == pytest.approx(s, rel=0.03)
    for ncsnr in (found.ncsnr(), found.ncsnr_of_halves()):
        assert np.mean(ceiling_of(ncsnr, left)) == pytest.approx(float(expected[0]), rel=0.03)


def test_ncsnr_is_that_of_the_definition() -> None:
    """For equal numbers of trials: total less mean within-image variance, for few images."""
    x = np.random.default_rng(2).standard_normal((20, 3, 5)) + np.arange(20)[:, None, None] / 5
    found = RepeatStatistics(5)
    for trials in x:
        found.add(trials)
    noise = x.var(axis=1, ddof=1).mean(axis=0)
    total = x.reshape(60, 5).var(axis=0, ddof=1)
    exact = (total - noise) * 59 / (60 - 3) / noise  # the images' share of the degrees of freedom
    np.testing.assert_allclose(found.ncsnr() ** 2, exact, rtol=1e-9)


def test_halves_of_equal_trials_are_corrected_by_spearman_brown() -> None:
    x = np.random.default_rng(3).standard_normal((40, 4, 1)) + np.arange(40)[:, None, None] / 10
    found = RepeatStatistics(1)
    for trials in x:
        found.add(trials)
    r = np.corrcoef(x[:, ::2, 0].mean(axis=1), x[:, 1::2, 0].mean(axis=1))[0, 1]
    reliability = ceiling_of(found.ncsnr_of_halves(), 1 / 4)[0] ** 2
    assert reliability == pytest.approx(2 * r / (1 + r), abs=1e-9)


def test_too_few_repeats_give_no_ceiling() -> None:
    for trials in ([1] * 100, [3] * 9):
        found = repeated(trials, 1.0, n_vertices=2)
        assert np.isnan(found.ncsnr()).all()
        assert np.isnan(found.ncsnr_of_halves()).all()
