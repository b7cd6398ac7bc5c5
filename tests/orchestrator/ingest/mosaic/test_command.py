"""The command over subjects of several data sets; Ray's decoding is done in this process."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from orchestrator.ingest.__main__ import main
from orchestrator.ingest.images import decode_image
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import Manifest, list_rois


@pytest.fixture
def without_ray(monkeypatch) -> None:
    def stream(images, sizes, fit):
        [size] = sizes
        for row, image in enumerate(images):
            yield row, pa.array([decode_image(image, size).tobytes()], pa.binary(3 * size * size))

    monkeypatch.setattr("orchestrator.cluster.connection.connect", lambda num_cpus: None)
    monkeypatch.setattr("orchestrator.ingest.images.stream_images", stream)


def simulate(out: Path, *options: str) -> None:
    sizes = ["--n-images", "10", "--image-size", "32"]
    command = ["simulate", "--layout", "mosaic", "--subjects", "1", "--out", str(out)]
    assert main([*command, *sizes, *options]) == 0


def as_another_data_set(source: Path) -> None:
    """Give a simulated folder the names of NOD, whose files are named as ImageNet's."""
    import h5py

    (source / "sub-01_NSD.hdf5").rename(source / "sub-01_NOD.hdf5")
    table = source / "stimulus_info/nsd_stiminfo.tsv"
    table.rename(table.with_name("nod_stiminfo.tsv"))
    (source / "stimuli/NSD").rename(source / "stimuli/NOD")
    with h5py.File(source / "sub-01_NOD.hdf5", "r+") as file:
        file.attrs["dataset_name"] = "NaturalObjectDataset"
        for group in ("betas", "noiseceilings"):
            for name in list(file[group]):
                file[group].move(name, name.replace("_NSD_", "_NOD_"))


def test_subjects_of_several_data_sets_lie_in_one_directory(tmp_path, without_ray, capsys) -> None:
    nsd, nod, data = tmp_path / "nsd", tmp_path / "nod", tmp_path / "data"
    simulate(nsd)
    simulate(nod, "--seed", "1")
    as_another_data_set(nod)
    command = ["mosaic", str(nsd / "sub-01_NSD.hdf5"), str(nod), "--out", str(data)]
    command += ["--stimuli", f"NSD={nsd}/stimuli", "--stimuli", f"nod={nod}/stimuli"]
    command += ["--image-size", "8", "--areas", "V1,V2", "--stimulus-info"]
    tables = tmp_path / "tables"
    tables.mkdir()
    for folder in (nsd, nod):
        (table,) = (folder / "stimulus_info").iterdir()
        (tables / table.name).write_bytes(table.read_bytes())
    assert main([*command, str(tables)]) == 0
    shown = capsys.readouterr().out
    assert "mosaic-nsd-sub-01" in shown
    assert "mosaic-nod-sub-01" in shown
    manifests = {path.name: Manifest.read(path) for path in DataDirectory(data).shards()}
    assert list(manifests) == ["mosaic-nod-sub-01", "mosaic-nsd-sub-01"]
    assert manifests["mosaic-nod-sub-01"].content != manifests["mosaic-nsd-sub-01"].content
    assert all(manifest.is_simulated for manifest in manifests.values())
    assert len(list_rois(DataDirectory(data))) == 8
    # Nothing is written again, and other choices are refused.
    assert main([*command, str(tables)]) == 0
    assert "was there" in capsys.readouterr().out
    assert main([*command, str(tables), "--split", "stimulus"]) == 2
    assert "its split is 'phase', not 'stimulus'" in capsys.readouterr().err


def test_simulated_and_measured_subjects_are_not_mixed(tmp_path, capsys) -> None:
    source = tmp_path / "source"
    simulate(source)
    measured = tmp_path / "measured"
    measured.mkdir()
    (source / "sub-01_NSD.hdf5").rename(measured / "sub-02_NSD.hdf5")
    simulate(tmp_path / "again")
    (tmp_path / "again/sub-01_NSD.hdf5").rename(source / "sub-01_NSD.hdf5")
    command = ["mosaic", str(source), str(measured), "--out", str(tmp_path / "data")]
    capsys.readouterr()
    assert main(command) == 2
    assert "simulated and measured subjects; give them" in capsys.readouterr().err


def test_check_recognises_the_layout_and_writes_nothing(source, capsys) -> None:
    before = sorted(source.root.rglob("*"))
    assert main(["check", str(source.root)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "layout of `ingest mosaic`, split phase" in shown
    assert "mosaic-nsd-sub-01" in shown
    assert sorted(source.root.rglob("*")) == before
    assert main(["task", str(source.root), "--out", "data", "--name", "task"]) == 2
    assert "found that of `ingest mosaic`; use that command" in capsys.readouterr().err


def test_without_files_there_is_one_line(tmp_path, capsys) -> None:
    assert main(["mosaic", "--out", str(tmp_path)]) == 2
    assert "FILES: none given; give files such as" in capsys.readouterr().err


def test_permuted_responses_are_those_of_other_images(tmp_path) -> None:
    import h5py

    simulate(tmp_path / "plain")
    simulate(tmp_path / "permuted", "--permute-responses")
    held = []
    for name in ("plain", "permuted"):
        with h5py.File(tmp_path / name / "sub-01_NSD.hdf5") as file:
            betas = file["betas"]
            held.append({trial: betas[trial][5:9000] for trial in betas})
    plain, permuted = held
    assert set(plain) == set(permuted)
    assert not all(np.array_equal(plain[trial], permuted[trial], equal_nan=True) for trial in plain)
