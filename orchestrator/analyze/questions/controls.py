"""How much of the gain of fine-tuning is the brain's: fine-tuned trials beside their controls.

A control is tuned without the ROI's responses (permuted over images, another ROI's, images alone),
or with a head of another size. What it gains over the untuned backbone is not the ROI's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import pandas as pd
import pyarrow as pa

from orchestrator.analyze.analysis import Analysis, Inputs, Missing
from orchestrator.scores.rows import ROI_COLUMNS
from orchestrator.scores.score_table import ScoreTable
from orchestrator.scores.statistics.measured_differences import measure_differences
from orchestrator.scores.statistics.summaries import Comparison, compare_rois
from orchestrator.scores.statistics.vertex_pairs import measure_rois, pair
from trainables.spec import Contrastive, SelfSupervised, Trial, Untuned
from trainables.spec.setting import setting_of

REAL, UNTUNED = "fine-tuned", "untuned"
PERMUTED: Final = "permuted responses"
SCHEMA = pa.schema(
    [
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("setting", pa.string(), nullable=False),
        pa.field("control", pa.string(), nullable=False),
        pa.field("row", pa.string(), nullable=False),
        pa.field("r_untuned", pa.float64(), nullable=False),
        pa.field("r_control", pa.float64(), nullable=False),
        pa.field("r", pa.float64(), nullable=False),
        *(
            pa.field(f"{name}{suffix}", pa.float64(), nullable=bool(suffix))
            for name in ("gain", "control_gain", "difference")
            for suffix in ("", "_low", "_high")
        ),
        pa.field("share", pa.float64()),
        pa.field("n_vertices", pa.int32(), nullable=False),
        pa.field("n_rois", pa.int32(), nullable=False),
        pa.field("n_subjects", pa.int32(), nullable=False),
    ]
)
"""One row per control and group of ROIs, over the vertices that untuned, control and fine-tuned
trial all have an r of. method, setting: of the fine-tuned trials. gain: r minus r_untuned;
control_gain: r_control minus r_untuned; difference: r minus r_control, the brain's part of the gain
beside permuted responses. share: difference / gain, null where the interval of the gain is
not known or includes 0. _low, _high: 95 % interval, as of ``improvement``; null where predictions
are missing. r is averaged over seeds."""


@dataclass(frozen=True)
class Contrast:
    """Fine-tuned trials of a setting, a control of them, and the untuned trials of both."""

    real: Trial
    control: str
    parts: Mapping[str, str]
    """UNTUNED, the control's name or REAL, by the id of a trial."""


def make(inputs: Inputs) -> pa.Table:
    """Compare every setting that has controls with each of them; Missing where none has."""
    trials = {key: one for key, one in inputs.scores.trials.items() if isinstance(one, Trial)}
    found = list(contrasts(trials))
    rows = [
        {"protocol": protocol, **row}
        for protocol in inputs.protocols
        for one in found
        for row in _rows(inputs, protocol, one)
    ]
    if not rows:
        cure = inputs.sweep_command("controls")
        raise Missing("no ROI has scores of a fine-tuned trial and of a control", cure)
    return pa.Table.from_pandas(pd.DataFrame(rows, columns=SCHEMA.names), SCHEMA)


def contrasts(trials: Mapping[str, Trial]) -> Iterator[Contrast]:
    """Yield each setting that has a control of responses, with each of its controls."""
    settings = {key: setting_of(_real_of(one)).digest for key, one in trials.items()}
    controlled = {s: trials[k] for k, s in settings.items() if _is_control(trials[k])}
    for setting, example in sorted(controlled.items(), key=lambda one: one[0]):
        real = _real_of(example)
        own = {k: REAL for k, s in settings.items() if s == setting and not _is_control(trials[k])}
        base = {
            key: UNTUNED
            for key, one in trials.items()
            if isinstance(one.objective, Untuned) and _numerics(one) == _numerics(real)
        }
        names = {key: _control_of(one, real) for key, one in trials.items()}
        for name in sorted({one for one in names.values() if one}):
            parts = {key: name for key, one in names.items() if one == name}
            yield Contrast(real, name, {**base, **own, **parts})


def _real_of(trial: Trial) -> Trial:
    """Return the trial that a control of responses is compared with; others as they are."""
    return replace(trial, permuted=False, tuned_on=None)


def _is_control(trial: Trial) -> bool:
    return trial.permuted or trial.tuned_on is not None


def _numerics(trial: Trial) -> str:
    """Digest what untuned and fine-tuned trials must have in common to be compared."""
    untuned = replace(
        trial,
        objective=Untuned(),
        rois=trial.rois[:1],  # a pooled trial's are of several subjects
        permuted=False,
        tuned_on=None,
        precision="float32",
    )
    return setting_of(untuned).digest


def _control_of(trial: Trial, real: Trial) -> str | None:
    """Name the control of a setting that a trial is; None if it is none."""
    if setting_of(_real_of(trial)) == setting_of(real):
        if trial.permuted:
            return PERMUTED
        return "another ROI" if trial.tuned_on is not None else None
    if _numerics(trial) != _numerics(real) or trial.precision != real.precision:
        return None
    if isinstance(trial.objective, SelfSupervised):
        return f"images alone {_short(trial)}".strip()
    return _other_head(trial, real)


def _short(trial: Trial) -> str:
    """Name a self-supervised setting: nothing where it is the default but for its schedule."""
    content = setting_of(trial).values
    plain = setting_of(replace(trial, objective=SelfSupervised())).values
    schedule = ("learning_rate", "batch_size", "epochs", "validation")
    changed = [name for name in content if name not in schedule and content[name] != plain[name]]
    return " ".join(f"{name}={content[name]}" for name in changed)


def _other_head(trial: Trial, real: Trial) -> str | None:
    """Name a trial by its head's widths if nothing else is different."""
    own, other = real.objective, trial.objective
    if not (isinstance(own, Contrastive) and isinstance(other, Contrastive)):
        return None
    as_own = replace(other, hidden_ratio=own.hidden_ratio, embedding_ratio=own.embedding_ratio)
    is_plain = not _is_control(trial) and as_own == own
    return f"head {other.hidden_ratio:g}/{other.embedding_ratio:g}" if is_plain else None


def _rows(inputs: Inputs, protocol: str, contrast: Contrast) -> Iterator[dict[str, Any]]:
    """Compare a setting, a control and untuned on the same vertices, by group of ROIs."""
    table = _with_sides(inputs.of_protocol(protocol), contrast)
    frame = _complete(table)
    if frame.empty:
        return
    sides = ((REAL, UNTUNED), (contrast.control, UNTUNED), (REAL, contrast.control))
    measured = measure_differences(table, sides, inputs.runs, inputs.data)
    pairs = measure_rois([pair(frame, a, b) for a, b in sides], measured)
    setting = setting_of(contrast.real).digest
    for gain, of_control, brain in zip(*(compare_rois(m, "group") for m in pairs), strict=True):
        is_gain = gain.interval is not None and gain.interval[0] > 0
        yield {
            "method": contrast.real.method,
            "setting": setting,
            "control": contrast.control,
            "row": gain.row.label,
            "r_untuned": gain.mean_b,
            "r_control": of_control.mean_a,
            "r": gain.mean_a,
            **_interval("gain", gain),
            **_interval("control_gain", of_control),
            **_interval("difference", brain),
            "share": brain.difference / gain.difference if is_gain else None,
            "n_vertices": gain.n_pairs,
            "n_rois": len(gain.row.rois),
            "n_subjects": len(gain.subjects),
        }


def _interval(name: str, found: Comparison) -> dict[str, float | None]:
    low, high = found.interval or (None, None)
    return {name: found.difference, f"{name}_low": low, f"{name}_high": high}


def _with_sides(table: ScoreTable, contrast: Contrast) -> ScoreTable:
    """Keep the trials of a contrast, with the side that each is on as its method."""
    sides = table.segments["trial_id"].astype(str).map(dict(contrast.parts))
    kept = table.where(sides.notna())
    return replace(kept, segments=kept.segments.assign(method=sides[sides.notna()]))


def _complete(table: ScoreTable) -> pd.DataFrame:
    """Average r over seeds, at the vertices that all three sides have an r of."""
    found = table.vertices
    place = ["roi_id", "data", "vertex"]
    keys = ["method", "protocol", *ROI_COLUMNS, *place]
    found = found.dropna(subset=["r"]).astype(dict.fromkeys([*keys[:-1]], str))
    means = found.groupby(keys, as_index=False).agg(r=("r", "mean"), n_seeds=("r", "size"))
    n_sides = means.groupby(place)["method"].transform("nunique")
    return means[n_sides == 3]


ANALYSIS = Analysis(
    name="controls",
    question="How much of the gain of fine-tuning is the brain's?",
    schema=SCHEMA,
    make=make,
    sources=Inputs.score_and_prediction_files,
    version=2,
)
