"""The ingest command as it is: parallel decoding, resuming, and being killed."""

import os
import random
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from orchestrator.cli.errors import InputError
from orchestrator.ingest.__main__ import main
from orchestrator.ingest.images import IMAGES_PER_TASK, decode_image, stream_images
from tests.builders.algonauts_folder import Folder, image_of, responses_of, write_folder
from trainables.data.data_directory import DataDirectory
from trainables.data.rows import fixed_width, read_rows
from trainables.data.shards import Manifest, list_rois

pytestmark = pytest.mark.ray

N_IMAGES = 2 * IMAGES_PER_TASK + 44


def ingest(source: Path, out: Path, *options: str) -> int:
    return main(["algonauts", str(source), "--out", str(out), "--image-size", "16", *options])


def break_pixels(folder: Folder, row: int) -> Path:
    """Write a PNG whose checksums are right and whose pixels can't be unpacked."""
    path = folder.image(row)
    image_of(1, row).save(path)
    raw = path.read_bytes()
    start = raw.index(b"IDAT")
    (length,) = struct.unpack(">I", raw[start - 4 : start])
    pixels = b"IDAT" + bytes(length)
    checksum = struct.pack(">I", zlib.crc32(pixels))
    path.write_bytes(raw[:start] + pixels + checksum + raw[start + 4 + length + 4 :])
    return path


@pytest.mark.parametrize("layout", ["subject-first", "split-first"])
def test_a_folder_becomes_shards(layout, local_ray, tmp_path, capsys):
    folder = write_folder(tmp_path / "source", (1, 6), layout=layout, n_images=N_IMAGES)
    assert ingest(folder.root, tmp_path / "data") == 0
    assert [path.name for path in DataDirectory(tmp_path / "data").shards()] == [
        "nsd-subj01",
        "nsd-subj06",
    ]
    row = 0
    for table in read_rows(tmp_path / "data/nsd-subj01", ["index", "image", "lh"]):
        for image in fixed_width(table["image"], np.uint8):
            expected = decode_image(folder.image(row), 16) if row % 40 == 0 else None
            assert expected is None or (image.reshape(3, 16, 16) == expected).all()
            row += 1
        rows = table["index"].to_numpy()
        np.testing.assert_array_equal(
            fixed_width(table["lh"], np.float32), responses_of(1, "lh", N_IMAGES)[rows]
        )
    assert row == N_IMAGES
    assert len(list_rois(DataDirectory(tmp_path / "data"))) == 20
    table = capsys.readouterr().out
    assert "subj01" in table
    assert "subj06" in table
    assert "10 lh + 8 rh" in table


def test_images_come_in_row_order_in_small_batches(local_ray, tmp_path):
    folder = write_folder(tmp_path, n_images=N_IMAGES)
    paths = sorted(folder.images.iterdir())
    firsts = [(first, len(batch)) for first, batch in stream_images(paths, [8])]
    assert [first for first, _ in firsts] == list(range(0, N_IMAGES, 64))
    assert sum(count for _, count in firsts) == N_IMAGES


def test_an_image_that_cannot_be_decoded_after_all_leaves_nothing(local_ray, tmp_path, capsys):
    folder = write_folder(tmp_path / "source", n_images=30)
    path = break_pixels(folder, 20)
    assert ingest(folder.root, tmp_path / "data") == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(errors) == 1
    assert f"{path}: not a readable image" in errors[0]
    assert list((tmp_path / "data").iterdir()) == []
    with pytest.raises(InputError, match="not a readable image"):
        list(stream_images([path], [8]))


def test_a_complete_subject_is_skipped_and_a_new_one_added(local_ray, tmp_path, capsys):
    folder = write_folder(tmp_path / "source", (1, 2), n_images=30)
    out = tmp_path / "data"
    assert ingest(folder.root, out, "--subjects", "1") == 0
    written = (out / "nsd-subj01/manifest.json").stat().st_mtime_ns
    assert ingest(folder.root, out) == 0
    assert (out / "nsd-subj01/manifest.json").stat().st_mtime_ns == written
    assert "was there" in capsys.readouterr().out
    assert len(DataDirectory(out).shards()) == 2


def test_other_settings_are_refused_and_change_nothing(local_ray, tmp_path, capsys):
    folder = write_folder(tmp_path / "source", (1, 2), n_images=30)
    out = tmp_path / "data"
    assert ingest(folder.root, out, "--subjects", "1") == 0
    assert ingest(folder.root, out, "--split", "paper") == 2
    assert "its split is 'stimulus', not 'paper'; remove this directory" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["nsd-subj01"]


def test_a_run_killed_anywhere_leaves_a_subject_or_none_and_can_be_repeated(local_ray, tmp_path):
    folder = write_folder(tmp_path / "source", (1, 2), n_images=1500, image_size=64)
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "data"
    start = time.monotonic()
    assert ingest(folder.root, undisturbed) == 0
    seconds = time.monotonic() - start
    command = [sys.executable, "-m", "orchestrator.ingest", "algonauts", str(folder.root)]
    command += ["--out", str(out), "--image-size", "16"]
    environment = {**os.environ, "RAY_ADDRESS": local_ray}
    moments = random.Random(os.getpid())
    killed_midway = 0
    for delay in (0.0, moments.uniform(0, seconds / 2)):  # as soon as there is something, and later
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and not list(out.glob(".*.partial-*")):
            time.sleep(0.005)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed_midway += len(list(out.glob(".*.partial-*")))
        for shard in DataDirectory(out).shards():
            assert Manifest.read(shard) == Manifest.read(undisturbed / shard.name)
    finished = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert [path.name for path in sorted(out.iterdir())] == ["nsd-subj01", "nsd-subj02"]
    for shard in DataDirectory(out).shards():
        assert Manifest.read(shard) == Manifest.read(undisturbed / shard.name)
    assert killed_midway > 0
