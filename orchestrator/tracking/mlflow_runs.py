"""Runs in MLflow that mirror the outcome and score files; the files are authoritative.

A sweep has a parent run, with one child run per trial. Runs that are missing, because MLflow was
down or its database is new, are written when the next trial ends or the sweep is run again.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from mlflow.entities import Metric, Param, RunTag

from orchestrator.tracking.identity import DIRECTORY, Sweep, identity_of
from orchestrator.tracking.mlflow_store import find_experiment, tracking_uri
from orchestrator.tracking.run_contents import (
    ended_ms,
    layer_tags,
    metric_name,
    metrics,
    now_ms,
    parameters,
    setting_tags,
)
from orchestrator.tracking.store_check import open_store
from trainables.data.data_directory import manifest_file
from trainables.data.shards import Manifest
from trainables.results.outcome import Outcome
from trainables.results.provenance import code_version
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import read_scores
from trainables.spec import digest
from trainables.storage.redaction import redact
from trainables.training.checkpoint_notes import LAST, Note

PARENT: Final = "mlflow.parentRunId"
MIRRORED: Final = "mirrored"
"""Tag: digest of the files that the run was written from; if it differs, the run is outdated."""
BATCH: Final = 900
"""Metrics per call; MLflow's limit is 1,000."""


class Mirror:
    """Writes MLflow's runs of one sweep. Every method may raise MLflow's exceptions."""

    def __init__(self, sweep: Sweep, uri: str) -> None:
        self._sweep = sweep
        self._client = open_store(uri)
        self._code_version = code_version()
        self._experiment = find_experiment(self._client, sweep.experiment)
        self._parent = self._find_parent()
        self._known = self._find_children()

    def _find_parent(self) -> str:
        rule = f"tags.sweep = '{self._sweep.key}'"
        found = self._client.search_runs([self._experiment], rule, max_results=1)
        if found:
            run_id = str(found[0].info.run_id)
            self._client.update_run(run_id, status="RUNNING")
            self._client.set_tag(run_id, "command_line", redact(self._sweep.command_line))
            return run_id
        tags = {
            "command_line": redact(self._sweep.command_line),
            "sweep": self._sweep.key,
            DIRECTORY: identity_of(self._sweep.runs),
            "space": self._sweep.space,
            "dataset_fingerprint": self._sweep.fingerprint,
            "code_version": self._code_version,
            "data": self._sweep.data.resolved().address,
            "runs": self._sweep.runs.resolved().address,
        }
        if self._sweep.hyperparameters:
            tags["hyperparameters"] = self._sweep.hyperparameters
        name = f"{self._sweep.command} {self._sweep.space}"
        run = self._client.create_run(self._experiment, tags=tags, run_name=name)
        return str(run.info.run_id)

    def _find_children(self) -> dict[str, tuple[str, str]]:
        """Map each trial id to its run's id and its MIRRORED tag."""
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
        """Write a trial's run from its files, unless it exists and is up to date."""
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
            for name in ("error", "error_kind"):  # clear those of an earlier attempt
                self._client.set_tag(run_id, name, "")
        self._log(run_id, outcome, scores)
        self._log_artifacts(run_id, outcome)
        status = "FAILED" if outcome.status == "failed" else "FINISHED"
        self._client.set_tag(run_id, MIRRORED, state)
        self._client.set_terminated(run_id, status, ended_ms(outcome))
        self._known[trial_id] = (run_id, state)

    def _create(self, outcome: Outcome) -> str:
        run = self._client.create_run(
            self._experiment,
            start_time=int(1000 * outcome.started),
            tags={PARENT: self._parent, "trial_id": outcome.trial.id},
            run_name=self._sweep.names.get(outcome.trial.id, outcome.trial.id),
        )
        return str(run.info.run_id)

    def _log(self, run_id: str, outcome: Outcome, scores: Any) -> None:
        measured = metrics(outcome, scores)
        for start in range(0, len(measured), BATCH):
            self._client.log_batch(run_id, metrics=measured[start : start + BATCH])
        params = [Param(key, str(value)) for key, value in parameters(outcome).items()]
        tags = self._tags(outcome) | layer_tags(outcome, scores)
        self._client.log_batch(
            run_id, params=params, tags=[RunTag(key, str(value)) for key, value in tags.items()]
        )

    def _tags(self, outcome: Outcome) -> dict[str, str]:
        encoding = outcome.trial.encoding
        splits = {Manifest.read(self._sweep.data.shard(one)).split for one in outcome.trial.shards}
        tags = {
            **setting_tags(outcome.trial),
            "training_id": outcome.trial.training_id,
            "dataset_fingerprint": self._sweep.fingerprint,
            "split": ",".join(sorted(splits)),
            "protocol": ",".join(encoding.protocols) if encoding else "",
            "code_version": self._code_version,
            "status": outcome.status,
            "host": outcome.host,
            "device": outcome.device,
        }
        if outcome.error:
            tags["error"] = outcome.error[-4000:]
        if outcome.error_kind is not None:
            tags["error_kind"] = outcome.error_kind
        return tags

    def _log_artifacts(self, run_id: str, outcome: Outcome) -> None:
        runs, trial = self._sweep.runs, outcome.trial
        scores = runs.scores(trial.id)
        if scores.is_dir():
            self._client.log_artifacts(run_id, str(scores), "scores")
        log = runs.log_file(trial.id)
        if log.is_file():
            self._client.log_artifact(run_id, str(log), "log")
        with tempfile.TemporaryDirectory() as scratch:
            for shard in trial.shards:
                manifest = manifest_file(self._sweep.data.shard(shard))
                name = manifest.name if len(trial.shards) == 1 else f"{shard}-{manifest.name}"
                shutil.copy(manifest, Path(scratch) / name)
            checkpoints = runs.resolved().checkpoints(trial.training_id)
            note = checkpoints.path / LAST
            if note.exists():
                reference = {"directory": checkpoints.address} | asdict(Note.read(note))
                del reference["history"]
                (Path(scratch) / "checkpoint.json").write_text(
                    json.dumps(reference, indent=1), encoding="utf-8"
                )
            self._client.log_artifacts(run_id, scratch)

    def summarise(self, numbers: Mapping[str, float]) -> None:
        """Write the numbers of the sweep and its search space to the parent run."""
        found = [Metric(metric_name(key), value, now_ms(), 0) for key, value in numbers.items()]
        for start in range(0, len(found), BATCH):
            self._client.log_batch(self._parent, metrics=found[start : start + BATCH])
        source = self._sweep.source
        if source is not None and source.is_file():
            self._client.log_artifact(self._parent, str(source), "space")

    def close(self, *, complete: bool) -> None:
        """End the parent run."""
        self._client.set_terminated(self._parent, "FINISHED" if complete else "KILLED")


def log_analyses(experiment: str, runs: RunDirectory, files: Sequence[Path]) -> str:
    """Log the tables of a sweep's analyses as artifacts of one run; return the run's id.

    May raise MLflow's exceptions. An existing run is reused, so that there is one for each RUNS.
    """
    client = open_store(tracking_uri())
    number = find_experiment(client, experiment)
    key = digest(["analyses", identity_of(runs)])
    known = client.search_runs([number], f"tags.analyses = '{key}'", max_results=1)
    tags = {"analyses": key, "runs": runs.resolved().address, "code_version": code_version()}
    run = known[0] if known else client.create_run(number, tags=tags, run_name="analyses")
    for path in files:
        client.log_artifact(run.info.run_id, str(path), "analyses")
    client.set_terminated(run.info.run_id, "FINISHED")
    return str(run.info.run_id)
