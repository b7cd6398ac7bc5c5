"""The table of all scores: read whole, restricted, one trial per ROI, exported."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from orchestrator.cli.errors import InputError
from orchestrator.scores.export import export_vertices
from orchestrator.scores.filters import (
    keep_subjects,
    keep_trials,
    keep_values,
    of_latest_data,
    started_in,
)
from orchestrator.scores.score_table import ScoreTable, read_score_table
from orchestrator.scores.statistics.summaries import choose_layers
from tests.builders.small_scores import ENCODING, roi, write, write_of, write_sweep
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import SCORE_SCHEMA, TRIAL_KEY, read_scores
from trainables.spec import Contrastive, Pooled, Trial, Untuned
from trainables.spec.setting import setting_of

V1, EBA = roi(), roi("EBA")
R = [0.5, np.nan, -0.25, 0.75]


def chosen(runs: Path) -> tuple[ScoreTable, list[str]]:
    return of_latest_data(read_score_table(RunDirectory(runs)), started_in(RunDirectory(runs)))


def test_every_row_of_every_file_is_read_with_its_roi_and_group(tmp_path) -> None:
    trials = [write(tmp_path, Untuned(), V1, R), write(tmp_path, Contrastive(), EBA, R)]
    vertices = read_score_table(RunDirectory(tmp_path)).vertices
    assert len(vertices) == sum(
        len(read_scores(RunDirectory(tmp_path), trial.id)) for trial in trials
    )
    found = vertices[["method", "roi_id", "group"]].drop_duplicates().astype(str)
    assert sorted(found.itertuples(index=False, name=None)) == [
        ("contrastive", "nsd-subj01-lh-EBA", "higher"),
        ("untuned", "nsd-subj01-lh-V1v", "early"),
    ]


def test_a_trial_has_the_rois_of_all_its_files(tmp_path) -> None:
    first, second = (write(tmp_path, Untuned(), where, R) for where in (V1, EBA))
    assert first.id == second.id
    [trial] = read_score_table(RunDirectory(tmp_path)).trials.values()
    assert set(trial.rois) == {V1, EBA}


def test_a_null_r_is_nan_in_the_table(tmp_path) -> None:
    write(tmp_path, Untuned(), V1, R)
    np.testing.assert_array_equal(read_score_table(RunDirectory(tmp_path)).vertices["r"], R)


def test_only_the_named_trials_are_read(tmp_path) -> None:
    wanted = write(tmp_path, Untuned(), V1, R)
    write(tmp_path, Contrastive(), V1, R)
    assert read_score_table(RunDirectory(tmp_path), [wanted.id]).present("trial_id") == [wanted.id]


def test_a_half_written_file_is_not_read(tmp_path) -> None:
    trial = write(tmp_path, Untuned(), V1, R)
    (tmp_path / "scores" / trial.id / ".nsd-subj01-lh-EBA.parquet.17").write_text("half")
    (tmp_path / "scores" / trial.id / ".half.parquet").write_text("half")
    assert len(read_score_table(RunDirectory(tmp_path)).vertices) == 4


@pytest.mark.parametrize("below", ["", "absent"])
def test_a_directory_without_scores_is_refused(tmp_path, below) -> None:
    with pytest.raises(InputError, match=r"no such directory|holds no scores"):
        read_score_table(RunDirectory(tmp_path / below))


def test_each_damaged_file_is_named_on_a_line_of_its_own(tmp_path) -> None:
    files = [
        RunDirectory(tmp_path).score_file(write(tmp_path, objective, V1, R).id, V1.id)
        for objective in (Untuned(), Contrastive())
    ]
    files[0].write_bytes(b"PAR1")
    pq.write_table(pq.read_table(files[1]).replace_schema_metadata(None), files[1])
    with pytest.raises(InputError) as error:
        read_score_table(RunDirectory(tmp_path))
    assert len(error.value.lines) == 2
    assert all(any(str(path) in line for line in error.value.lines) for path in files)


def test_a_table_has_the_settings_of_its_trials(tmp_path) -> None:
    trials = [write(tmp_path, Contrastive(), where, R) for where in (V1, EBA)]
    assert trials[0].id != trials[1].id
    table = read_score_table(RunDirectory(tmp_path))
    assert table.present("setting") == [setting_of(trials[0]).digest]


def test_layers_that_were_not_chosen_are_averaged_too(tmp_path) -> None:
    write(tmp_path, Untuned(), V1, R, layer="classifier.5")
    write(tmp_path, Untuned(), EBA, [0.2] * 4, layer="features.2")
    means = read_score_table(RunDirectory(tmp_path)).at_layers().set_index(["roi_id", "layer"])["r"]
    assert means["nsd-subj01-lh-V1v", "classifier.5"] == pytest.approx(1 / 3)
    assert means["nsd-subj01-lh-V1v", "features.2"] == pytest.approx(1 / 3 - 0.1)
    assert means["nsd-subj01-lh-EBA", "features.2"] == pytest.approx(0.2)


def test_layers_follow_the_restriction(tmp_path) -> None:
    write_sweep(tmp_path)
    table = keep_values(read_score_table(RunDirectory(tmp_path)), "rois", "roi", ["EBA"])
    assert set(table.at_layers()["roi_id"]) == {"nsd-subj01-lh-EBA", "nsd-subj02-lh-EBA"}


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (lambda t: keep_values(t, "rois", "roi", ["PPA"]), "there are EBA, V1v, hV4"),
        (lambda t: keep_subjects(t, [1, 3]), "no scores of 3; there are subj01, subj02"),
        (lambda t: keep_trials(t, ["regression-nod"]), "no such trial; there are contrastive-"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(
    tmp_path, keep: Callable[[ScoreTable], ScoreTable], message: str
) -> None:
    write_sweep(tmp_path)
    with pytest.raises(InputError, match=message):
        keep(read_score_table(RunDirectory(tmp_path)))


def test_subjects_are_kept_by_number(tmp_path) -> None:
    write_sweep(tmp_path)
    assert keep_subjects(read_score_table(RunDirectory(tmp_path)), [2]).present("subject") == [
        "subj02"
    ]


def test_naming_a_trial_keeps_the_other_methods(tmp_path) -> None:
    untuned = write(tmp_path, Untuned(), V1, R)
    wanted = write(tmp_path, Contrastive(), V1, R)
    write(tmp_path, Contrastive(temperature=0.1), V1, R)
    for name in (wanted.id, wanted.id[:-2], setting_of(wanted).digest):
        kept = keep_trials(read_score_table(RunDirectory(tmp_path)), [name])
        assert kept.present("trial_id") == sorted([untuned.id, wanted.id])


def test_every_setting_has_a_label_of_what_differs_and_none_is_dropped(tmp_path) -> None:
    write(tmp_path, Untuned(), V1, R)
    write(tmp_path, Contrastive(temperature=0.3), V1, R, started=100.0)
    write(tmp_path, Contrastive(temperature=0.1), V1, R, started=300.0)
    write(tmp_path, Contrastive(temperature=0.1), EBA, R, started=50.0)
    kept, notes = chosen(tmp_path)
    assert notes == []
    found = kept.segments[["method", "roi"]].astype(str)
    assert sorted(found.itertuples(index=False, name=None)) == [
        ("contrastive temperature=0.1", "EBA"),
        ("contrastive temperature=0.1", "V1v"),
        ("contrastive temperature=0.3", "V1v"),
        ("untuned", "V1v"),
    ]


def test_r_is_averaged_over_seeds_which_are_counted(tmp_path) -> None:
    write(tmp_path, Contrastive(), V1, [0.5, np.nan, 0.1, np.nan], seed=0)
    write(tmp_path, Contrastive(), V1, [0.1, 0.2, 0.3, np.nan], seed=1)
    write(tmp_path, Contrastive(), EBA, [0.7], seed=1)
    table = chosen(tmp_path)[0]
    assert len(table.vertices) == 9
    found = table.over_seeds
    by_roi = {str(roi): part for roi, part in found.groupby("roi", observed=True)}
    np.testing.assert_allclose(by_roi["V1v"]["r"], [0.3, 0.2, 0.2, np.nan])
    assert by_roi["V1v"]["n_seeds"].tolist() == [2, 2, 2, 2]
    assert by_roi["EBA"]["n_seeds"].tolist() == [1]
    (choice, _) = choose_layers(table.vertices, table.at_layers())
    assert (choice.layer, choice.n_chosen, choice.n_rois) == ("features.2", 0, 3)


def test_pools_that_score_the_same_roi_are_rows_of_their_own(tmp_path) -> None:
    for subjects in (("subj01", "subj02"), ("subj01", "subj03")):
        pool = tuple(roi(subject=one) for one in subjects)
        trial = Trial(Pooled(), pool, encoding=ENCODING)
        write_of(tmp_path, trial, pool[0], R)
    assert read_score_table(RunDirectory(tmp_path)).present("method") == [
        "pooled-avg subjects=subj01+subj02",
        "pooled-avg subjects=subj01+subj03",
    ]


def test_one_trial_an_roi_is_kept_in_silence(tmp_path) -> None:
    write_sweep(tmp_path)
    kept, notes = chosen(tmp_path)
    assert notes == []
    assert len(kept.vertices) == 3 * 2 * 3 * 40 * 2


def test_an_untuned_trial_on_new_data_replaces_the_old(tmp_path) -> None:
    new = replace(V1, data="feedbeef")
    write(tmp_path, Untuned(), V1, R, started=1.0)
    trial = write(tmp_path, Untuned(), new, R, started=2.0)
    kept, notes = chosen(tmp_path)
    assert kept.present("trial_id") == [trial.id]
    assert trial.id in notes[0]
    assert "several versions of the data" in notes[0]


def test_exported_parquet_holds_the_kept_rows_as_they_were(tmp_path) -> None:
    trial = write(tmp_path, Untuned(), V1, R)
    write(tmp_path, Untuned(), EBA, R)
    kept = keep_values(read_score_table(RunDirectory(tmp_path)), "rois", "roi", ["V1v"])
    path = tmp_path / "rows.parquet"
    assert export_vertices(kept, path) == 4
    exported = pq.read_table(path)
    assert exported.select(SCORE_SCHEMA.names).schema.types == SCORE_SCHEMA.types
    original = pq.read_table(RunDirectory(tmp_path).score_file(trial.id, V1.id)).to_pandas()
    pd.testing.assert_frame_equal(exported.select(SCORE_SCHEMA.names).to_pandas(), original)
    assert TRIAL_KEY not in (exported.schema.metadata or {})


def test_exported_csv_reads_back(tmp_path) -> None:
    write(tmp_path, Untuned(), V1, R)
    path = tmp_path / "rows.csv"
    export_vertices(read_score_table(RunDirectory(tmp_path)), path)
    frame = pd.read_csv(path)
    np.testing.assert_array_equal(frame["r"], R)
    layers = [float(value) for value in frame["r_by_layer"][0].split(";")]
    assert layers == pytest.approx([0.4, 0.5])
    assert not list(tmp_path.glob(".rows*"))


@pytest.mark.parametrize("name", ["rows.xlsx", "rows", "absent/rows.csv"])
def test_an_export_that_cannot_be_written_is_refused(tmp_path, name) -> None:
    write(tmp_path, Untuned(), V1, R)
    with pytest.raises(InputError, match="--export"):
        export_vertices(read_score_table(RunDirectory(tmp_path)), tmp_path / name)
