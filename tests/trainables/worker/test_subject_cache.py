"""A worker's cached subjects are those that a trial was planned on, whatever is on disk now."""

import shutil
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.small_shards import write_shards
from trainables.data.data_directory import DataDirectory
from trainables.data.disk_images import DiskImages
from trainables.data.loading import read_images, read_subject
from trainables.data.shards import list_rois, read_planned_vertices
from trainables.spec import Backbone, Roi, Trial, Untuned
from trainables.storage.scratch_file import ScratchFile
from trainables.worker import subject_cache
from trainables.worker.subject_cache import SubjectCache

CPU = torch.device("cpu")


@pytest.fixture
def data(tmp_path: Path) -> DataDirectory:
    write_shards(tmp_path / "data", n_images=20)
    write_shards(tmp_path / "later", n_images=20, seed=1)
    return DataDirectory(tmp_path / "data")


@pytest.fixture
def cache(data: DataDirectory, tmp_path: Path) -> SubjectCache:
    return SubjectCache(data, CPU, None, tmp_path / "scratch")


def planned(data: DataDirectory) -> tuple[Roi, Trial]:
    roi = list_rois(data)[0]
    return roi, Trial(Untuned(), (roi,))


def replace_shard(data: DataDirectory) -> None:
    """Put the subject of another ingest in the place of the first."""
    shutil.rmtree(data.path)
    shutil.copytree(data.path.with_name("later"), data.path)


@pytest.mark.parametrize("budget", [None, 0])
def test_a_cached_subject_is_read_again_when_its_data_has_changed(
    data: DataDirectory, tmp_path: Path, budget: int | None
) -> None:
    cache = SubjectCache(data, CPU, budget, tmp_path / "scratch")
    roi, trial = planned(data)
    cache.of(trial)
    replace_shard(data)
    new_roi, new_trial = planned(data)
    assert (new_roi.shard, new_roi.data != roi.data) == (roi.shard, True)
    found = cache.of(new_trial)[roi.shard]
    expected = read_subject(data.shard(roi.shard))
    assert found.subject.manifest == expected.manifest
    np.testing.assert_array_equal(found.subject.responses["lh"], expected.responses["lh"])
    images = torch.cat(list(found.images.batches(torch.arange(20), 20)))
    assert torch.equal(images, read_images(data.shard(roi.shard), CPU))


def test_a_cached_subject_is_read_once(
    data: DataDirectory, cache: SubjectCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, trial = planned(data)
    first = cache.of(trial)
    monkeypatch.setattr(subject_cache, "read_subject", None)
    assert cache.of(trial) == first


def test_a_cached_subject_is_not_scored_with_the_vertices_of_another_ingest(
    data: DataDirectory, cache: SubjectCache
) -> None:
    roi, trial = planned(data)
    cache.of(trial)
    replace_shard(data)
    with pytest.raises(ValueError, match=rf"{roi.shard}: its content is .*planned on {roi.data}"):
        read_planned_vertices(data, roi)


def test_a_subject_that_is_replaced_while_it_is_read_is_refused(
    data: DataDirectory, cache: SubjectCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, trial = planned(data)

    def read_late(*at: Any) -> torch.Tensor:
        replace_shard(data)
        return read_images(*at)

    monkeypatch.setattr(subject_cache, "read_images", read_late)
    with pytest.raises(ValueError, match=r"its content is .*the trial was planned on"):
        cache.of(trial)


SIZE = 3 * 64**2 * 20
"""Image bytes of a subject of this file."""


@pytest.fixture
def eight(tmp_path: Path) -> list[Trial]:
    """A trial on each of eight subjects, and their shards."""
    names = [f"subj{number:02}" for number in range(1, 9)]
    write_shards(tmp_path / "eight", names, n_images=20)
    by_subject = {roi.subject: roi for roi in list_rois(DataDirectory(tmp_path / "eight"))}
    return [Trial(Untuned(), (by_subject[name],)) for name in names]


def reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: int, trials: Sequence[Trial]
) -> tuple[SubjectCache, list[str]]:
    """Run through trials; return the cache, and the subjects that were read."""
    read: list[str] = []

    def noted(shard: Path) -> Any:
        read.append(shard.name.removeprefix("nsd-"))
        return read_subject(shard)

    monkeypatch.setattr(subject_cache, "read_subject", noted)
    cache = SubjectCache(DataDirectory(tmp_path / "eight"), CPU, budget, tmp_path / "scratch")
    for trial in trials:
        [found] = cache.of(trial).values()
        assert found.subject.manifest.subject == trial.rois[0].subject
        assert found.bytes_on_device == SIZE
    return cache, read


def test_subjects_that_fit_the_budget_are_read_once(tmp_path, monkeypatch, eight) -> None:
    _, read = reads(tmp_path, monkeypatch, 8 * SIZE, [*eight, *eight, *reversed(eight)])
    assert read == [trial.rois[0].subject for trial in eight]


def test_the_subject_that_was_not_used_for_longest_makes_room(tmp_path, monkeypatch, eight) -> None:
    a, b, c, *_ = eight
    cache, read = reads(tmp_path, monkeypatch, 2 * SIZE, [a, b, a, c, a, b])
    assert read == ["subj01", "subj02", "subj03", "subj02"]
    assert cache.evict_unused()
    assert not cache.evict_unused()
    assert cache.of(b)
    assert read[4:] == []  # in use, so not evicted


def test_responses_that_do_not_fit_make_room_too(tmp_path, monkeypatch, eight) -> None:
    a, b, *_ = eight
    monkeypatch.setattr(subject_cache, "memory_limit", lambda: 0)
    _, read = reads(tmp_path, monkeypatch, 8 * SIZE, [a, b, a])
    assert read == ["subj01", "subj02", "subj01"]


def test_subjects_of_the_same_trial_do_not_evict_each_other(tmp_path, monkeypatch, eight) -> None:
    wanted = {trial.rois[0].shard: trial.rois[0].data for trial in eight[:3]}
    cache = SubjectCache(DataDirectory(tmp_path / "eight"), CPU, 2 * SIZE, tmp_path / "scratch")
    cache.of(eight[5])
    sizes = [found.bytes_on_device for found in cache.named(wanted, Backbone()).values()]
    assert sizes == [SIZE, SIZE, 0]  # the third is streamed


def test_a_worker_on_cpus_caches_images_in_its_part_of_the_memory(
    tmp_path, monkeypatch, eight
) -> None:
    """40 % of a sixteenth of 80 subjects' bytes is room for two of them, and of 40, for one."""
    wanted = {trial.rois[0].shard: trial.rois[0].data for trial in eight[:3]}
    monkeypatch.setattr(subject_cache, "free_bytes", lambda device: 10**12)
    monkeypatch.setattr(subject_cache.torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(subject_cache.os, "sched_getaffinity", lambda process: range(16))
    for limit, n_resident in ((80 * SIZE, 2), (40 * SIZE, 1)):
        monkeypatch.setattr(subject_cache, "memory_limit", lambda limit=limit: limit)
        cache = SubjectCache(DataDirectory(tmp_path / "eight"), CPU, None, tmp_path / "scratch")
        sizes = [found.bytes_on_device for found in cache.named(wanted, Backbone()).values()]
        assert sizes == [SIZE] * n_resident + [0] * (3 - n_resident)


def test_a_streamed_subject_leaves_no_file_of_one_that_is_not_in_use(
    tmp_path, monkeypatch, eight
) -> None:
    files: weakref.WeakSet[ScratchFile] = weakref.WeakSet()
    n_before: list[int] = []

    def noted(*of: Any) -> DiskImages:
        n_before.append(len(files))
        images = DiskImages(*of)
        files.add(images.file)
        return images

    monkeypatch.setattr(subject_cache, "DiskImages", noted)
    cache = SubjectCache(DataDirectory(tmp_path / "eight"), CPU, SIZE - 1, tmp_path / "scratch")
    for trial in eight[:3]:
        cache.of(trial)
    assert n_before == [0, 0, 0]
