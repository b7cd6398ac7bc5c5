"""Simulated responses to the test images: of the source's vertices, as its other responses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from orchestrator.ingest.__main__ import main
from orchestrator.ingest.algonauts.files import find_subjects
from orchestrator.ingest.checked import Findings
from orchestrator.ingest.simulate.algonauts import (
    SimulationSettings,
    noise_ceiling_file,
    plant,
    show,
    simulate,
)
from orchestrator.ingest.simulate.challenge_responses import write_challenge_responses
from orchestrator.submit.challenge_files import ChallengeSubject, inspect_subject

SETTINGS = SimulationSettings((1,), n_images=40, n_shared=10, n_test_images=60, image_size=32)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("challenge")
    simulate(folder / "src", SETTINGS)
    write_challenge_responses(folder / "measured", SETTINGS)
    return folder


def read(home: Path) -> ChallengeSubject:
    findings = Findings()
    [files] = find_subjects(home / "src", None, None)
    found = inspect_subject(files, home / "measured", findings, simulated=True)
    findings.raise_if_any()
    assert found is not None
    return found


def test_submit_reads_them_with_the_ceilings_as_shares_of_variance(home: Path) -> None:
    for side, hemisphere in read(home).hemispheres.items():
        assert hemisphere.measured is not None
        assert hemisphere.measured.responses.shape == (60, hemisphere.n_vertices)
        ceilings = np.load(noise_ceiling_file(home / "src", 1, side))
        np.testing.assert_allclose(hemisphere.measured.noise_ceiling, ceilings**2, rtol=1e-6)


def test_they_are_the_planted_signal_of_the_source_s_vertices_with_new_noise(home: Path) -> None:
    """The signal of all images together: of the first ones it is that of the training responses."""
    shown = show(1, SETTINGS, None)
    planted = plant(1, shown.scenes, shown.images, SETTINGS, n_reference=40)
    for side, hemisphere in read(home).hemispheres.items():
        _, responses = planted[side]
        fmri = home / f"src/subj01/training_split/training_fmri/{side}_training_fmri.npy"
        np.testing.assert_allclose(responses.measured[:40], np.load(fmri), atol=1e-3)
        ceiling = responses.noise_ceiling
        signal, measured = responses.signal[40:], np.asarray(hemisphere.measured.responses)
        noise = measured - ceiling * signal
        assert noise.std() == pytest.approx(np.sqrt(1 - np.square(ceiling).mean()), rel=0.02)
        alive = ceiling > 0
        r = [
            np.corrcoef(a, b)[0, 1] for a, b in zip(signal.T[alive], measured.T[alive], strict=True)
        ]
        assert np.mean(r) == pytest.approx(ceiling[alive].mean(), abs=0.05)
        assert not np.array_equal(measured[:40], np.load(fmri))


REFUSED = {
    "another layout": (("--layout", "nod"), "--test-responses: not available with --layout nod"),
    "within the source": ((), "expected a directory outside of src"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_options_are_one_line(
    tmp_path: Path,
    case: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments, message = REFUSED[case]
    monkeypatch.chdir(tmp_path)
    command = ["simulate", "--out", "src", "--test-responses", "src/measured", *arguments]
    assert main(command) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
    assert list(tmp_path.iterdir()) == []


def test_those_of_other_settings_are_not_replaced(home: Path) -> None:
    with pytest.raises(ValueError, match="holds the simulation"):
        write_challenge_responses(home / "measured", replace(SETTINGS, seed=1))
