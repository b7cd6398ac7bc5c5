"""Which files of the next trial are prefetched."""

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.builders.prefetches import ROWS, VERTICES, prefetch_of, read, small_files, trials
from tests.builders.tiny_checkpoints import Training
from tests.builders.tiny_runs import CONTRASTIVE, place, without_ray
from trainables.spec.evaluation import Evaluation
from trainables.storage import s3_mirror
from trainables.storage.s3_mirror import CheckDownload
from trainables.worker import prefetch as prefetch_module

__all__ = ["place", "read", "small_files", "without_ray"]
pytestmark = pytest.mark.usefixtures("small_files", "without_ray")


def test_files_of_subjects_that_the_worker_does_not_hold_are_read(place, read) -> None:
    present, following = trials(place)
    assert following.shards == ("nsd-subj02",)
    prefetch_of(place, present).run(lambda: following)
    assert sorted(read) == [*ROWS, VERTICES]
    read.clear()
    prefetch_of(place, following).run(lambda: following)
    assert read == []


@pytest.mark.parametrize(
    ("held", "wanted", "n_files"), [(32, None, 0), (32, 32, 0), (48, None, 4), (48, 32, 4)]
)
def test_files_of_a_subject_that_the_worker_holds_at_another_image_size_are_read(
    place, read, held, wanted, n_files
) -> None:
    _, following = trials(place)
    following = replace(following, backbone=replace(following.backbone, image_size=wanted))
    prefetch = replace(prefetch_of(place, following), held={"nsd-subj02": held})
    prefetch.run(lambda: following)
    assert len(read) == n_files


def test_files_of_other_data_than_the_trial_was_planned_on_are_not_read(place, read) -> None:
    present, following = trials(place)
    [roi] = following.rois
    prefetch_of(place, present).run(lambda: replace(following, rois=(replace(roi, data="0" * 8),)))
    assert read == []


def test_a_backbone_is_read_where_it_is_another_one(place, read) -> None:
    present, _ = trials(place)
    prefetch_of(place, present).run(lambda: replace(present, seed=1))
    assert read == []
    other = replace(present, backbone=replace(present.backbone, architecture="alexnet"))
    prefetch_of(place, present).run(lambda: other)
    assert read == [f"{place.home.name}/weights.pt"]


def test_no_more_bytes_are_read_than_memory_is_free(place, read) -> None:
    present, following = trials(place)
    prefetch_of(place, present, memory=0).run(lambda: following)
    assert read == []
    sizes = [(place.home / "data" / name).stat().st_size for name in ROWS]
    prefetch_of(place, present, memory=sizes[0] + sizes[1]).run(lambda: following)
    assert [name for name in read if name != VERTICES] == ROWS[:2]


def test_the_checkpoint_of_an_evaluation_is_read_and_not_the_weights_it_started_from(
    place, read
) -> None:
    model = place.trial(CONTRASTIVE)
    training = Training(place.context().checkpoint(model).path)
    training.epoch()
    training.end()
    prefetch_of(place, model).run(lambda: Evaluation(model, (place.rois[5],)))
    [checkpoint, *of_subject] = read
    assert checkpoint == f"{model.training_id}/epoch-0001.safetensors"
    assert sorted(of_subject) == [*ROWS, VERTICES]


@dataclass
class Downloads:
    """Objects in S3 of some bytes that no copy here has, on a disk of 100 bytes."""

    started: list[str]

    @classmethod
    def noted(cls, monkeypatch: pytest.MonkeyPatch, n_bytes: int, free: int) -> "Downloads":
        self = cls([])

        def disk_usage(path: Path) -> SimpleNamespace:
            assert path.is_dir()
            return SimpleNamespace(free=free, total=100)

        def download(path: Path, check: CheckDownload) -> None:
            check(path.with_name("no-mirror-yet") / path.name, n_bytes)
            self.started.append(path.name)

        monkeypatch.setattr(prefetch_module.shutil, "disk_usage", disk_usage)
        monkeypatch.setattr(s3_mirror, "pull_file", download)
        return self


@pytest.mark.parametrize(("n_bytes", "free", "n_files"), [(40, 50, 4), (41, 50, 0), (0, 9, 0)])
def test_files_are_downloaded_where_they_leave_a_tenth_of_the_disk_free(
    place, read, monkeypatch, n_bytes, free, n_files
) -> None:
    present, following = trials(place)
    downloads = Downloads.noted(monkeypatch, n_bytes, free)
    prefetch_of(place, present).run(lambda: following)
    assert len(downloads.started) == len(read) == n_files


def test_files_of_a_checkpoint_in_s3_are_downloaded_until_stopped(place, read, monkeypatch) -> None:
    model, left = place.trial(CONTRASTIVE), []
    prefetch = prefetch_of(place, model)

    def pull(directory: Path, *, check: CheckDownload, **options) -> None:
        check(directory / "epoch-0001.safetensors", 1)
        left.append(directory.name)
        prefetch.stopped.set()
        check(directory / "epoch-0002.safetensors", 1)
        left.append("not stopped")

    monkeypatch.setattr(s3_mirror, "pull", pull)
    prefetch.run(lambda: Evaluation(model, (place.rois[5],)))
    assert (left, read) == ([model.training_id], [])
