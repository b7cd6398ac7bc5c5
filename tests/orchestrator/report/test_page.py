"""The report: what it says, what it can't say, and that names in the data stay text."""

import base64
import hashlib
import html
import json
import re

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from orchestrator.analyze.analysis import Inputs
from orchestrator.analyze.catalogue import ANALYSES
from orchestrator.analyze.run import make
from orchestrator.execution.run_record import Command
from orchestrator.report.__main__ import main
from orchestrator.report.headline import headline
from orchestrator.report.how_made import CHOICES, SHARED, how_made
from orchestrator.report.page import OUTDATED, as_json, write_report
from orchestrator.report.sections.section import Column, Section
from orchestrator.scores.statistics.measured_differences import MeasuredDifferences
from orchestrator.scores.statistics.summaries import compare_all
from orchestrator.scores.statistics.vertex_pairs import pair
from tests.builders.small_scores import ENCODING, LAYERS, roi, write, write_sweep
from trainables.data.data_directory import DataDirectory
from trainables.encoding.score_rois import RoiScores
from trainables.results.provenance import code_version
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import write_scores
from trainables.spec import PROTOCOLS, Contrastive, Regression, Trial, Untuned
from trainables.spec.setting import setting_of


@pytest.fixture
def inputs(tmp_path):
    """A made-up sweep with the analyses of its scores."""
    write_sweep(tmp_path / "runs")
    found = Inputs(RunDirectory(tmp_path / "runs"), DataDirectory(tmp_path / "data"))
    for one in ANALYSES:
        make(one, found)
    return found


def test_the_headline_is_what_the_statistics_say(inputs):
    top = headline(inputs)
    pairs = pair(inputs.of_protocol("nested").over_seeds, "contrastive", "untuned")
    for found in compare_all([pairs], "group", MeasuredDifferences()):
        [row] = [r for r in top.rows if r[:3] == ("nested", found.row.label, "contrastive")]
        assert row[3] == f"{found.mean_a:.3f}"
        assert row[4] == f"{found.difference:+.3f}"
        assert row[5] == "–"  # no predictions
    assert any("optimistic" in note for note in top.notes)


def test_an_optimistic_r_that_is_lower_is_explained_at_its_number(tmp_path):
    runs = tmp_path / "runs"
    for objective, of_paper in ((Untuned(), 0.1), (Contrastive(), 0.35)):
        trial = Trial(objective, (roi("V1v"),), encoding=ENCODING)
        scores = [
            RoiScores(
                roi=roi("V1v"),
                protocol=protocol,
                layer=LAYERS[0],
                layers=LAYERS,
                vertex=np.arange(4, dtype=np.int32),
                alpha=np.full(4, 10.0),
                r=np.full(4, r),
                r_by_layer=np.full((2, 4), r),
                choice_by_layer=np.zeros((2, 4)),
                n_test=15,
            )
            for protocol, r in (("nested", 0.3), ("paper", of_paper))
        ]
        write_scores(RunDirectory(runs), trial, scores)
    top = headline(Inputs(RunDirectory(runs), DataDirectory(tmp_path / "data")))
    assert {row[2]: row[3] for row in top.rows if row[0] == "paper"} == {
        "untuned": "0.100 †",
        "contrastive": "0.350",
    }
    [note] = [one for one in top.notes if one.startswith("† ")]
    assert "paper is optimistic" in note
    assert "four fifths of the test images" in note


@pytest.mark.parametrize("protocol", ["nested", "paper"])
def test_a_page_of_one_protocol_has_its_scores_alone_and_names_it(inputs, tmp_path, protocol):
    other = "paper" if protocol == "nested" else "nested"
    page = tmp_path / "report.html"
    assert main(["--out", str(inputs.runs), "--protocol", protocol, "--page", str(page)]) == 0
    text = html.unescape(page.read_text())
    assert f"<h1>Sweep of nsd, protocol {protocol}</h1>" in text
    how = text[text.index('<section id="how">') : text.index('id="headline"')]
    assert how.lower().count(f"under protocol {protocol}") == 1
    assert f"--protocol {protocol}" in how
    assert f"protocol {other}" not in text.lower()
    for content in re.findall(r'<script type="application/json">(.*?)</script>', text):
        table = json.loads(content)
        if "protocol" not in table["names"]:
            continue
        found = {row[table["names"].index("protocol")] for row in table["rows"]}
        assert found == {protocol}
    of_protocol = Inputs(inputs.runs, inputs.data, protocol)
    rows = [row for row in headline(inputs).rows if row[0] == protocol]
    assert [row[:3] for row in headline(of_protocol).rows] == [row[:3] for row in rows]
    assert [row[3].strip(" †") for row in headline(of_protocol).rows] == [
        row[3].strip(" †") for row in rows
    ]


def test_a_protocol_without_scores_is_refused_in_one_line(inputs, capsys):
    assert main(["--out", str(inputs.runs), "--protocol", "clean"]) == 2
    assert capsys.readouterr().err == (
        "error: --protocol clean: no scores; there are nested, paper\n"
    )


def test_a_page_says_what_is_there_and_what_is_missing(inputs, tmp_path):
    page = write_report(inputs, tmp_path / "report.html").read_text()
    assert len(ANALYSES) == 14
    shown = [one.name for one in ANALYSES if f'<section id="{one.name}">' in page]
    assert shown == ["improvement", "rois", "layers"]
    absent = page[page.index('<section id="not-available">') :]
    assert "no pooled model has been scored" in absent
    assert "orchestrator.ingest task" in absent
    titles = [title for one in re.findall(r"<b>(.*?)</b>", absent) for title in one.split(", ")]
    assert len(titles) == len(set(titles)) == len(ANALYSES) - len(shown)
    assert page.count('class="data"') == 3


def test_before_analyses_one_line_names_the_command_that_makes_them_all(inputs, tmp_path):
    for one in ANALYSES:
        inputs.result_file(one.name).unlink(missing_ok=True)
        inputs.runs.missing_file(one.name).unlink(missing_ok=True)
    page = write_report(inputs, tmp_path / "report.html").read_text()
    [line] = re.findall("<li>(<b>Improvement.*?)</li>", page)
    cure = f"python -m orchestrator.analyze --data {inputs.data} --out {inputs.runs}"
    assert line.endswith(f"</b>: not made yet. To make them: run {cure}.")
    assert page.count("To make ") == 1


def test_the_page_opens_with_how_it_was_made(inputs, tmp_path):
    of_sweep = ("paper", "--out", str(inputs.runs), "--rois", "V1v hV4")
    for module, arguments in (
        ("orchestrator.sweep", of_sweep),
        ("orchestrator.evaluate", ("transfer", "--data", "s3://key:s3cretpassword@host/data")),
        ("orchestrator.sweep", of_sweep),
        ("", ()),
    ):
        Command(module, arguments, "/", 0.0, "trials", (), {}, {}).write(inputs.runs)
    page = write_report(inputs, tmp_path / "report.html").read_text()
    assert page.index('<section id="how">') < page.index('<section id="headline">')
    head = html.unescape(page[page.index('<section id="how">') : page.index('id="headline"')])
    assert "nsd: measured responses of subj01, subj02, 6 ROIs" in head
    assert "arXiv 2410.06067" in head
    assert set(CHOICES) == set(PROTOCOLS)
    method = how_made(inputs).method
    assert len(re.findall(r"\.(?= [A-Z])", method.split(" After ")[0])) == 4  # of five sentences
    sweep, evaluate, *_ = how_made(inputs).commands
    assert sweep == f"python -m orchestrator.sweep paper --out {inputs.runs} --rois 'V1v hV4'"
    assert sweep in head
    assert head.count("python -m orchestrator.sweep") == 1
    assert evaluate == "python -m orchestrator.evaluate transfer --data s3://key:***@host/data"
    assert "s3cretpassword" not in inputs.runs.history_file.read_text()
    assert code_version() in head
    settings = dict(how_made(inputs).settings)
    assert list(settings) == [SHARED, "untuned", "regression", "contrastive"]
    values = setting_of(Trial(Contrastive(), (roi(),), encoding=ENCODING)).values
    for name in set(values) - {"method"}:
        assert (f"{name} " in settings["contrastive"]) != (f"{name} " in settings[SHARED])
    assert "temperature 0.3" in settings["contrastive"]
    assert "seeds 0" in settings["contrastive"]


def test_methods_with_other_rois_are_noted_beside_their_numbers(tmp_path):
    runs = tmp_path / "runs"
    for name in ("V1v", "V2v"):
        write(runs, Untuned(), roi(name), [0.1, 0.2, 0.3, 0.4])
    write(runs, Contrastive(), roi("V1v"), [0.2, 0.3, 0.4, 0.5])
    write(runs, Contrastive(), roi("V3v"), [0.2, 0.3, 0.4, 0.5])
    write(runs, Regression(), roi("V1v"), [0.2, 0.3, 0.4, 0.5])
    top = headline(Inputs(RunDirectory(runs), DataDirectory(tmp_path / "data")))
    assert any("early, protocol nested: methods have different ROIs" in one for one in top.notes)
    other = [one for one in top.notes if one.startswith("contrastive, early")]
    assert other == [
        "contrastive, early, protocol nested: the difference is over 1 of its 2 ROIs, those that "
        "untuned has too"
    ]


def test_tables_of_earlier_scores_are_not_mixed_with_newer_ones(inputs, tmp_path):
    page = write_report(inputs, tmp_path / "report.html").read_text()
    assert OUTDATED not in page
    for subject in ("subj01", "subj02"):
        write(inputs.runs.path, Contrastive(), roi("V1v", subject, n=40), [0.9] * 40, started=9.0)
    later = Inputs(inputs.runs, inputs.data)
    page = write_report(later, tmp_path / "report.html").read_text()
    assert page.count(OUTDATED) == page.count('class="data"') == 3
    pairs = pair(later.of_protocol("nested").over_seeds, "contrastive", "untuned")
    for found in compare_all([pairs], "group", MeasuredDifferences()):
        [row] = [r for r in headline(later).rows if r[:3] == ("nested", found.row.label, found.a)]
        assert row[3:5] == (f"{found.mean_a:.3f}", f"{found.difference:+.3f}")


def test_a_table_of_an_earlier_version_is_named_with_its_cure(inputs, tmp_path):
    path = inputs.result_file("improvement")
    pq.write_table(pq.read_table(path).drop_columns(["t_p"]), path)
    page = write_report(inputs, tmp_path / "report.html").read_text()
    cure = f"To make it: run python -m orchestrator.analyze improvement --out {inputs.runs}."
    assert f"its table is of another version of the program. {cure}" in page
    assert page.count('class="data"') == 2


def test_every_script_of_a_page_is_allowed_by_its_hash_and_nothing_else(inputs, tmp_path):
    text = write_report(inputs, tmp_path / "report.html").read_text()
    policy = html.unescape(re.findall(r'Security-Policy" content="([^"]*)"', text)[0])
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy
    script_sources = policy.split("; ")[1]
    assert "unsafe-inline" not in script_sources
    assert "unsafe-eval" not in script_sources  # there is no interactive figure


def test_a_page_asks_no_network(inputs, tmp_path):
    page = write_report(inputs, tmp_path / "report.html").read_text()
    assert re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", page) == []
    assert "@import" not in page


def test_every_figure_has_a_text_in_its_place(inputs, tmp_path):
    page = write_report(inputs, tmp_path / "report.html").read_text()
    figures = re.findall(r"<figure>(.*?)</figure>", page, re.DOTALL)
    assert len(figures) >= 4
    for figure in figures:
        assert re.search(r"""(aria-label|alt|title)="[^"]{20,}\"""", figure)
        assert "<figcaption>" in figure


def test_names_in_the_data_stay_text():
    frame = pd.DataFrame({"roi": ["</script><script>alert(1)", None], "r": [np.nan, 0.25]})
    section = Section("x", "x", "", (), frame, (Column("roi", "ROI"), Column("r", "r", "r")))
    text = as_json(section, "x")
    assert "<" not in text
    content = json.loads(text)
    assert content["rows"] == [["</script><script>alert(1)", None], [None, 0.25]]


def test_a_strange_roi_is_escaped_on_the_page(tmp_path):
    runs = tmp_path / "runs"
    for objective in (Untuned(), Contrastive()):
        write(runs, objective, roi("V1v"), [0.1, 0.2, 0.3, 0.4])
    found = Inputs(RunDirectory(runs), DataDirectory(tmp_path / "<img src=x onerror=alert(1)>"))
    page = write_report(found, tmp_path / "report.html").read_text()
    assert "<img src=x" not in page


def test_without_scores_there_is_one_clear_line(tmp_path, capsys):
    assert main(["--out", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "orchestrator.sweep" in message
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"started": 1e18}, "started: expected a value below"),
        ({"started": [1]}, "started: expected a number, found [1]"),
        ({"history": [["deep"]]}, "history[0]: expected an object, found ['deep']"),
        (None, "not JSON (recursion limit exceeded"),
    ],
)
def test_a_damaged_outcome_is_refused_in_one_line(tmp_path, capsys, changes, message):
    runs = tmp_path / "runs"
    trial = write(runs, Contrastive(), roi("V1v"), [0.1, 0.2, 0.3, 0.4], started=1.0)
    path = RunDirectory(runs).outcome_file(trial.id)
    content = json.loads(path.read_text()) | (changes or {})
    path.write_text("[" * 100_000 if changes is None else json.dumps(content))
    assert main(["--out", str(runs)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}: {message}")
    assert error.count("\n") == 1
