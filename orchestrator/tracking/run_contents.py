"""The content of a trial's MLflow run, computed from its outcome and scores."""

import re
import time
from collections.abc import Iterable
from dataclasses import asdict

import pyarrow as pa
import pyarrow.compute as pc
from mlflow.entities import Metric

from trainables.results.outcome import Outcome
from trainables.results.score_files import summarise
from trainables.spec import Encoding, Trial
from trainables.spec.evaluation import Evaluation, WorkItem
from trainables.spec.setting import setting_of


def parameters(outcome: Outcome) -> dict[str, object]:
    """Return the settings of a trial or an evaluation as MLflow's parameters."""
    work_item = outcome.trial
    if isinstance(work_item, Trial):
        return _trial_params(work_item)
    # Parameters can't change, but further ROIs may be scored: only the model's place is named.
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
    # Parameters can't change, but further ROIs may be scored: a run of images names its subject.
    of_subject = trial.is_of_subject
    return {
        "method": trial.method,
        "dataset": roi.dataset,
        "subject": ",".join(dict.fromkeys(one.subject for one in trial.rois)),
        "hemisphere": "both" if of_subject else roi.hemisphere,
        "roi": "all" if of_subject else roi.name,
        "backbone": trial.backbone.architecture,
        "weights": trial.backbone.weights,
        "seed": trial.seed,
        **({} if trial.method == "untuned" else {"precision": trial.precision}),
        **({} if trial.tuned_on is None else {"tuned_on": trial.tuned_on.id}),
        "deterministic": trial.deterministic,
        **{name: value for name, value in asdict(trial.objective).items()},
        **{f"encoding_{name}": value for name, value in _fields(trial.encoding).items()},
    }


def _fields(encoding: Encoding | None) -> dict[str, object]:
    return {} if encoding is None else asdict(encoding)


def setting_tags(work_item: WorkItem) -> dict[str, str]:
    """Return the digest of a setting, and a tag ``setting.NAME`` for each of its values."""
    setting = setting_of(work_item)
    values = {f"setting.{name}": str(value)[:500] for name, value in setting.values.items()}
    return {"setting": setting.digest, **values}


def metric_name(text: str) -> str:
    """Make a name that MLflow accepts: ``=`` becomes a colon, other characters underscores."""
    return re.sub(r"[^\w.\-/: ]", "_", text.replace("=", ":"), flags=re.ASCII)[:250]


def now_ms() -> int:
    """Return the time, in milliseconds since 1970."""
    return int(1000 * time.time())


def metrics(outcome: Outcome, scores: pa.Table) -> list[Metric]:
    """Return the metrics of a trial, of each epoch and of its end.

    scores: one row per vertex and protocol, as returned by :func:`read_scores`.
    """
    summary = summarise(scores) | _per_roi(outcome, scores) | _overlap_metrics(scores)
    return [*_epoch_metrics(outcome), *_final_metrics(outcome, summary)]


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
        yield Metric(name, value, ended_ms(outcome), 0)


def ended_ms(outcome: Outcome) -> int:
    """Return when a trial ended, in milliseconds since 1970."""
    return int(1000 * (outcome.started + sum(outcome.seconds.values())))


def _per_roi(outcome: Outcome, scores: pa.Table) -> dict[str, float]:
    """Return the mean r of each ROI if a trial has several, by subject if it has several."""
    work_item = outcome.trial
    pooled = len(work_item.shards) > 1
    if isinstance(work_item, Trial) and not work_item.is_of_subject and not pooled:
        return {}
    keys = ["subject", "hemisphere", "roi"] if pooled else ["hemisphere", "roi"]
    means = scores.group_by(["protocol", *keys]).aggregate([("r", "mean")])
    return {
        f"{row['protocol']}_r_mean.{'-'.join(row[key] for key in keys)}": row["r_mean"]
        for row in means.to_pylist()
        if row["r_mean"] is not None
    }


def _overlap_metrics(scores: pa.Table) -> dict[str, float]:
    """Count the test images that a backbone was trained on, over the scored subjects."""
    subjects = scores.group_by(["dataset", "subject"]).aggregate([("n_overlap", "max")])
    return (
        {"n_overlap": float(sum(subjects["n_overlap_max"].to_pylist()))} if scores.num_rows else {}
    )


def layer_tags(outcome: Outcome, scores: pa.Table) -> dict[str, str]:
    """Return the layer that each protocol chose, if the trial has only one ROI."""
    work_item = outcome.trial
    several = (
        isinstance(work_item, Evaluation) or work_item.is_of_subject or len(work_item.rois) > 1
    )
    if several or not scores.num_rows:
        return {}
    return {
        f"{protocol}_layer": scores.filter(pc.equal(scores["protocol"], protocol))["layer"][
            0
        ].as_py()
        for protocol in pc.unique(scores["protocol"]).to_pylist()
    }
