"""The model card of an encoding model: a README.md with YAML front matter, as hubs expect."""

from typing import Final

import numpy as np

from orchestrator.encoding_models.config import ModelConfig
from trainables.spec import Backbone, Untuned
from trainables.spec.evaluation import training_of
from trainables.spec.rois import BOTH

_FRONT: Final = """\
---
# license: choose one before you publish; the terms of the fMRI data and of the backbone's
# pretrained weights apply to this model too
library_name: cortex-sweep
pipeline_tag: image-feature-extraction
tags:
{tags}
---
"""
_BODY: Final = """\
# {name}

{warning}Predicts the fMRI responses of {n_vertices} vertices of **{roi}** ({hemisphere}, {subject},
data set {dataset}) to any image.

```python
from orchestrator.encoding_models import load_model

model = load_model("{name}"{trust})
responses = model.predict(["image.png"])  # (1, {n_vertices}) float32, in the data's own units
model.vertices                            # one row per column: mesh vertex, r, noise ceiling
```

## Model

| | |
|---|---|
| backbone | {architecture}, weights `{weights}`, {tuning} |
| layer | `{layer}`, reduced to {n_components} principal components at most |
| readout | ridge regression, one alpha per vertex, chosen by protocol `{protocol}` |
| fitted to | {fitted} |
| images | resized to {size} x {size} pixels, {crop}; see `config.json` |
| stored in | {stored} |

## Scores

{scores}

## Provenance

Split `{split}` ({split_digest}), data `{data}`, trial `{trial}`, program {code}. SHA-256 of every
file of weights, and the r, noise ceiling and alpha of every vertex, are in `config.json`.

## Limits

- It is of one subject's ROI. Other people's cortex, even the same ROI, responds differently.
- It was fitted to the images of one data set, shown at one size. On images of other kinds, such as
  drawings, text or artificial patterns, its predictions may be wrong in ways that its r does not
  show.
- A prediction is the expected response. Single trials vary around it, and a vertex of low r is
  predicted poorly: compare r with the noise ceiling before you interpret a vertex.
- A layer that predicts an ROI well does not show that the two compute the same.
"""

_HEMISPHERES: Final = {
    "lh": "left hemisphere",
    "rh": "right hemisphere",
    BOTH: "hemispheres not divided",
}


def write_card(config: ModelConfig) -> str:
    """Write the text of a model's card."""
    trial = training_of(config.trial)
    encoding = config.trial.encoding
    assert encoding is not None  # its scores chose the layer
    roi = config.roi
    return _front(config) + _BODY.format(
        name=config.name,
        trust=_trust(trial.backbone),
        warning=_warning(config),
        n_vertices=roi.n_vertices,
        roi=roi.name,
        hemisphere=_HEMISPHERES[roi.hemisphere],
        subject=roi.subject,
        dataset=roi.dataset,
        architecture=config.architecture,
        weights=trial.backbone.weights,
        tuning=_tuning(config),
        layer=config.layer,
        n_components=encoding.n_components,
        protocol=config.score.protocol,
        fitted=_fitted(config),
        size=config.preprocessing.image_size,
        crop=_crop(config.preprocessing.crop),
        stored=_stored(config),
        scores=_scores(config),
        split=config.split,
        split_digest=config.split_digest,
        data=roi.data,
        trial=config.trial.id,
        code=config.code,
    )


def _crop(crop: int | None) -> str:
    return "without a crop" if crop is None else f"then the centre of {crop} x {crop}"


def _trust(backbone: Backbone) -> str:
    """Return the argument without which a backbone of a user's file is not loaded."""
    return "" if backbone.source is None else ", trust_code=True"


def _front(config: ModelConfig) -> str:
    tags = ["encoding-model", "fmri", "neuroscience", "visual-cortex", config.roi.name]
    tags += ["simulated-data"] if config.is_simulated else []
    return _FRONT.format(tags="\n".join(f"- {tag}" for tag in tags))


def _warning(config: ModelConfig) -> str:
    if not config.is_simulated:
        return ""
    return (
        "> **Simulated data.** This model was fitted to simulated responses. It predicts no "
        "measured brain.\n\n"
    )


def _tuning(config: ModelConfig) -> str:
    trial = training_of(config.trial)
    if isinstance(trial.objective, Untuned):
        return "not fine-tuned"
    rois = ", ".join(roi.id for roi in trial.trained_rois) or "images alone"
    return f"fine-tuned ({trial.method}) on {rois}"


def _fitted(config: ModelConfig) -> str:
    trials = "" if config.n_trials is None else f" ({config.n_trials:,} single trials)"
    if config.fit == "train":
        return f"the {config.n_fitted:,} training images{trials} alone, as its scores were measured"
    return (
        f"all {config.n_fitted:,} images{trials}, the test images too, for use in practice; its "
        "scores are those of the same model fitted to the training images"
    )


def _stored(config: ModelConfig) -> str:
    if not config.weights.half:
        return "single precision"
    return (
        "PCA and readout in half precision, which changes the r of a vertex by at most "
        f"{config.weights.half_change:.1g}"
    )


def _scores(config: ModelConfig) -> str:
    score = config.score
    if score.r_mean is None:
        return "No vertex has an r: its responses or its predictions are constant."
    interval = "" if score.low is None else f" (95 % interval {score.low:.3f} to {score.high:.3f})"
    lines = [
        f"Pearson r on {score.n_test:,} test images, mean over vertices: "
        f"**{score.r_mean:.3f}**{interval}. The interval is over test images of this subject."
    ]
    lines += _ceiling(config)
    if score.n_overlap:
        lines.append(
            f"The backbone was fine-tuned on {score.n_overlap:,} of the test images, so that r is "
            "optimistic."
        )
    if score.n_candidates > 1 and score.chosen_by == "validation":
        lines.append(
            f"It was chosen among {score.n_candidates} models by cross-validation within training "
            "images that no backbone was tuned on, and not by this r."
        )
    elif score.n_candidates > 1:
        lines.append(
            f"It was chosen among {score.n_candidates} models by this r, which is therefore "
            "slightly optimistic."
        )
    return " ".join(lines)


def _ceiling(config: ModelConfig) -> list[str]:
    pairs = zip(config.vertices.r, config.vertices.noise_ceiling, strict=True)
    known = [(r, ceiling) for r, ceiling in pairs if r is not None and ceiling]
    if not known:
        return ["Noise ceilings are unknown."]
    mean = np.mean([ceiling for _, ceiling in known])
    return [f"The mean noise ceiling of {len(known)} of these vertices is {mean:.3f}."]
