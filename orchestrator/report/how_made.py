"""How the results were made: data, settings, the method with its citation, commands, versions."""

import platform
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from orchestrator.analyze.analysis import Inputs
from orchestrator.cli.text import count
from orchestrator.execution.command_history import read_history
from orchestrator.scores.rows import method_order
from trainables.data.shards import Manifest
from trainables.results.provenance import code_version
from trainables.spec import Trial, Untuned
from trainables.spec.labels import format_values
from trainables.spec.setting import Value, setting_of

CITATION: Final = (
    'Mulrooney and Brockmeier, "Contrastive Learning to Fine-Tune Feature Extraction Models for '
    'the Visual Cortex", arXiv 2410.06067'
)
METHOD: Final = (
    "An image network that was pretrained on image classification is fine-tuned for each ROI on "
    "the training images: contrastively, so that embeddings of images and of the responses to them "
    "agree, or by regression of the responses.",
    "Features of each layer of the fine-tuned network and of the untuned one are reduced by a "
    "principal component analysis that is fitted to training images.",
    "Ridge regression predicts the responses of each vertex from them.",
    "A vertex's score is Pearson's r of measured and predicted responses over held-out images.",
)
CHOICES: Final = {
    "nested": "layer and ridge penalty are chosen by cross-validation within the training images, "
    "and r is measured once, on the test images",
    "clean": "layer and ridge penalty are chosen, and principal components and ridge fitted, on "
    "training images that no network was fine-tuned on, and r is measured once, on the test images",
    "paper": "layer and ridge penalty are chosen on the folds of the test images that r is "
    "reported on, which is optimistic",
    "released": "layer, ridge penalty and r are of images that a fine-tuned network was trained "
    "on: they leak",
}
"""The fifth sentence: which images choose, under each protocol."""
SHARED: Final = "all methods"
PACKAGES: Final = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "ray", "pyarrow")


@dataclass(frozen=True)
class HowMade:
    """What the head of the page says about the making of its numbers."""

    method: str
    data: tuple[str, ...]
    """A sentence per data set."""
    settings: tuple[tuple[str, str], ...]
    """SHARED and the settings of all; each method, as the tables name it, and its own settings."""
    commands: tuple[str, ...]
    versions: str


def how_made(inputs: Inputs) -> HowMade:
    """Collect what the files of a sweep record of its making."""
    choices = "; ".join(f"under protocol {one}, {CHOICES[one]}" for one in inputs.protocols)
    method = " ".join((*METHOD, f"{choices[:1].upper()}{choices[1:]}.", f"After {CITATION}."))
    return HowMade(
        method=method,
        data=tuple(_data(inputs)),
        settings=tuple(_settings(inputs)),
        commands=tuple(_commands(inputs)),
        versions=_versions(inputs),
    )


def _data(inputs: Inputs) -> Iterator[str]:
    """Describe each data set: measured or simulated, subjects, images, split."""
    table = inputs.all_scores
    shards = {shard.name: shard for shard in inputs.data.shards()}
    for dataset in table.present("dataset"):
        of_dataset = table.keep("dataset", [dataset])
        subjects = of_dataset.present("subject")
        kind = "simulated responses" if of_dataset.is_simulated else "measured responses"
        n_rois = of_dataset.segments["roi_id"].nunique()
        text = f"{dataset}: {kind} of {', '.join(subjects)}, {count(n_rois, 'ROI')}"
        known = [shards[f"{dataset}-{one}"] for one in subjects if f"{dataset}-{one}" in shards]
        manifests = [Manifest.read(one) for one in known]
        if manifests:
            sizes = sorted({size for one in manifests for size in one.image_sizes})
            text += (
                f"; {_range([one.n_train for one in manifests])} training and "
                f"{_range([one.n_test for one in manifests])} test images a subject, split "
                f"{', '.join(sorted({one.split for one in manifests}))}, "
                f"stored {' and '.join(map(str, sizes))} pixels wide"
            )
        single = [one.n_trials for one in manifests if one.n_trials is not None]
        if single:
            text += f"; trained and fitted on {_range(single)} single trials a subject"
        yield f"{text}."


def _range(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _settings(inputs: Inputs) -> Iterator[tuple[str, str]]:
    """Yield the settings that all methods share, then each method's own.

    Evaluations have the settings of their models.
    """
    table = inputs.all_scores
    pairs = table.segments[["method", "trial_id"]].drop_duplicates().astype(str)
    trials = defaultdict(list)
    for label, trial_id in zip(pairs["method"], pairs["trial_id"], strict=True):
        work_item = table.trials[trial_id]
        if isinstance(work_item, Trial):
            trials[label].append(work_item)
    settings = {label: setting_of(trials[label][0]).items for label in method_order(trials)}
    shared = set.intersection(*map(set, settings.values())) if len(settings) > 1 else set()
    if shared:
        first = next(iter(settings.values()))
        yield SHARED, _listed(one for one in first if one in shared)
    for label, items in settings.items():
        own = _listed(one for one in items if one not in shared and one[0] != "method")
        seeds = sorted({one.seed for one in trials[label]})
        is_tuned = not isinstance(trials[label][0].objective, Untuned)
        of_seeds = f"seeds {', '.join(map(str, seeds))}" if is_tuned else ""
        yield label, ", ".join(filter(None, (own, of_seeds))) or "no others"


def _listed(items: Iterable[tuple[str, Value]]) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in items)


def _text(value: Value) -> str:
    if isinstance(value, tuple):
        return " ".join(_text(one) for one in value)
    return format_values([value])[value]


def _commands(inputs: Inputs) -> Iterator[str]:
    """Yield the command lines of all sweeps and evaluations, and of this page."""
    yield from read_history(inputs.runs)
    data, out = (shlex.quote(str(one)) for one in (inputs.data, inputs.runs))
    of_protocol = f" --protocol {inputs.protocol}" if inputs.protocol else ""
    for name, options in (("analyze", ""), ("report", of_protocol)):
        yield f"python -m orchestrator.{name} --data {data} --out {out}{options}"


def _versions(inputs: Inputs) -> str:
    """Name the versions that scored, and those that made this page."""
    codes = [str(code) for code in inputs.all_scores.segments["code"].dropna().unique()]
    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return (
        f"scores by cortex-sweep {', '.join(codes) or 'unknown'}; this page by {code_version()} "
        f"with {', '.join(found)}"
    )
