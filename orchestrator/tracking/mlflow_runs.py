"""The only MLflow: runs as a mirror of the outcome and score files, which are the truth.

A parent run stands for a sweep, a child run for each trial. What MLflow has not got, because it
was down or its database is new, is written by the next trial's end or the next run of the sweep.
"""

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.compute as pc
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from trainables.data.shards import MANIFEST, Manifest
from trainables.results.event_log import log_file
from trainables.results.outcome import Outcome
from trainables.results.provenance import code_version
from trainables.results.score_files import read_scores, summarise
from trainables.spec import Encoding, Trial, digest
from trainables.spec.evaluation import Evaluation
from trainables.storage.s3_mirror import address
from trainables.training.checkpoints import LAST

SQLITE: Final = "sqlite:///"
DEFAULT_URI: Final = f"{SQLITE}mlflow.db"
PARENT: Final = "mlflow.parentRunId"
NAME: Final = "mlflow.runName"
MIRRORED: Final = "mirrored"
"""Tag: digest of what the run was written from; another digest means that it is out of date."""
BATCH: Final = 900
"""Metrics a call: MLflow takes 1,000."""


@dataclass(frozen=True)
class Sweep:
    """What the parent run says, and where the files of its trials or evaluations are."""

    experiment: str
    space: str
    data: Path
    runs: Path
    fingerprint: str
    command: str = "sweep"
    """``sweep``, or ``evaluate``, whose space is what it evaluates."""
    hyperparameters: str | None = None
    """Digest of the frozen file whose values the trials have, where one was given."""

    @property
    def key(self) -> str:
        """Tell this sweep from others: the same space into the same directory goes on."""
        named = [self.space] if self.command == "sweep" else [self.command, self.space]
        of_file = [self.hyperparameters] if self.hyperparameters else []
        return digest([*named, address(self.runs.resolve()), *of_file])


def tracking_uri() -> str:
    """Name the store: MLFLOW_TRACKING_URI, or SQLite in the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def make_store(uri: str) -> None:
    """Make an SQLite store beside and link it: a process killed meanwhile leaves no half of one.

    MLflow can't open a database whose first migration was cut. Other stores, and one that is
    there, are left alone.
    """
    path = Path(uri.removeprefix(SQLITE))
    if not uri.startswith(SQLITE) or path.exists():
        return
    beside = path.with_name(
        f".{path.name}.{secrets.token_hex(4)}"
    )  # MLflow knows names it has seen
    try:
        MlflowClient(tracking_uri=f"{SQLITE}{beside}").search_experiments(max_results=1)
        os.link(beside, path)
    except FileExistsError:
        return  # another process was first
    finally:
        beside.unlink(missing_ok=True)


class Mirror:
    """MLflow's runs of one sweep. Every method may raise what MLflow raises."""

    def __init__(self, sweep: Sweep, uri: str) -> None:
        make_store(uri)
        self._sweep = sweep
        self._client = MlflowClient(tracking_uri=uri)
        self._code_version = code_version()
        self._experiment = self._find_experiment()
        self._parent = self._find_parent()
        self._known = self._find_children()

    def _find_experiment(self) -> str:
        found = self._client.get_experiment_by_name(self._sweep.experiment)
        if found is not None:
            return str(found.experiment_id)
        return self._client.create_experiment(self._sweep.experiment)

    def _find_parent(self) -> str:
        rule = f"tags.sweep = '{self._sweep.key}'"
        found = self._client.search_runs([self._experiment], rule, max_results=1)
        if found:
            self._client.update_run(found[0].info.run_id, status="RUNNING")
            return str(found[0].info.run_id)
        tags = {
            "sweep": self._sweep.key,
            "space": self._sweep.space,
            "dataset_fingerprint": self._sweep.fingerprint,
            "code_version": self._code_version,
            "data": address(self._sweep.data.resolve()),
            "runs": address(self._sweep.runs.resolve()),
        }
        if self._sweep.hyperparameters:
            tags["hyperparameters"] = self._sweep.hyperparameters
        name = f"{self._sweep.command} {self._sweep.space}"
        run = self._client.create_run(self._experiment, tags=tags, run_name=name)
        return str(run.info.run_id)

    def _find_children(self) -> dict[str, tuple[str, str]]:
        """Map each trial id to its run and what it was mirrored from."""
        known, token = {}, None
        while True:
            page = self._client.search_runs(
                [self._experiment], f"tags.`{PARENT}` = '{self._parent}'", page_token=token
            )
            for run in page:
                tags = run.data.tags
                known[tags.get("trial_id", "")] = (run.info.run_id, tags.get(MIRRORED, ""))
            token = page.token
            if not token:
                return known

    def write(self, trial_id: str) -> None:
        """Write a trial's run from its files; nothing when it is there and up to date."""
        outcome = Outcome.read(self._sweep.runs, trial_id)
        if outcome is None:
            return
        scores = read_scores(self._sweep.runs, trial_id)
        state = digest([outcome.started, outcome.status, scores.num_rows])
        run_id, mirrored = self._known.get(trial_id, (None, ""))
        if mirrored == state:
            return
        if run_id is None:
            run_id = self._create(outcome)
        else:
            self._client.update_run(run_id, status="RUNNING")
            self._client.set_tag(run_id, "error", "")  # what an earlier try said is over
        self._log(run_id, outcome, scores)
        self._log_artifacts(run_id, outcome)
        status = "FAILED" if outcome.status == "failed" else "FINISHED"
        self._client.set_tag(run_id, MIRRORED, state)
        self._client.set_terminated(run_id, status, _ended(outcome))
        self._known[trial_id] = (run_id, state)

    def _create(self, outcome: Outcome) -> str:
        run = self._client.create_run(
            self._experiment,
            start_time=int(1000 * outcome.started),
            tags={PARENT: self._parent, "trial_id": outcome.trial.id},
            run_name=outcome.trial.id,
        )
        return str(run.info.run_id)

    def _log(self, run_id: str, outcome: Outcome, scores: Any) -> None:
        summary = summarise(scores) | _per_roi(outcome, scores) | _overlap_metrics(scores)
        metrics = [*_epoch_metrics(outcome), *_final_metrics(outcome, summary)]
        for start in range(0, len(metrics), BATCH):
            self._client.log_batch(run_id, metrics=metrics[start : start + BATCH])
        params = [Param(key, str(value)) for key, value in _params(outcome).items()]
        tags = self._tags(outcome) | _layer_tags(outcome, scores)
        self._client.log_batch(
            run_id, params=params, tags=[RunTag(key, str(value)) for key, value in tags.items()]
        )

    def _tags(self, outcome: Outcome) -> dict[str, str]:
        encoding = outcome.trial.encoding
        splits = {Manifest.read(self._sweep.data / one).split for one in outcome.trial.shards}
        tags = {
            "training_id": outcome.trial.training_id,
            "dataset_fingerprint": self._sweep.fingerprint,
            "split": ",".join(sorted(splits)),
            "protocol": ",".join(encoding.protocols) if encoding else "",
            "code_version": self._code_version,
            "status": outcome.status,
            "host": outcome.host,
            "device": outcome.device,
        }
        return tags | ({"error": outcome.error[-4000:]} if outcome.error else {})

    def _log_artifacts(self, run_id: str, outcome: Outcome) -> None:
        runs, trial = self._sweep.runs, outcome.trial
        scores = runs / "scores" / trial.id
        if scores.is_dir():
            self._client.log_artifacts(run_id, str(scores), "scores")
        log = log_file(runs, trial.id)
        if log.is_file():
            self._client.log_artifact(run_id, str(log), "log")
        with tempfile.TemporaryDirectory() as scratch:
            for shard in trial.shards:
                name = MANIFEST if len(trial.shards) == 1 else f"{shard}-{MANIFEST}"
                shutil.copy(self._sweep.data / shard / MANIFEST, Path(scratch) / name)
            note = runs / "checkpoints" / trial.training_id / LAST
            if note.exists():
                reference = {"directory": address(note.parent.resolve())} | json.loads(
                    note.read_text()
                )
                del reference["history"]
                (Path(scratch) / "checkpoint.json").write_text(json.dumps(reference, indent=1))
            self._client.log_artifacts(run_id, scratch)

    def close(self, *, complete: bool) -> None:
        """End the parent run."""
        self._client.set_terminated(self._parent, "FINISHED" if complete else "KILLED")


def log_analyses(experiment: str, runs: Path, files: Sequence[Path]) -> str:
    """Log the tables of a sweep's analyses as artifacts of one run; return the run's id.

    May raise what MLflow raises. The run is found again, so that there is one for each RUNS.
    """
    uri = tracking_uri()
    make_store(uri)
    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    number = str(found.experiment_id) if found else client.create_experiment(experiment)
    key = digest(["analyses", address(runs.resolve())])
    known = client.search_runs([number], f"tags.analyses = '{key}'", max_results=1)
    tags = {"analyses": key, "runs": address(runs.resolve()), "code_version": code_version()}
    run = known[0] if known else client.create_run(number, tags=tags, run_name="analyses")
    for path in files:
        client.log_artifact(run.info.run_id, str(path), "analyses")
    client.set_terminated(run.info.run_id, "FINISHED")
    return str(run.info.run_id)


def _params(outcome: Outcome) -> dict[str, object]:
    work_item = outcome.trial
    if isinstance(work_item, Trial):
        return _trial_params(work_item)
    # What is scored may grow, and parameters can't change: the model's place alone is named.
    model = {f"model_{name}": value for name, value in _trial_params(work_item.model).items()}
    return {
        "method": work_item.method,
        "dataset": work_item.rois[0].dataset,
        "subject": work_item.rois[0].subject,
        "model": work_item.model.id,
        "trained_on": work_item.trained_on,
        "exclude_training_images": work_item.exclude_training_images,
        **model,
    }


def _trial_params(trial: Trial) -> dict[str, object]:
    roi = trial.rois[0]
    # An untuned run is a subject's, whatever ROIs were scored first: parameters can't change.
    of_subject = trial.method == "untuned"
    return {
        "method": trial.method,
        "dataset": roi.dataset,
        "subject": ",".join(dict.fromkeys(one.subject for one in trial.rois)),
        "hemisphere": "both" if of_subject else roi.hemisphere,
        "roi": "all" if of_subject else roi.name,
        "backbone": trial.backbone.architecture,
        "weights": trial.backbone.weights,
        "seed": trial.seed,
        **({} if of_subject else {"precision": trial.precision}),
        "deterministic": trial.deterministic,
        **{name: value for name, value in asdict(trial.objective).items()},
        **{f"encoding_{name}": value for name, value in _fields(trial.encoding).items()},
    }


def _fields(encoding: Encoding | None) -> dict[str, object]:
    return {} if encoding is None else asdict(encoding)


def _epoch_metrics(outcome: Outcome) -> Iterable[Metric]:
    clock = outcome.started
    for report in outcome.history:
        clock += report.seconds
        for name in ("loss", "retrieval_top1", "retrieval_median_rank", "images_per_second"):
            value = getattr(report, name)
            if value is not None:
                yield Metric(name, value, int(1000 * clock), report.epoch)


def _final_metrics(outcome: Outcome, summary: dict[str, float]) -> Iterable[Metric]:
    seconds = {f"seconds_{name}": value for name, value in outcome.seconds.items()}
    for name, value in (summary | seconds).items():
        yield Metric(name, value, _ended(outcome), 0)


def _ended(outcome: Outcome) -> int:
    """Tell when a trial ended, in milliseconds since 1970."""
    return int(1000 * (outcome.started + sum(outcome.seconds.values())))


def _per_roi(outcome: Outcome, scores: Any) -> dict[str, float]:
    """Add the mean r of each ROI, where a trial has several: by subject where it has several."""
    work_item = outcome.trial
    pooled = len(work_item.shards) > 1
    if isinstance(work_item, Trial) and work_item.method != "untuned" and not pooled:
        return {}
    keys = ["subject", "hemisphere", "roi"] if pooled else ["hemisphere", "roi"]
    means = scores.group_by(["protocol", *keys]).aggregate([("r", "mean")])
    return {
        f"{row['protocol']}_r_mean.{'-'.join(row[key] for key in keys)}": row["r_mean"]
        for row in means.to_pylist()
        if row["r_mean"] is not None
    }


def _overlap_metrics(scores: Any) -> dict[str, float]:
    """Count the test images that a backbone was trained on, over the scored subjects."""
    subjects = scores.group_by(["dataset", "subject"]).aggregate([("n_overlap", "max")])
    return (
        {"n_overlap": float(sum(subjects["n_overlap_max"].to_pylist()))} if scores.num_rows else {}
    )


def _layer_tags(outcome: Outcome, scores: Any) -> dict[str, str]:
    """Name the layer that each protocol chose, where a trial has one ROI."""
    work_item = outcome.trial
    several = (
        isinstance(work_item, Evaluation)
        or work_item.method == "untuned"
        or len(work_item.rois) > 1
    )
    if several or not scores.num_rows:
        return {}
    return {
        f"{protocol}_layer": scores.filter(pc.equal(scores["protocol"], protocol))["layer"][
            0
        ].as_py()
        for protocol in pc.unique(scores["protocol"]).to_pylist()
    }
