"""The calls of BERG (Brain Encoding Response Generator) on a directory of exported models."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from orchestrator.encoding_models.config import ModelDirectory, find_models
from orchestrator.encoding_models.image_input import Images
from orchestrator.encoding_models.model import EncodingModel, Responses, load_model
from trainables.wording import some


def get_encoding_model(
    models: str | Path,
    subject: str | int,
    roi: str,
    hemisphere: str,
    device: str = "auto",
    *,
    trust_code: bool = False,
) -> EncodingModel:
    """Load the model of an ROI from a directory of models, as BERG's function of that name does.

    subject: ``subj01``, or its number. device: ``auto`` for a GPU where there is one. Raises
    ValueError listing what there is if no model, or more than one, is of that ROI. trust_code: as
    of `load_model`.
    """
    there = find_models(Path(models))
    fits = [one for one in there if _is_of(one, subject, roi, hemisphere)]
    if len(fits) != 1:
        found = f"{len(fits)} models" if fits else "no model"
        raise ValueError(
            f"{models}: {found} of {subject} {hemisphere} {roi}; load_model loads one of "
            f"{some([one.path.name for one in fits or there])}"
        )
    has_gpu = torch.cuda.is_available()
    chosen = ("cuda" if has_gpu else "cpu") if device == "auto" else device
    return load_model(fits[0].path, trust_code=trust_code).to(chosen)


def _is_of(model: ModelDirectory, subject: str | int, roi: str, hemisphere: str) -> bool:
    found = model.config.roi
    if isinstance(subject, int):
        digits = "".join(c for c in found.subject if c.isdigit())
        is_subject = digits != "" and int(digits) == subject
    else:
        is_subject = found.subject == subject
    return is_subject and (found.name, found.hemisphere) == (roi, hemisphere)


def encode(
    model: EncodingModel, stimulus: Images, *, return_metadata: bool = False
) -> Responses | tuple[Responses, dict[str, Any]]:
    """Predict responses to images, as BERG's function of that name does.

    stimulus: (n, 3, height, width) integers from 0 to 255, or what `EncodingModel.predict` takes.
    Returns (n, n_vertices) float32; with return_metadata also a dictionary of the ROI's vertices on
    fsaverage, their r and noise ceilings, as (n_vertices,) arrays with NaN where unknown.
    """
    predicted = model.predict(stimulus)
    if not return_metadata:
        return predicted
    columns = model.config.vertices
    names = {"fsaverage": columns.fsaverage, "r": columns.r, "noise_ceiling": columns.noise_ceiling}
    values = {
        name: np.array([np.nan if v is None else v for v in column], np.float64)
        for name, column in names.items()
    }
    roi = model.config.roi
    place = {"subject": roi.subject, "hemisphere": roi.hemisphere, "roi": roi.name}
    return predicted, {**place, "layer": model.config.layer, **values}
