"""Finding and inspecting a sound Algonauts folder."""

import numpy as np
import pytest
from PIL import Image

from orchestrator.cli.errors import InputError
from orchestrator.cli.selection import parse_subjects
from orchestrator.ingest.algonauts.files import find_subjects
from orchestrator.ingest.images import decode_image
from tests.builders.algonauts_folder import (
    NAMES,
    image_of,
    place,
    responses_of,
    stimulus_of,
    write_folder,
    write_noise_ceilings,
)
from tests.builders.algonauts_ingest import inspect
from tests.builders.checked_layout import require_checked

LAYOUTS = ("subject-first", "split-first")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_both_layouts_are_found(tmp_path, layout):
    write_folder(tmp_path, (1, 2, 7), layout=layout)
    found = find_subjects(tmp_path, None, None)
    assert [files.subject for files in found] == ["subj01", "subj02", "subj07"]
    assert [files.shard for files in found] == ["nsd-subj01", "nsd-subj02", "nsd-subj07"]
    assert found[0].responses["rh"] == place(tmp_path, 1, layout).responses("rh")
    assert {family for _, family in found[0].masks} == set(NAMES)


def test_both_layouts_hold_the_same(tmp_path):
    first, second = (inspect(write_folder(tmp_path / a, layout=a).root) for a in LAYOUTS)
    assert first.source == second.source
    assert first.stimuli == second.stimuli
    assert [path.name for path in first.images] == [path.name for path in second.images]
    for hemisphere in ("lh", "rh"):
        one, other = first.hemispheres[hemisphere], second.hemispheres[hemisphere]
        assert {roi: v.tolist() for roi, v in one.regions.items()} == {
            roi: v.tolist() for roi, v in other.regions.items()
        }


@pytest.mark.parametrize("name", ["Subj01", "subj1", "SUBJ1", "Subj1"])
def test_folder_names_of_either_case_and_width_are_the_same_subject(tmp_path, name):
    write_folder(tmp_path, layout="split-first")
    for part in ("training_images", "training_fmri", "roi_masks"):
        (tmp_path / part / "Subj1").rename(tmp_path / part / "x")
        (tmp_path / part / "x").rename(tmp_path / part / name)
    assert inspect(tmp_path).subject == "subj01"


def test_only_wanted_subjects_are_found(tmp_path):
    write_folder(tmp_path, (1, 2, 3))
    found = find_subjects(tmp_path, (3, 1), None)
    assert [files.subject for files in found] == ["subj01", "subj03"]


def test_every_subject_that_is_not_there_is_named_with_those_that_are(tmp_path):
    write_folder(tmp_path, (1, 2))
    with pytest.raises(InputError) as error:
        find_subjects(tmp_path, (2, 5, 6), None)
    assert len(error.value.lines) == 2
    assert "subject 5 is not there, only subj01, subj02" in error.value.lines[0]


def test_a_subjects_regions_are_read(tmp_path):
    subject = inspect(write_folder(tmp_path).root)
    left, right = subject.hemispheres["lh"], subject.hemispheres["rh"]
    assert {roi: v.tolist() for roi, v in left.regions.items()} == {
        "V1v": [1, 2, 3],
        "V1d": [4, 5],
        "V2v": [8],
        "EBA": [0, 1, 2],
        "FBA-1": [7, 8],
        "early": [0, 1, 2, 3, 4, 5],
        "ventral": [8, 9],
    }
    assert {roi: v.tolist() for roi, v in right.regions.items()} == {
        "V1v": [0, 1],
        "V2d": [5, 6, 7],
        "EBA": [3],
    }


def test_vertex_counts_come_from_the_files(tmp_path):
    subject = inspect(write_folder(tmp_path).root)
    assert {name: half.n_vertices for name, half in subject.hemispheres.items()} == {
        "lh": 10,
        "rh": 8,
    }


def test_stimuli_and_images_are_in_row_order(tmp_path):
    subject = inspect(write_folder(tmp_path, (2,)).root, 2)
    assert subject.stimuli == tuple(f"nsd-{stimulus_of(2, row):05d}" for row in range(12))
    assert [path.name[:10] for path in subject.images] == [f"train-{k:04d}" for k in range(1, 13)]


def test_the_mesh_gives_each_vertex_its_place_on_fsaverage(tmp_path):
    subject = inspect(write_folder(tmp_path).root)
    assert subject.hemispheres["rh"].fsaverage.tolist() == list(range(3, 11))


def test_the_mesh_is_optional(tmp_path):
    folder = write_folder(tmp_path)
    folder.mesh("lh").unlink()
    folder.mesh("rh").unlink()
    assert inspect(tmp_path).hemispheres["lh"].fsaverage is None


def test_noise_ceilings_are_read_when_given(tmp_path):
    write_folder(tmp_path / "source")
    write_noise_ceilings(tmp_path / "ceilings")
    subject = inspect(tmp_path / "source", noise_ceilings=tmp_path / "ceilings")
    np.testing.assert_allclose(
        subject.hemispheres["lh"].noise_ceiling, np.linspace(0.2, 0.9, 10), rtol=1e-6
    )
    assert inspect(tmp_path / "source").hemispheres["lh"].noise_ceiling is None


def test_hidden_files_among_the_images_are_no_images(tmp_path):
    folder = write_folder(tmp_path)
    (folder.images / ".DS_Store").write_bytes(b"\0")
    assert len(inspect(tmp_path).images) == 12


def test_responses_of_any_float_type_and_memory_order_are_sound(tmp_path):
    folder = write_folder(tmp_path)
    np.save(folder.responses("lh"), np.asfortranarray(responses_of(1, "lh").astype(np.float64)))
    np.save(folder.responses("rh"), responses_of(1, "rh").astype(np.float16))
    assert inspect(tmp_path).hemispheres["lh"].n_vertices == 10


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: np.save(folder.mask("lh"), np.roll(np.load(folder.mask("lh")), 1)),
        lambda folder: folder.image(3).write_bytes(folder.image(3).read_bytes() + b"\0"),
        lambda folder: folder.image(3).unlink(),
        lambda folder: np.save(folder.responses("lh"), 2 * responses_of(1, "lh")),
        lambda folder: np.save(folder.responses("rh"), responses_of(1, "rh")[::-1]),
        lambda folder: np.save(folder.mapping(), {1: "V1d", 2: "V1v", 3: "V2v", 4: "V2d"}),
    ],
)
def test_a_changed_source_has_another_digest(tmp_path, change):
    folder = write_folder(tmp_path)
    (before,) = find_subjects(tmp_path, None, None)
    digest = before.digest()
    assert before.digest() == digest
    change(folder)
    assert find_subjects(tmp_path, None, None)[0].digest() != digest


def test_an_image_is_resized_whole_channels_first(tmp_path):
    image = image_of(1, 0, 40)
    image.resize((30, 50)).save(tmp_path / "a.png")
    decoded = decode_image(tmp_path / "a.png", 8)
    expected = np.asarray(image.resize((30, 50)).resize((8, 8), Image.Resampling.BILINEAR))
    assert decoded.shape == (3, 8, 8)
    np.testing.assert_array_equal(decoded, expected.transpose(2, 0, 1))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "I;16"])
def test_images_of_other_modes_become_rgb(tmp_path, mode):
    base = Image.new("L", (9, 9), 255)
    (Image.new(mode, (9, 9), 65535) if mode == "I;16" else base.convert(mode)).save(
        tmp_path / "a.png"
    )
    assert (decode_image(tmp_path / "a.png", 4) == 255).all()


@pytest.mark.parametrize(
    ("text", "subjects"),
    [("1", (1,)), ("1,5-8", (1, 5, 6, 7, 8)), ("8, 2-3,3", (2, 3, 8)), ("4-4", (4,))],
)
def test_lists_of_subjects_are_read(text, subjects):
    assert parse_subjects(text) == subjects


@pytest.mark.parametrize("text", ["", "a", "1,", "3-1", "0", "-2", "1-", "1-2-3", "1.5", "²"])
def test_other_lists_are_refused(text):
    with pytest.raises(
        InputError, match=r"expected numbers and ranges|is not a range within 1 to 999"
    ):
        parse_subjects(text)


def test_check_lists_the_problems_of_algonauts(tmp_path, capsys):
    source = write_folder(tmp_path / "source", (1, 2)).root
    require_checked(source, "algonauts", "nsd-subj02", "lh_training_fmri.npy", capsys)
