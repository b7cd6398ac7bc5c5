"""A file of a source that was changed has another fingerprint, also when its size is the same."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestrator.ingest.fingerprints import BLOCK_BYTES, FILE_BLOCKS, digest_files, fingerprint

LARGE = (1500, 1200)
"""Of float32: above what is read as a whole."""


def save(path: Path, values: np.ndarray) -> str:
    np.save(path, values)
    return fingerprint(path)


def test_large_arrays_of_one_size_differ_by_their_content(tmp_path) -> None:
    values = np.random.default_rng(0).standard_normal(LARGE).astype(np.float32)
    assert values.nbytes > FILE_BLOCKS * BLOCK_BYTES
    path = tmp_path / "responses.npy"
    before = save(path, values)
    assert save(path, values) == before
    other = values.copy()
    other[:, [3, 700]] = other[:, [700, 3]]  # two vertices change places
    others = [save(path, changed) for changed in (values * 2, values[::-1], other)]
    assert len({before, *others}) == 4


def test_images_of_one_size_differ_by_their_content(tmp_path) -> None:
    path = tmp_path / "a.bmp"
    found = set()
    for value in range(5):
        Image.new("RGB", (200, 200), (value, 0, 0)).save(path)
        found.add(fingerprint(path))
    assert len(found) == 5


@pytest.mark.timeout(5)
def test_what_is_no_file_is_absent(tmp_path) -> None:
    (tmp_path / "link").symlink_to("/dev/zero")
    assert fingerprint(tmp_path / "link") == fingerprint(tmp_path / "nowhere") == "absent"


def test_names_that_are_not_utf_8_have_a_digest_too(tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    digests = {
        digest_files({"caf\udce9": tmp_path / "a"}),
        digest_files({"cafe": tmp_path / "a"}),
        digest_files({"cafe": tmp_path / "a"}, "repeats 3"),
        digest_files({"cafe": tmp_path / "b"}),
    }
    assert len(digests) == 4
