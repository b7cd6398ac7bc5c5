"""The NOD ingest as a command: decoding by Ray, resuming, refusing other choices."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from orchestrator.ingest.__main__ import main
from orchestrator.ingest.images import decode_image
from orchestrator.ingest.simulate.nod import simulate_nod
from tests.builders.nod_folder import SETTINGS, NodFolder
from trainables.data.data_directory import DataDirectory
from trainables.data.loading import read_subject
from trainables.data.rows import fixed_width, read_rows
from trainables.data.shards import Manifest, list_rois

pytestmark = pytest.mark.ray


def test_a_folder_becomes_shards_once_whatever_kills_it(local_ray, tmp_path, capsys) -> None:
    source, out, undisturbed = tmp_path / "source", tmp_path / "data", tmp_path / "undisturbed"
    simulate_nod(source, SETTINGS)
    command = ["nod", str(source), "--image-size", "16", "--split", "paper", "--out"]
    assert main([*command, str(undisturbed)]) == 0
    assert "sub-01" in capsys.readouterr().out

    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator.ingest", *command, str(out)],
        env={**os.environ, "RAY_ADDRESS": local_ray},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not list(out.glob(".*.partial-*")):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert all(
        Manifest.read(shard) == Manifest.read(undisturbed / shard.name)
        for shard in DataDirectory(out).shards()
    )

    assert main([*command, str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["nod-sub-01", "nod-sub-02"]
    for shard in DataDirectory(out).shards():
        assert Manifest.read(shard) == Manifest.read(undisturbed / shard.name)
    assert len(list_rois(DataDirectory(out))) == 16

    written = (out / "nod-sub-01/manifest.json").stat().st_mtime_ns
    assert main([*command, str(out)]) == 0
    assert "was there" in capsys.readouterr().out
    assert main([*command, str(out), "--top", "9"]) == 2
    assert "it was made with top 50, not 9; remove this directory" in capsys.readouterr().err
    assert (out / "nod-sub-01/manifest.json").stat().st_mtime_ns == written

    (table,) = read_rows(out / "nod-sub-01", ["image"])
    first = fixed_width(table["image"], np.uint8)[0].reshape(3, 16, 16)
    np.testing.assert_array_equal(first, decode_image(NodFolder(source).image(0), 16))
    subject = read_subject(out / "nod-sub-01")
    assert {side: matrix.shape for side, matrix in subject.responses.items()} == {
        "lh": (24, 194),
        "rh": (24, 200),
    }
