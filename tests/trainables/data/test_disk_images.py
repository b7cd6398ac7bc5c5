"""Images that a device can't hold, from a file of pixels."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.small_shards import write_shards
from trainables.data import disk_images
from trainables.data.disk_images import DiskImages
from trainables.data.loading import read_images
from trainables.exceptions import DiskFull
from trainables.storage import scratch_file

N_IMAGES = 150


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("on-disk") / "data"
    write_shards(data, n_images=N_IMAGES)
    return data / "nsd-subj01"


@pytest.mark.parametrize("n_rows", [1, 7, 8, 400])
def test_any_rows_are_given_in_any_order(shard, tmp_path, monkeypatch, n_rows) -> None:
    monkeypatch.setattr(disk_images, "PIECE", 7)
    rows = torch.randint(N_IMAGES, (n_rows,), generator=torch.Generator().manual_seed(0))
    pieces = list(DiskImages(shard, tmp_path).read(rows))
    assert max(map(len, pieces)) <= 7
    assert torch.equal(torch.cat(pieces), read_images(shard, torch.device("cpu"))[rows])


def test_two_epochs_at_once_do_not_disturb_each_other(shard, tmp_path) -> None:
    images, expected = DiskImages(shard, tmp_path), read_images(shard, torch.device("cpu"))
    forwards, backwards = torch.arange(N_IMAGES), torch.arange(N_IMAGES).flip(0)
    for a, b in zip(images.read(forwards), images.read(backwards), strict=True):
        assert torch.equal(a, expected[forwards][: len(a)])
        assert torch.equal(b, expected[backwards][: len(b)])


HOLD = """
import sys, time
from pathlib import Path
from trainables.data.disk_images import DiskImages
images = DiskImages(Path(sys.argv[1]), Path(sys.argv[2]))
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_a_worker_that_is_killed_leaves_no_file(shard, tmp_path) -> None:
    arguments = [sys.executable, "-c", HOLD, str(shard), str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "held\n"
        os.kill(worker.pid, signal.SIGKILL)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported_with_what_is_needed(shard, tmp_path, monkeypatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    for module, call in ((os, "pwrite"), (scratch_file, "_reserve_space")):
        with monkeypatch.context() as patch:
            patch.setattr(module, call, full)
            with pytest.raises(DiskFull, match="No space left on device"):
                DiskImages(shard, tmp_path)


def test_writes_cut_short_by_the_system_go_on(shard, tmp_path, monkeypatch) -> None:
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda f, content, at: whole(f, content[:1000], at))
    rows = torch.arange(N_IMAGES)
    found = torch.cat(list(DiskImages(shard, tmp_path).read(rows)))
    np.testing.assert_array_equal(found, read_images(shard, torch.device("cpu")))
