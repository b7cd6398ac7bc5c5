"""One trial from shards to scores on a warm runner, without Ray: rows come from pyarrow."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from benchmarks.small_shards import write_shards
from trainables.compute.device import free_bytes
from trainables.compute.precision import Numerics
from trainables.compute.truncated_eigh import leading_components
from trainables.data import loading
from trainables.data.loading import Subject, read_images, read_subject
from trainables.data.rows import read_rows
from trainables.encoding.features import extract
from trainables.exceptions import Failure, Stopped
from trainables.models import backbones
from trainables.models.backbones import weights_name
from trainables.results.epoch_report import EpochReport
from trainables.results.outcome import Outcome, failed
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import (
    SCORE_SCHEMA,
    TRIAL_KEY,
    read_score_file,
    read_scores,
)
from trainables.spec import (
    Backbone,
    Contrastive,
    Encoding,
    Pooled,
    Regression,
    Roi,
    Trial,
    Untuned,
)
from trainables.spec.evaluation import Evaluation
from trainables.training.checkpoints import LAST
from trainables.worker import score_subject, subject_cache
from trainables.worker.context import RunContext
from trainables.worker.runner import TrialRunner

CPU = torch.device("cpu")
ENCODING = Encoding(layers=("1", "4"), protocols=("nested", "paper"), alphas=(1.0, 100.0))
CONTRASTIVE = Contrastive(learning_rate=1e-3, batch_size=16, epochs=2, validation=0.2)
POOLED = Pooled(learning_rate=1e-3, batch_size=16, epochs=2, validation=0.2)
REGRESSION = Regression(learning_rate=1e-3, batch_size=16, epochs=2)


def tiny_backbone() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 4, stride=4),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(8 * 8 * 8, 20),
    )


@dataclass
class Place:
    """A data directory, a weights file, and runners that write beside them."""

    home: Path
    rois: list[Roi]
    backbone: Backbone

    def context(self, name: str = "runs", **changes) -> RunContext:
        return RunContext(
            self.home / "data", RunDirectory(self.home / name), self.home / "weights.pt", **changes
        )

    def runner(self, name: str = "runs", **changes) -> TrialRunner:
        return TrialRunner(self.context(name, **changes), CPU)

    def trial(self, objective=CONTRASTIVE, roi: int = 0, **changes) -> Trial:
        return Trial(objective, (self.rois[roi],), self.backbone, ENCODING, **changes)

    def pooled(self, **changes) -> Trial:
        alike = tuple(roi for roi in self.rois if roi.id.endswith("lh-V1v"))
        return Trial(replace(POOLED, **changes), alike, self.backbone, ENCODING)

    def untuned(self, *rois: int) -> Trial:
        chosen = tuple(self.rois[number] for number in rois)
        return Trial(Untuned(), chosen, self.backbone, ENCODING)


@dataclass
class Listener:
    """Notes what it hears; stops after an epoch, or raises at a stage, when told to."""

    stop_after: int | None = None
    stop_at: str | None = None
    stages: list[str] = field(default_factory=list)
    epochs: list[EpochReport] = field(default_factory=list)

    def stage(self, name: str) -> None:
        self.stages.append(name)
        if name == self.stop_at:
            raise Stopped

    def epoch(self, report: EpochReport) -> bool:
        self.epochs.append(report)
        return report.epoch != self.stop_after


@pytest.fixture(autouse=True)
def without_ray(monkeypatch) -> Iterator[None]:
    monkeypatch.setattr(loading, "stream", read_rows)
    monkeypatch.setitem(backbones.OWN_ARCHITECTURES, "tiny", tiny_backbone)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def place(tmp_path) -> Place:
    rois = write_shards(tmp_path / "data", ("subj01", "subj02"), n_images=60, image_size=32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(tiny_backbone().state_dict(), tmp_path / "weights.pt")
    return Place(tmp_path, rois, Backbone("tiny", weights_name(tmp_path / "weights.pt")))


def scores(place: Place, trial: Trial, name: str = "runs") -> list[dict]:
    return read_scores(RunDirectory(place.home / name), trial.id).drop_columns(["host"]).to_pylist()


def mean_r(place: Place, trial: Trial, name: str = "runs") -> float:
    found = [row["r"] for row in scores(place, trial, name) if row["protocol"] == "nested"]
    return sum(found) / len(found)


def test_an_untuned_trial_scores_all_its_rois_in_one_pass(place) -> None:
    trial, listener = place.untuned(0, 1, 2, 3, 4), Listener()
    outcome = place.runner().run(trial, listener)
    assert outcome.status == "finished"
    assert listener.stages == ["reading", "features", "encoding"]
    assert listener.epochs == []
    for roi in trial.rois:
        table = read_score_file(RunDirectory(place.home / "runs").score_file(trial.id, roi.id))
        assert table.schema == SCORE_SCHEMA
        assert len(table) == 2 * roi.n_vertices
    assert not (place.home / "runs" / "checkpoints").exists()


@pytest.mark.parametrize("objective", [CONTRASTIVE, REGRESSION], ids=lambda o: o.method)
def test_a_finetuned_trial_leaves_scores_checkpoint_log_and_outcome(place, objective) -> None:
    trial, listener, runs = place.trial(objective), Listener(), place.home / "runs"
    outcome = place.runner().run(trial, listener)
    assert listener.stages == ["reading", "finetuning", "features", "encoding"]
    assert [report.epoch for report in listener.epochs] == [1, 2]
    assert outcome == Outcome.read(RunDirectory(runs), trial.id)
    assert outcome.history == tuple(listener.epochs)
    assert set(outcome.seconds) == set(listener.stages)
    lines = [
        json.loads(line) for line in RunDirectory(runs).log_file(trial.id).read_text().splitlines()
    ]
    stages = [line["stage"] for line in lines if line["event"] == "stage"]
    assert stages == listener.stages
    epochs = [
        {name: line[name] for name in asdict(listener.epochs[0])}
        for line in lines
        if line["event"] == "epoch"
    ]
    assert epochs == [asdict(report) for report in listener.epochs]
    assert (lines[0]["event"], lines[-1]["event"]) == ("started", "finished")
    assert lines[-1]["seconds"] == outcome.seconds
    assert (runs / "checkpoints" / trial.training_id / LAST).exists()
    path = RunDirectory(runs).score_file(trial.id, trial.rois[0].id)
    assert Trial.from_json(pq.read_schema(path).metadata[TRIAL_KEY].decode()) == trial
    rows = scores(place, trial)
    assert {row["protocol"] for row in rows} == {"nested", "paper"}
    assert all(len(row["r_by_layer"]) == 2 for row in rows)
    assert {row["n_test"] for row in rows} == {15}


def test_scores_hold_the_roi_s_own_vertices(place) -> None:
    trial = place.untuned(1, 3)  # lh V2d is columns 4 to 9, rh V1v 0 to 5
    place.runner().run(trial, Listener())
    rows = [row for row in scores(place, trial) if row["protocol"] == "nested"]
    found = {side: [r["vertex"] for r in rows if r["hemisphere"] == side] for side in ("lh", "rh")}
    assert found == {"lh": [4, 5, 6, 7, 8, 9], "rh": [0, 1, 2, 3, 4, 5]}


def test_vertices_that_two_rois_share_have_one_score(place) -> None:
    trial = place.untuned(0, 1)
    place.runner().run(trial, Listener())
    rows = [row for row in scores(place, trial) if row["protocol"] == "nested"]
    shared = [[r for r in rows if r["vertex"] == vertex] for vertex in (4, 5, 6, 7)]
    for first, second in shared:
        assert first["r_by_layer"] == pytest.approx(second["r_by_layer"], abs=1e-6)


def test_the_planted_signal_is_predicted(place) -> None:
    trial = place.untuned(0)
    place.runner().run(trial, Listener())
    assert mean_r(place, trial) > 0.4


def test_the_smallest_roi_is_finetuned_and_scored(place) -> None:
    trial = place.trial(CONTRASTIVE, roi=2)
    assert trial.rois[0].n_vertices == 4
    place.runner().run(trial, Listener())
    assert len(scores(place, trial)) == 8


def test_a_warm_runner_of_two_subjects_equals_fresh_ones_to_the_bit(place) -> None:
    trials = [
        place.trial(CONTRASTIVE, roi=0),
        place.trial(REGRESSION, roi=1),
        place.untuned(0, 4),
        place.trial(CONTRASTIVE, roi=5),  # of the other subject
        place.untuned(6),
        place.trial(REGRESSION, roi=3),  # and back
    ]
    warm = place.runner("warm")
    for trial in trials:
        warm.run(trial, Listener())
        place.runner("fresh").run(trial, Listener())
        assert scores(place, trial, "warm") == scores(place, trial, "fresh")


def test_a_warm_runner_reads_a_subject_once(place, monkeypatch) -> None:
    reads = []
    original = subject_cache.read_subject
    monkeypatch.setattr(
        subject_cache, "read_subject", lambda shard: reads.append(shard.name) or original(shard)
    )
    runner = place.runner()
    for trial in (place.trial(), place.untuned(0), place.trial(REGRESSION), place.untuned(5)):
        runner.run(trial, Listener())
    assert reads == ["nsd-subj01", "nsd-subj02"]


def test_a_trial_run_again_gives_the_same_scores(place) -> None:
    trial = place.trial()
    place.runner("first").run(trial, Listener())
    place.runner("second").run(trial, Listener())
    assert scores(place, trial, "first") == scores(place, trial, "second")


def test_a_trial_interrupted_between_epochs_resumes_to_the_same_scores(place) -> None:
    class Killed(BaseException):
        pass

    class Dying(Listener):
        def epoch(self, report: EpochReport) -> bool:
            if report.epoch == 2:
                raise Killed
            return True

    trial = place.trial()
    with pytest.raises(Killed):
        place.runner("killed").run(trial, Dying())
    assert Outcome.read(RunDirectory(place.home / "killed"), trial.id) is None
    listener = Listener()
    place.runner("killed").run(trial, listener)
    assert [report.epoch for report in listener.epochs] == [2]
    place.runner("straight").run(trial, Listener())
    assert scores(place, trial, "killed") == scores(place, trial, "straight")


def test_another_encoding_of_a_trained_backbone_trains_nothing(place) -> None:
    trial, listener = place.trial(), Listener()
    other = replace(trial, encoding=replace(ENCODING, alphas=(10.0,)))
    runner = place.runner()
    runner.run(trial, Listener())
    outcome = runner.run(other, listener)
    assert listener.epochs == []
    assert len(outcome.history) == 2
    assert other.id != trial.id
    assert len(scores(place, other)) == len(scores(place, trial))


def test_images_that_do_not_fit_are_streamed_to_the_same_scores(place) -> None:
    trial = place.trial()
    place.runner("resident").run(trial, Listener())
    place.runner("streamed", image_budget=1000).run(trial, Listener())
    assert scores(place, trial, "resident") == scores(place, trial, "streamed")


def test_features_that_do_not_fit_are_on_disk_to_the_same_scores_and_removed(place) -> None:
    trial = place.untuned(0)
    place.runner("memory").run(trial, Listener())
    place.runner("on-disk", feature_budget=1000).run(trial, Listener())
    assert scores(place, trial, "memory") == scores(place, trial, "on-disk")
    assert list((place.home / "on-disk" / "scratch").iterdir()) == []


def test_a_trial_stopped_after_an_epoch_is_an_outcome_without_scores(place) -> None:
    trial = place.trial()
    outcome = place.runner().run(trial, Listener(stop_after=1))
    assert outcome.status == "stopped"
    assert [report.epoch for report in outcome.history] == [1]
    assert Outcome.read(RunDirectory(place.home / "runs"), trial.id) == outcome
    assert scores(place, trial) == []


def test_a_trial_stopped_before_encoding_is_an_outcome_without_scores(place) -> None:
    outcome = place.runner().run(place.untuned(0), Listener(stop_at="encoding"))
    assert outcome.status == "stopped"


def test_data_that_has_changed_since_planning_is_refused(place) -> None:
    stale = replace(place.trial(), rois=(replace(place.rois[0], data="00000000"),))
    with pytest.raises(ValueError, match=r"nsd-subj01: its content is .*planned on 00000000; plan"):
        place.runner().run(stale, Listener())
    assert not RunDirectory(place.home / "runs").outcome_file(stale.id).exists()


def test_an_roi_of_other_vertices_than_planned_is_refused(place) -> None:
    stale = replace(place.trial(), rois=(replace(place.rois[0], n_vertices=9),))
    with pytest.raises(ValueError, match=r"nsd-subj01-lh-V1v: 8 vertices .*planned on 9; plan"):
        place.runner().run(stale, Listener())


def test_missing_rows_are_refused(place) -> None:
    (place.home / "data" / "nsd-subj01" / "rows-00000.parquet").unlink()
    with pytest.raises((ValueError, OSError)):
        place.runner().run(place.trial(), Listener())


def test_a_runner_serves_on_after_a_trial_that_failed(place) -> None:
    runner = place.runner()
    doomed = replace(place.trial(), encoding=replace(ENCODING, layers=("absent",)))
    with pytest.raises(ValueError, match=r"unknown layers \['absent'\]"):
        runner.run(doomed, Listener())
    assert runner.run(place.trial(REGRESSION), Listener()).status == "finished"


def test_every_epoch_s_weights_are_kept_on_request(place) -> None:
    trial = place.trial()
    place.runner(keep_every_epoch=True).run(trial, Listener())
    kept = (place.home / "runs" / "checkpoints" / trial.training_id).glob("epoch-*")
    assert sorted(path.name for path in kept) == [
        "epoch-0001.safetensors",
        "epoch-0002.safetensors",
    ]


def test_a_trial_that_could_not_be_done_is_an_outcome_with_its_error(place) -> None:
    outcome = failed(place.trial(), Failure("input", "ValueError: no"))
    outcome.write(RunDirectory(place.home / "runs"))
    content = json.loads(
        RunDirectory(place.home / "runs").outcome_file(outcome.trial.id).read_text()
    )
    assert (content["status"], content["error"]) == ("failed", "ValueError: no")
    assert Outcome.read(RunDirectory(place.home / "runs"), outcome.trial.id).error_kind == "input"


def test_a_worker_that_shares_a_gpu_takes_its_share_of_the_memory(place, monkeypatch) -> None:
    shares = []
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, device: shares.append(share)
    )
    for share in (0.25, 1.0):
        TrialRunner(place.context(share_of_gpu=share), torch.device("cuda"))
    assert shares == [0.25]


def test_what_is_free_of_a_gpu_is_at_most_this_process_s_share(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (70, 100))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 10)
    for share, expected in ((1.0, 70), (0.5, 40)):
        # As torch: it asks for the device's number.
        monkeypatch.setattr(
            torch.cuda,
            "get_per_process_memory_fraction",
            lambda d, share=share: {3: share}[d.index],
        )
        assert free_bytes(torch.device("cuda")) == expected
        assert free_bytes(torch.device("cuda:3")) == expected


def test_free_memory_is_measured() -> None:
    assert free_bytes(CPU) > 2**20


def test_a_pooled_trial_scores_each_subject_s_roi_with_one_backbone_and_one_pass_each(
    place, monkeypatch
) -> None:
    passes = []
    monkeypatch.setattr(
        score_subject, "extract", lambda *some: passes.append(some[0]) or extract(*some)
    )
    trial, listener = place.pooled(), Listener()
    outcome = place.runner().run(trial, listener)
    assert listener.stages == [
        "reading",
        "finetuning",
        *("features", "encoding", "features", "encoding"),
    ]
    assert len(passes) == 2
    assert passes[0] is passes[1]
    assert [report.epoch for report in listener.epochs] == [1, 2]
    assert outcome == Outcome.read(RunDirectory(place.home / "runs"), trial.id)
    for roi in trial.rois:
        path = RunDirectory(place.home / "runs").score_file(trial.id, roi.id)
        rows = read_score_file(path).to_pylist()
        assert {(r["subject"], r["hemisphere"], r["roi"]) for r in rows} == {
            (roi.subject, "lh", "V1v")
        }
        assert {r["method"] for r in rows} == {"pooled-avg"}
        assert len(rows) == 2 * roi.n_vertices
        message = Trial.from_json(pq.read_schema(path).metadata[TRIAL_KEY].decode())
        assert message == trial


def test_pooled_trials_of_two_orders_or_widths_leave_checkpoints_of_their_own(place) -> None:
    trials = [place.pooled(), place.pooled(order="interleaved"), place.pooled(hidden_dim=9)]
    runner = place.runner()
    for trial in trials:
        runner.run(trial, Listener())
    kept = {path.name for path in (place.home / "runs" / "checkpoints").iterdir()}
    assert kept == {trial.training_id for trial in trials}
    r = [[row["r"] for row in scores(place, trial)] for trial in trials]
    assert r[0] != r[1] != r[2] != r[0]


def test_a_pooled_trial_goes_on_where_its_encoding_was_interrupted(place) -> None:
    trial, runs = place.pooled(), place.home / "runs"
    place.runner().run(trial, Listener())
    expected = scores(place, trial)
    done, lost = (RunDirectory(runs).score_file(trial.id, roi.id) for roi in trial.rois)
    before = done.stat().st_mtime_ns
    lost.unlink()
    listener = Listener()
    place.runner().run(trial, listener)
    assert listener.stages == ["reading", "finetuning", "features", "encoding"]
    assert done.stat().st_mtime_ns == before
    assert scores(place, trial) == expected


def test_a_pooled_trial_whose_images_do_not_fit_gives_the_same_scores(place) -> None:
    trial = place.pooled(order="interleaved")
    place.runner("resident").run(trial, Listener())
    one_subject = 60 * 3 * 32 * 32
    for name, budget in (("one", one_subject), ("none", one_subject - 1)):
        place.runner(name, image_budget=budget).run(trial, Listener())
        assert scores(place, trial, "resident") == scores(place, trial, name)


def test_subjects_are_held_while_nothing_else_is_read(place, monkeypatch) -> None:
    reads = []
    original = subject_cache.read_subject
    monkeypatch.setattr(
        subject_cache, "read_subject", lambda shard: reads.append(shard.name) or original(shard)
    )
    runner = place.runner()
    for trial in (place.pooled(), place.untuned(5), place.untuned(0), place.pooled()):
        runner.run(trial, Listener())
    assert reads == ["nsd-subj01", "nsd-subj02"]


def test_a_pooled_trial_of_changed_data_is_refused_by_the_subject_s_name(place) -> None:
    trial = place.pooled()
    stale = replace(trial, rois=(trial.rois[0], replace(trial.rois[1], data="00000000")))
    with pytest.raises(ValueError, match=r"nsd-subj02: its content is .*planned on 00000000"):
        place.runner().run(stale, Listener())


def test_a_trial_that_is_not_encoded_is_finetuned_and_passes_no_test_image(
    place, monkeypatch
) -> None:
    monkeypatch.setattr(score_subject, "extract", lambda *a: pytest.fail("an image was encoded"))
    trial = replace(place.trial(), encoding=None)
    listener, runs = Listener(), place.home / "runs"
    outcome = place.runner().run(trial, listener)
    assert (outcome.status, listener.stages) == ("finished", ["reading", "finetuning"])
    assert Outcome.read(RunDirectory(runs), trial.id) == outcome
    assert (runs / "checkpoints" / trial.training_id / LAST).exists()
    assert not (runs / "scores").exists()


@pytest.mark.parametrize("stop_after", [None, 1])
def test_a_search_keeps_no_checkpoint_of_an_ended_trial_and_touches_no_other(
    place, stop_after
) -> None:
    encoded, runs = place.trial(), place.home / "runs"
    place.runner().run(encoded, Listener())
    kept = runs / "checkpoints" / encoded.training_id
    before = {path.name: path.stat().st_mtime_ns for path in kept.iterdir()}
    trial = replace(encoded, encoding=None)
    outcome = place.runner(keep_backbones=False).run(trial, Listener(stop_after))
    assert outcome.status == ("stopped" if stop_after else "finished")
    assert {path.name: path.stat().st_mtime_ns for path in kept.iterdir()} == before
    assert list((runs / "hyperparameter_search" / "checkpoints").iterdir()) == []


def test_a_trial_of_a_search_that_was_killed_resumes_at_its_checkpoint(place, monkeypatch) -> None:
    trial, listener = replace(place.trial(), encoding=None), Listener()
    whole = place.runner("whole", keep_backbones=False).run(trial, Listener())

    def die(*_: object) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Outcome, "write", die)
        with pytest.raises(OSError, match="killed"):
            place.runner(keep_backbones=False).run(trial, Listener(stop_after=1))
    again = place.runner(keep_backbones=False).run(trial, listener)
    assert [report.epoch for report in listener.epochs][:1] == [2]
    assert [one.loss for one in again.history] == [one.loss for one in whole.history]


def test_what_a_search_measures_does_not_depend_on_the_test_images(place, monkeypatch) -> None:
    objective = replace(CONTRASTIVE, validation=0.2)
    trial = replace(place.trial(objective), encoding=None)
    plain = place.runner("plain", keep_backbones=False).run(trial, Listener())

    def read_garbled_subject(shard: Path) -> Subject:
        subject = read_subject(shard)
        responses = {side: matrix.copy() for side, matrix in subject.responses.items()}
        for matrix in responses.values():
            matrix[subject.test_rows] = 1e3
        return replace(subject, responses=responses)

    def read_garbled_images(shard: Path, device: torch.device) -> torch.Tensor:
        images = read_images(shard, device)
        images[read_subject(shard).test_rows] = 0
        return images

    monkeypatch.setattr(subject_cache, "read_subject", read_garbled_subject)
    monkeypatch.setattr(subject_cache, "read_images", read_garbled_images)
    garbled = place.runner("garbled", keep_backbones=False).run(trial, Listener())
    measured = [[(one.loss, one.retrieval_top1) for one in o.history] for o in (plain, garbled)]
    assert measured[0] == measured[1]
    assert measured[0][-1][1] is not None


def numerics_at_the_decomposition(monkeypatch) -> list[bool]:
    """Note at each eigendecomposition of a trial whether it and torch are to be deterministic."""
    seen: list[bool] = []

    def noting(K, k, numerics=None):
        assert isinstance(numerics, Numerics)
        assert numerics.deterministic == torch.are_deterministic_algorithms_enabled()
        if not seen or seen[-1] != numerics.deterministic:
            seen.append(numerics.deterministic)
        return leading_components(K, k, numerics)

    monkeypatch.setattr("trainables.encoding.pca.leading_components", noting)
    return seen


def test_a_deterministic_trial_repeats_to_the_bit_and_leaves_torch_as_it_was(
    place, monkeypatch
) -> None:
    seen = numerics_at_the_decomposition(monkeypatch)
    deterministic = place.trial().as_deterministic()
    rows = []
    for name, trial in (("one", deterministic), ("two", deterministic), ("fast", place.trial())):
        runner = place.runner(name)
        assert runner.run(trial, Listener()).status == "finished"
        rows.append(read_scores(RunDirectory(place.home / name), trial.id).column("r").to_numpy())
    assert seen == [True, False]
    assert not torch.are_deterministic_algorithms_enabled()
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_allclose(rows[0], rows[2], atol=1e-4)


def test_a_deterministic_model_is_evaluated_exactly(place, monkeypatch) -> None:
    seen = numerics_at_the_decomposition(monkeypatch)
    deterministic, runner = place.trial().as_deterministic(), place.runner()
    runner.run(deterministic, Listener())
    seen.clear()
    other = next(roi for roi in place.rois if roi.shard != deterministic.rois[0].shard)
    assert runner.run(Evaluation(deterministic, (other,)), Listener()).status == "finished"
    assert seen == [True]
