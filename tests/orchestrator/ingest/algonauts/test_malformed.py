"""Malformed sources are refused in lines that say what was found, where, and the cure."""

from pathlib import Path

import numpy as np
import pytest

from tests.builders.algonauts_folder import (
    Folder,
    place,
    responses_of,
    write_folder,
)
from tests.builders.refused_ingest import cut, errors_of


def save_responses(hemisphere, change):
    def damage(folder: Folder) -> None:
        np.save(folder.responses(hemisphere), change(responses_of(1, hemisphere)))

    return damage


def with_values(**values):
    def change(responses):
        for where, value in values.items():
            row, vertex = map(int, where.split("_")[1:])
            responses[row, vertex] = value
        return responses

    return change


def unlink(*paths: Path) -> None:
    for path in paths:
        path.unlink()


def rename(path: Path, name: str) -> None:
    path.rename(path.with_name(name))


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def damage_pixels(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)


def relabel(path: Path, label: int) -> None:
    labels = np.load(path)
    labels[0] = label
    np.save(path, labels)


MALFORMED = {
    "fewer responses than images": (
        save_responses("lh", lambda r: r[:11]),
        "lh_training_fmri.npy: 11 rows of responses, but 12 images in",
    ),
    "more responses than images": (
        lambda f: f.image(11).unlink(),
        "lh_training_fmri.npy: 12 rows of responses, but 11 images in",
        "rh_training_fmri.npy: 12 rows of responses, but 11 images in",
    ),
    "a truncated image": (lambda f: cut(f.image(4)), "train-0005_nsd-00400.png: not a readable"),
    "an image with a changed byte": (
        lambda f: damage_pixels(f.image(2)),
        "train-0003_nsd-00200.png: not a readable image",
    ),
    "an empty image": (
        lambda f: f.image(0).write_bytes(b""),
        "train-0001_nsd-00000.png: not a readable image",
    ),
    "a web page instead of an image": (
        lambda f: f.image(0).write_text("<html>Log in</html>"),
        "train-0001_nsd-00000.png: not a readable image",
    ),
    "a folder instead of an image": (
        lambda f: (f.image(0).unlink(), (f.images / "train-0001_nsd-00000.png").mkdir()),
        "train-0001_nsd-00000.png: not a readable image",
    ),
    "NaN responses": (
        save_responses("rh", with_values(at_3_5=np.nan, at_4_5=np.nan, at_0_7=np.nan)),
        "rh_training_fmri.npy: 3 responses are NaN or infinite, in 2 of 8 vertices: 5, 7;",
    ),
    "infinite responses": (
        save_responses("lh", with_values(at_0_0=np.inf, at_1_9=-np.inf)),
        "lh_training_fmri.npy: 2 responses are NaN or infinite, in 2 of 10 vertices: 0, 9;",
    ),
    "responses that float32 can't hold": (
        save_responses("lh", lambda r: r.astype(np.float64) + 1e300 * (r == r[2, 3])),
        "1 responses are NaN or infinite, in 1 of 10 vertices: 3;",
    ),
    "NaN everywhere": (
        save_responses("lh", lambda r: r * np.nan),
        "108 responses are NaN or infinite, in 9 of 10 vertices: 0, 1, 2, 3, 4 and 4 more;",
    ),
    "a mask that is too short": (
        lambda f: np.save(f.mask("lh"), np.zeros(9, int)),
        "lh.prf-visualrois_challenge_space.npy: 9 labels, but the responses have 10 vertices",
    ),
    "the other hemisphere's mask": (
        lambda f: f.mask("rh", "streams").write_bytes(f.mask("lh", "streams").read_bytes()),
        "rh.streams_challenge_space.npy: 10 labels, but the responses have 8 vertices",
    ),
    "a mask of fractions": (
        lambda f: np.save(f.mask("rh"), np.full(8, 0.5)),
        "rh.prf-visualrois_challenge_space.npy: expected whole numbers as labels, 0 for none, "
        "found 0.5 and others, at vertices 0, 1, 2, 3, 4 and 3 more; save 0 there",
    ),
    "a mask with NaN": (
        lambda f: np.save(f.mask("rh"), np.array([1, 1, 0, np.nan, 0, 4, 4, np.inf])),
        "found nan and others, at vertices 3, 7; save 0 there",
    ),
    "a mask of two dimensions": (
        lambda f: np.save(f.mask("rh"), np.zeros((8, 1), int)),
        "expected one integer label per vertex, found int64 of (8, 1)",
    ),
    "a label without a name": (
        lambda f: relabel(f.mask("lh", "floc-bodies"), 9),
        "lh.floc-bodies_challenge_space.npy: labels without a name in the mapping: 9, the mapping "
        "names 1, 2",
    ),
    "a negative label": (
        lambda f: relabel(f.mask("lh"), -2),
        "expected whole numbers as labels, 0 for none, found -2 and others, at vertices 0; save",
    ),
    "a name of no ROI": (
        lambda f: np.save(f.mapping("floc-bodies"), {0: "Unknown", 1: "EBA", 2: "FBA1"}),
        "mapping_floc-bodies.npy: label 2 is named 'FBA1'; expected one of EBA, FBA-1",
    ),
    "a name for two labels": (
        lambda f: np.save(f.mapping("floc-bodies"), {1: "EBA", 2: "EBA "}),
        "mapping_floc-bodies.npy: EBA is the name of 2 labels",
    ),
    "a missing mask": (
        lambda f: f.mask("rh", "streams").unlink(),
        "rh.streams_challenge_space.npy: ROI mask missing; download",
    ),
    "a missing mapping": (
        lambda f: f.mapping("streams").unlink(),
        "mapping_streams.npy: the mapping of labels to ROI names is missing; download",
    ),
    "a mapping that would run code": (
        lambda f: f.mapping().write_bytes(f.mapping().read_bytes()[:128] + b"cos\nsystem\n."),
        "mapping_prf-visualrois.npy: refused to load os.system",
    ),
    "no masks at all": (lambda f: empty(f.masks), "roi_masks: no ROI masks there; download"),
    "a missing hemisphere": (
        lambda f: f.responses("rh").unlink(),
        "rh_training_fmri.npy: responses missing; download",
    ),
    "truncated responses": (
        lambda f: cut(f.responses("lh")),
        "lh_training_fmri.npy: expected responses as an .npy array, found a damaged or other",
    ),
    "responses that are no .npy": (
        lambda f: f.responses("lh").write_bytes(b"\x89HDF\r\n"),
        "lh_training_fmri.npy: expected responses as an .npy array, found a damaged or other",
    ),
    "responses in an .npz": (
        lambda f: np.savez(f.responses("lh").open("wb"), responses_of(1, "lh")),
        "lh_training_fmri.npy: expected responses as an .npy array, found a damaged or other",
    ),
    "responses of pickled objects": (
        lambda f: np.save(f.responses("lh"), np.array([{}], dtype=object)),
        "lh_training_fmri.npy: expected responses as an .npy array, found a damaged or other",
    ),
    "responses of one dimension": (
        save_responses("lh", np.ravel),
        "lh_training_fmri.npy: expected responses as floats of (images, vertices), found "
        "float32 of (120,)",
    ),
    "responses of integers": (
        save_responses("lh", lambda r: r.astype(int)),
        "expected responses as floats of (images, vertices), found int64 of (12, 10)",
    ),
    "responses without vertices": (
        save_responses("lh", lambda r: r[:, :0]),
        "lh_training_fmri.npy: expected responses as",
    ),
    "a stimulus twice": (
        lambda f: rename(f.image(3), "train-0004_nsd-00200.png"),
        "training_images: stimulus nsd-00200 comes 2 times; remove",
    ),
    "numbers that fall back": (
        lambda f: (
            rename(f.image(10), "train-11_nsd-01001.png"),
            rename(f.image(1), "train-2_nsd-00101.png"),
        ),
        "in name order the numbers fall back at train-11_nsd-01001.png, train-2_nsd-00101.png",
    ),
    "no images": (lambda f: empty(f.images), "training_images: expected training images, found"),
    "no image folder": (
        lambda f: (empty(f.images), f.images.rmdir()),
        "training_images: the folder of training images is missing; download",
    ),
    "files of other names": (
        lambda f: (
            rename(f.image(5), "train-0006.png"),
            (f.images / "notes.txt").write_text(""),
        ),
        "notes.txt: expected a name such as train-0001_nsd-00013.png; move",
        "train-0006.png: expected a name such as train-0001_nsd-00013.png; move",
    ),
    "a mesh with fewer vertices": (
        lambda f: np.save(f.mesh("lh"), np.arange(40) < 7),
        "lh.all-vertices_fsaverage_space.npy: 7 vertices marked 1, but the responses have 10",
    ),
    "a mesh of indices": (
        lambda f: np.save(f.mesh("lh"), np.arange(10)),
        "lh.all-vertices_fsaverage_space.npy: expected a 0 or 1 for each vertex",
    ),
    "the mesh of one hemisphere": (
        lambda f: f.mesh("rh").unlink(),
        "roi_masks: rh.all-vertices_fsaverage_space.npy is missing, the other hemisphere's is",
    ),
    "too few images for a test image": (
        lambda f: (
            unlink(*(f.image(row) for row in range(1, 12))),
            save_responses("lh", lambda r: r[:1])(f),
            save_responses("rh", lambda r: r[:1])(f),
        ),
        "split 'paper' of 1 images leaves 0 to train and 1 to test",
    ),
    "several things at once": (
        lambda f: (
            cut(f.image(1)),
            cut(f.image(7)),
            save_responses("rh", lambda r: r[:5])(f),
            f.mapping("streams").unlink(),
            np.save(f.mask("lh"), np.zeros(3, int)),
        ),
        "train-0002_nsd-00101.png: not a readable image",
        "train-0008_nsd-00701.png: not a readable image",
        "mapping_streams.npy: the mapping",
        "lh.prf-visualrois_challenge_space.npy: 3 labels, but the responses have 10",
        "rh_training_fmri.npy: 5 rows of responses, but 12 images",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_source_is_refused_in_lines(case, tmp_path, capsys):
    damage, *expected = MALFORMED[case]
    folder = write_folder(tmp_path / "source")
    damage(folder)
    out = tmp_path / "data"
    lines = errors_of(["algonauts", folder.root, "--out", out, "--split", "paper"], capsys)
    assert len(lines) == len(expected), lines
    for line, text in zip(lines, expected, strict=True):
        assert text in line
        assert str(folder.root) in line or "split" in line
    assert not out.exists()


def test_the_split_first_layout_is_reported_in_its_own_paths(tmp_path, capsys):
    folder = write_folder(tmp_path / "source", layout="split-first")
    unlink(folder.responses("lh"), folder.mask("rh"))
    np.save(folder.responses("rh"), responses_of(1, "rh")[:3])
    lines = errors_of(["algonauts", folder.root, "--out", tmp_path / "data"], capsys)
    assert "training_fmri/Subj1/lh_training_fmri.npy: responses missing" in lines[0]
    assert "training_fmri/Subj1/subj1_rh_training_fmri.npy: 3 rows" in lines[1]
    assert "roi_masks/Subj1/rh.prf-visualrois_challenge_space.npy" in lines[2]


def test_complaints_of_all_subjects_are_listed_before_any_is_written(tmp_path, capsys):
    folder = write_folder(tmp_path / "source", (1, 2, 3))
    cut(place(folder.root, 3).image(0))
    place(folder.root, 2).mapping().unlink()
    lines = errors_of(
        ["algonauts", folder.root, "--out", tmp_path / "data", "--split", "paper"], capsys
    )
    assert ["subj02" in lines[0], "subj03" in lines[1], len(lines)] == [True, True, 2]
    assert not (tmp_path / "data").exists()
