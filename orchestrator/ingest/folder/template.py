"""Write a commented template of one's own data."""

from pathlib import Path
from typing import Final

from orchestrator.cli.errors import InputError
from orchestrator.ingest.layouts import DESCRIPTION
from trainables.storage.atomic import write_text

FILES: Final = {
    DESCRIPTION: """\
{
  "name": "mydata",
  "visual_degrees": 8.4,
  "units": "psc",
  "zscored": "none",
  "averaged": false,
  "space": "none",
  "noise_ceiling_unit": "percent_variance",
  "comment": {
    "name": "letters, digits, . _ +; it begins the names of the shards: mydata-sub-01",
    "visual_degrees": "width of the images in degrees of visual angle; may be left out",
    "units": "of the responses: psc (per cent signal change), z or other",
    "zscored": "what was z-scored already: none, session (within each session) or all",
    "averaged": "true if a row of responses is the mean of a stimulus' presentations already",
    "space": "fsaverage, fsLR32k or native (with vertex), volume (with voxel_x …) or none",
    "noise_ceiling_unit": "percent_variance, variance, r or ncsnr; without such a column, none"
  }
}
""",
    "stimuli.csv": """\
# One row per image. stimulus_id: any text, the same for all subjects. filename: below images/, at
# any depth. split (may be left out): train or test.
stimulus_id,filename,split
first,first.png,train
second,scenes/second.jpg,test
""",
    "images/README.txt": """\
Put the images here, at any depth. They are resized to a square without a crop.
""",
    "sub-01/README.txt": """\
responses.npy: float32 of (presentations, neuroids). Or one of:
  responses.h5, with a data set "responses"; responses.zarr; responses.nc (a NeuroidAssembly);
  lh.npy and rh.npy, of (presentations, neuroids of the hemisphere) each.
rois.csv: or, instead, masks rois/NAME.npy (lh.NAME.npy, rh.NAME.npy) with one value per neuroid,
  or a column region in neuroids.csv.
presentations.csv and neuroids.csv may be left out: rows are then those of stimuli.csv, and neuroids
have numbers.
Name further subjects sub-02, sub-03 and so on.
""",
    "sub-01/presentations.csv": """\
# Row i: what row i of the responses is a response to. May be left out: repetition (from 0),
# session, run, trial; n_trials (of averaged data: how many trials the row is the mean of).
stimulus_id,repetition,session,run,trial
first,0,1,1,1
second,0,1,1,2
first,1,2,1,1
""",
    "sub-01/neuroids.csv": """\
# Row j: what column j of the responses is. May be left out: hemisphere (lh or rh in each row),
# vertex or voxel_x, voxel_y, voxel_z (from 0), noise_ceiling or ncsnr (empty: unknown), region.
neuroid_id,hemisphere,noise_ceiling
0,lh,35.2
1,rh,
""",
    "sub-01/rois.csv": """\
# One row per neuroid of an ROI. ROIs may overlap.
neuroid_id,roi
0,V1
1,PPA
""",
}
"""Each file of the template, and its content."""


def write_template(folder: Path) -> None:
    """Write the template to a new or empty directory; raise InputError for any other."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: expected a new or empty directory; give another --init")
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, content)
