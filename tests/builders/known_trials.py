"""Trials whose ids are known."""

from dataclasses import replace

from trainables.spec import (
    Contrastive,
    Roi,
    Trial,
)

ROI = Roi("nsd", "subj01", "lh", "V1v", 704, "0123abcd")
OTHER = replace(ROI, name="EBA", n_vertices=2971)
TRIAL = Trial(Contrastive(), (ROI,))
TWIN = replace(ROI, subject="subj02", n_vertices=650, data="4567ef01")
