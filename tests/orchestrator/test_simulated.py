"""Simulated data are called so: from the source, over manifests and score files, to every table."""

import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from rich.table import Table
from rich.text import Text

from orchestrator.analyze.analysis import Inputs
from orchestrator.cli.errors import InputError
from orchestrator.cli.values import default_experiment
from orchestrator.ingest import run as ingest_run
from orchestrator.ingest.algonauts.files import find_subjects
from orchestrator.ingest.settings import Settings
from orchestrator.ingest.simulate.algonauts import SimulationSettings, simulate
from orchestrator.ingest.simulated import RECORD, is_simulated
from orchestrator.ingest.writer import read_existing, write_subject
from orchestrator.report.page import write_report
from orchestrator.scores.__main__ import main
from orchestrator.scores.comparison import DIFFERENCES, difference_rows
from orchestrator.scores.display.score_tables import closing_table
from orchestrator.scores.display.style import mark_simulated
from orchestrator.scores.score_table import read_score_table
from orchestrator.scores.statistics.image_tests import ImageTests
from tests.builders.algonauts_ingest import batches, inspect
from tests.builders.small_scores import ENCODING, METHODS, roi, write_of
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import Manifest, any_simulated
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import SIMULATED_KEY
from trainables.spec import Contrastive, Trial
from trainables.spec.evaluation import Evaluation

MARK = "SIMULATED DATA"


def write_runs(runs: Path, *, simulated: bool) -> list[str]:
    """Write three methods on two subjects, and a model on another subject; return the ids."""
    places = [roi(subject=subject, n=20) for subject in ("subj01", "subj02")]
    items = [
        Trial(objective, (where,), encoding=ENCODING)
        for objective, where in itertools.product(METHODS, places)
    ]
    model = Trial(Contrastive(), (places[0],), encoding=ENCODING)
    r = np.random.default_rng(0).normal(0.4, 0.1, 20)
    for number, item in enumerate((*items, Evaluation(model, (places[1],)))):
        for where in item.rois:
            gain = 0.001 * number
            write_of(runs, item, where, r + gain, ("nested", "paper"), is_simulated=simulated)
    return [item.id for item in items]


@pytest.mark.parametrize("simulated", [True, False])
def test_whoever_ingests_a_simulated_folder_need_not_say_so(tmp_path, monkeypatch, simulated):
    if simulated:
        (tmp_path / RECORD).write_text("{}")
    asked = []
    monkeypatch.setattr(ingest_run, "find_subjects", lambda *arguments: [])
    monkeypatch.setattr(ingest_run, "ingest_subjects", lambda *arguments: asked.append(arguments))
    ingest_run.ingest_algonauts(tmp_path, DataDirectory(tmp_path / "data"), Settings("stimulus", 8))
    [(_, _, _, settings, _)] = asked
    assert settings.is_simulated == simulated


@pytest.mark.parametrize("simulated", [True, False])
def test_a_subjects_manifest_says_whether_its_source_is_simulated(tmp_path, simulated):
    source, out = tmp_path / "source", DataDirectory(tmp_path / "data")
    settings = SimulationSettings((1,), n_images=12, n_shared=4, n_test_images=2, image_size=32)
    simulate(source, settings)
    if not simulated:
        (source / RECORD).unlink()
    assert is_simulated(source) == simulated
    asked = Settings("paper", 8, is_simulated=is_simulated(source))
    subject = inspect(source)
    written = write_subject(subject, batches(subject), out, asked)
    assert Manifest.read(out.shard("nsd-subj01")).is_simulated == simulated
    assert any_simulated(out, ["nsd-subj01", "nsd-subj09"]) == simulated
    [files] = find_subjects(source, None, None)
    assert read_existing(files, out, asked) == written
    with pytest.raises(InputError, match=r"its manifest calls it \w+, and its source is \w+"):
        read_existing(files, out, Settings("paper", 8, is_simulated=not simulated))


def test_the_mark_is_no_part_of_the_data_digest():
    fields = dict.fromkeys(("dataset", "subject", "split", "split_digest", "source"), "x")
    counts = {"image_size": 1, "n_images": 2, "n_train": 1, "n_test": 1}
    rest = {"n_vertices": {"lh": 1}, "rois": {"lh": {"V1v": 1}}, "content": "x", "files": {}}
    measured, simulated = (
        Manifest(**fields, **counts, **rest, is_simulated=flag) for flag in (False, True)
    )
    assert measured.data == simulated.data


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--compare",),
        ("--by", "layer"),
        ("--by", "model"),
        ("--protocol", "nested,paper"),
    ],
)
def test_every_table_of_scores_is_marked(tmp_path, capsys, monkeypatch, arguments):
    monkeypatch.setenv("COLUMNS", "160")
    for name, simulated in (("runs", True), ("measured", False)):
        write_runs(tmp_path / name, simulated=simulated)
        assert main(["--out", str(tmp_path / name), *arguments]) == 0
        shown = capsys.readouterr().out
        titles = [
            line
            for line in shown.splitlines()
            if re.search(r"protocol (nested|paper)|Protocols ", line)
        ]
        assert titles
        assert [MARK in line for line in titles] == [simulated] * len(titles)


@pytest.mark.parametrize("simulated", [True, False])
def test_rows_of_differences_are_marked(tmp_path, simulated):
    write_runs(tmp_path, simulated=simulated)
    table = read_score_table(RunDirectory(tmp_path))
    place = table.segments.iloc[0][["dataset", "subject"]].to_dict()
    numbers = {name: [1.0] for name in DIFFERENCES if name not in ("n_images", "vertex")}
    vertices = pd.DataFrame({**numbers, "n_images": [1], "vertex": [1], **place})
    vertices = vertices.assign(hemisphere="lh", roi="V1v")
    tests = ImageTests("contrastive", "untuned", vertices, vertices, ())
    assert difference_rows([tests], table)["is_simulated"].to_pylist() == [simulated]


def test_the_closing_table_is_marked(tmp_path):
    ids = write_runs(tmp_path, simulated=True)
    table = closing_table(RunDirectory(tmp_path), DataDirectory(tmp_path / "data"), ids)
    assert str(table.title).startswith(MARK)


def test_the_page_and_each_of_its_tables_are_marked(tmp_path):
    write_runs(tmp_path / "runs", simulated=True)
    found = Inputs(RunDirectory(tmp_path / "runs"), DataDirectory(tmp_path / "data"))
    page = write_report(found, tmp_path / "report.html").read_text()
    assert f"<title>{MARK}: Sweep of nsd</title>" in page
    assert f"<h1>{MARK}: Sweep of nsd</h1>" in page
    n_tables = page.count("<table>") + page.count('class="data"')
    marks = re.findall(rf'class="simulated">{MARK}<', page)
    assert len(marks) == n_tables


def test_a_mark_that_was_removed_is_noticed(tmp_path):
    write_runs(tmp_path, simulated=True)
    path = next((tmp_path / "scores").rglob("*.parquet"))
    table = pq.read_table(path)
    metadata = {k: v for k, v in table.schema.metadata.items() if k != SIMULATED_KEY}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    with pytest.raises(InputError, match="its metadata have changed"):
        read_score_table(RunDirectory(tmp_path))


def test_simulated_trials_have_an_experiment_of_their_own():
    assert default_experiment("nsd", is_simulated=True) == "nsd-simulated"
    assert default_experiment("nsd", is_simulated=False) == "nsd"


def test_what_has_a_title_is_marked_and_what_has_none_is_not():
    titled, untitled = Table(title="mean r"), Table()
    for one in (titled, untitled):
        assert mark_simulated(one) is one
    assert titled.title == f"{MARK}: mean r"
    assert untitled.title is None
    heading, line = Text("mean r", style="bold"), Text("row: subject")
    assert str(mark_simulated(heading)) == f"{MARK}: mean r"
    assert mark_simulated(line) is line
