"""Noise ceilings by class of images: those of a perfect model, from uneven repeats."""

import numpy as np
import pytest

from orchestrator.ingest.noise_ceilings import RepeatStatistics, noise_left
from orchestrator.ingest.nsd_synthetic.class_ceilings import CLASS_CEILING_SCHEMA, ClassCeilings

N_VERTICES = 1500
SPREAD = {"vivid": 1.5, "faint": 0.5, "small": 1.0}
CLASSES = ["vivid"] * 36 + ["faint"] * 40 + ["small"] * 9
N_TRIALS = np.resize([2, 2, 4, 2, 8, 2, 10], len(CLASSES))


@pytest.fixture(scope="module")
def planted() -> tuple[ClassCeilings, np.ndarray, np.ndarray]:
    """Ceilings of planted trials, noise of 1 each; the signal and the mean responses."""
    rng = np.random.default_rng(0)
    spread = np.array([SPREAD[name] for name in CLASSES])[:, None]
    signal = spread * rng.standard_normal((len(CLASSES), N_VERTICES))
    shown = rng.permutation(np.repeat(np.arange(len(CLASSES)), N_TRIALS)).astype(np.int32)
    trials = signal[shown] + rng.standard_normal((len(shown), N_VERTICES))
    found = ClassCeilings(shown, CLASSES, {"lh": N_VERTICES})
    for start in range(0, N_VERTICES, 500):
        columns = slice(start, start + 500)
        found.add("lh", columns, trials[:, columns])
    means = np.stack([trials[shown == image].mean(axis=0) for image in range(len(CLASSES))])
    return found, signal, means


@pytest.mark.parametrize("name", ["vivid", "faint"])
def test_the_ceiling_of_a_class_is_the_r_of_a_perfect_model_on_it(planted, name) -> None:
    ceilings, signal, means = planted
    table = ceilings.table()
    assert table.schema.equals(CLASS_CEILING_SCHEMA)
    [row] = [one for one in table.to_pylist() if one["class"] == name]
    chosen = np.array([one == name for one in CLASSES])
    pairs = zip(signal[chosen].T, means[chosen].T, strict=True)
    r = np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs])
    assert row["n_images"] == chosen.sum()
    left = row["noise_left"]
    assert left == pytest.approx(np.mean(1 / N_TRIALS[chosen]))
    found = np.square(np.array(row["noise_ceiling"]))
    assert np.sqrt(found.mean()) == pytest.approx(r, rel=0.03)
    truth = SPREAD[name] ** 2 / (SPREAD[name] ** 2 + left)
    assert np.mean(left * found / (1 - found)) == pytest.approx(SPREAD[name] ** 2, rel=0.03)
    assert abs(np.median(found) - truth) < 0.03


def test_all_images_have_the_ceiling_of_their_repeats_and_few_have_none(planted) -> None:
    ceilings, _, _ = planted
    assert {row["class"] for row in ceilings.table().to_pylist()} == set(SPREAD)
    [small] = [one for one in ceilings.table().to_pylist() if one["class"] == "small"]
    assert np.isnan(small["noise_ceiling"]).all()
    squares = np.square(ceilings.of_all("lh").astype(float))
    left = noise_left(N_TRIALS)
    signal = np.mean([SPREAD[name] ** 2 for name in CLASSES])
    assert np.mean(left * squares / (1 - squares)) == pytest.approx(signal, rel=0.1)


def test_noise_of_more_images_than_a_class_has_is_taken() -> None:
    """Against the formula: the variance between images, less the noise that is given."""
    rng, found = np.random.default_rng(1), RepeatStatistics(3)
    trials = rng.standard_normal((12, 2, 3))
    for image in trials:
        found.add(image)
    noise = np.array([0.2, 1.0, np.nan])
    between = 2 * trials.mean(axis=1).var(axis=0, ddof=1)
    signal = np.maximum(between - noise, 0) / 2
    np.testing.assert_allclose(found.ncsnr(noise)[:2] ** 2, (signal / noise)[:2], rtol=1e-9)
    assert np.isnan(found.ncsnr(noise)[2])
    own = trials.var(axis=1, ddof=1).mean(axis=0)
    np.testing.assert_allclose(found.noise_variance(), own, rtol=1e-9)
