"""Writing a checked subject: all of it or none, and the same whatever the batches."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.cli.errors import InputError
from orchestrator.cli.process import run
from orchestrator.ingest.algonauts.files import find_subjects
from orchestrator.ingest.images import decode_image
from orchestrator.ingest.partial_directories import remove_stale
from orchestrator.ingest.settings import Settings
from orchestrator.ingest.writer import read_existing, write_subject
from tests.builders.algonauts_folder import (
    N_VERTICES,
    responses_of,
    stimulus_of,
    write_folder,
    write_noise_ceilings,
)
from tests.builders.algonauts_ingest import SETTINGS, batches, inspect
from tests.builders.leftovers import leftovers
from trainables.data.data_directory import VERTICES, DataDirectory
from trainables.data.rows import fixed_width, read_rows
from trainables.data.shards import (
    TEST,
    TRAIN,
    Manifest,
    list_rois,
    read_vertices,
)
from trainables.storage import processes
from trainables.storage.atomic import hash_files
from trainables.storage.processes import this_owner


@pytest.fixture
def source(tmp_path):
    return write_folder(tmp_path / "source", (1, 2)).root


@pytest.fixture
def out(tmp_path):
    return tmp_path / "data"


def test_rows_pair_each_image_with_its_responses(source, out):
    subject = inspect(source)
    write_subject(subject, batches(subject), DataDirectory(out), SETTINGS)
    (table,) = read_rows(out / "nsd-subj01", ["index", "stimulus", "image", "lh", "rh"])
    assert table["index"].to_pylist() == list(range(12))
    assert table["stimulus"].to_pylist() == [f"nsd-{stimulus_of(1, k):05d}" for k in range(12)]
    for hemisphere in N_VERTICES:
        found = fixed_width(table[hemisphere], np.float32)
        np.testing.assert_array_equal(found, responses_of(1, hemisphere))
    images = fixed_width(table["image"], np.uint8)
    for row, path in enumerate(subject.images):
        np.testing.assert_array_equal(images[row].reshape(3, 8, 8), decode_image(path, 8))


def test_the_split_is_a_column(source, out):
    subject = inspect(source)
    manifest = write_subject(subject, batches(subject), DataDirectory(out), SETTINGS)
    (table,) = read_rows(out / "nsd-subj01", ["split", "order"])
    sides, orders = table["split"].to_pylist(), table["order"].to_pylist()
    assert (sides.count(TRAIN), sides.count(TEST)) == (10, 2) == (manifest.n_train, manifest.n_test)
    assert sorted(orders) == list(range(12))
    assert all((order < 10) == (side == TRAIN) for order, side in zip(orders, sides, strict=True))
    assert (manifest.split, manifest.split_digest) == ("paper", subject.split.digest)


def test_vertices_may_be_in_several_rois_and_empty_rois_make_no_roi(source, out):
    subject = inspect(source)
    manifest = write_subject(subject, batches(subject), DataDirectory(out), SETTINGS)
    rows = pq.read_table(out / "nsd-subj01" / VERTICES).to_pylist()
    assert len(rows) == 18
    assert rows[1] == {
        "hemisphere": "lh",
        "vertex": 1,
        "fsaverage": 4,
        "noise_ceiling": None,
        "rois": ["V1v", "EBA", "early"],
    }
    assert rows[6]["rois"] == []
    assert manifest.rois["rh"] == {"V1v": 2, "V2d": 3, "EBA": 1}
    rois = list_rois(DataDirectory(out))
    assert [roi.id for roi in rois[:3]] == [f"nsd-subj01-lh-{r}" for r in ("V1v", "V1d", "V2v")]
    assert len(rois) == 10
    for roi in rois:
        assert len(read_vertices(out / roi.shard, roi)) == roi.n_vertices


def test_noise_ceilings_are_stored_and_unknown_ones_are_null(source, out, tmp_path):
    ceilings = write_noise_ceilings(tmp_path / "ceilings")
    left = np.linspace(0.2, 0.9, 10)
    left[4] = np.nan
    np.save(ceilings / "subj01" / "lh.npy", left)
    subject = inspect(source, noise_ceilings=ceilings)
    write_subject(subject, batches(subject), DataDirectory(out), SETTINGS)
    stored = pq.read_table(out / "nsd-subj01" / VERTICES)["noise_ceiling"].to_pylist()
    assert stored[4] is None
    assert stored[9] == pytest.approx(0.9)


def test_the_same_source_gives_the_same_files_whatever_the_batches(source, tmp_path):
    subject = inspect(source)
    first = write_subject(subject, batches(subject, 5), DataDirectory(tmp_path / "a"), SETTINGS)
    second = write_subject(subject, batches(subject, 12), DataDirectory(tmp_path / "b"), SETTINGS)
    assert first == second
    assert first.files == hash_files(
        path for path in (tmp_path / "a/nsd-subj01").iterdir() if path.suffix == ".parquet"
    )
    assert Manifest.read(tmp_path / "a/nsd-subj01") == first


def test_what_was_ingested_before_keeps_its_digest(source, out):
    """Images of 20 pixels are not resized, so that no library's rounding is in the digest."""
    subject = inspect(source)
    raw = [decode_image(path, 20).tobytes() for path in subject.images]
    images = [(0, pa.array(raw, pa.binary(3 * 20 * 20)))]
    manifest = write_subject(subject, images, DataDirectory(out), Settings("paper", 20))
    assert manifest.data == "998d72e0"
    assert "choices" not in (out / "nsd-subj01/manifest.json").read_text()


def test_masks_of_equal_counts_do_not_pass_for_one_another(source, tmp_path):
    subject = inspect(source)
    first = write_subject(subject, batches(subject), DataDirectory(tmp_path / "a"), SETTINGS)
    mask = source / "subj01/roi_masks/lh.floc-bodies_challenge_space.npy"
    np.save(mask, np.roll(np.load(mask), 1))
    changed = inspect(source)
    second = write_subject(changed, batches(changed), DataDirectory(tmp_path / "b"), SETTINGS)
    assert first.rois == second.rois
    assert first.data != second.data


@pytest.mark.parametrize("error", [InputError("x: broken"), KeyboardInterrupt(), OSError(28, "")])
def test_an_error_on_the_way_leaves_nothing(source, out, error):
    subject = inspect(source)

    def broken():
        yield next(batches(subject))
        raise error

    with pytest.raises(type(error)):
        write_subject(subject, broken(), DataDirectory(out), SETTINGS)
    assert list(out.iterdir()) == []


def test_a_half_written_subject_is_not_listed(source, out):
    subject = inspect(source)

    def looking():
        for batch in batches(subject):
            assert DataDirectory(out).shards() == []
            [partial] = out.iterdir()
            assert partial.name.startswith(f".nsd-subj01.partial-{this_owner()}-")
            yield batch

    write_subject(subject, looking(), DataDirectory(out), SETTINGS)
    assert [path.name for path in out.iterdir()] == ["nsd-subj01"]


def test_what_killed_runs_left_is_removed_and_what_others_write_is_not(out):
    kept, gone = leftovers("nsd-subj01")
    kept = [*kept, "nsd-subj02", ".other", ".x.partial-y"]
    for name in (*kept, *gone):
        (out / name / "inside").mkdir(parents=True)
    remove_stale(out)
    assert sorted(path.name for path in out.iterdir()) == sorted(kept)


def test_two_hosts_ingest_different_subjects_at_once(source, out, monkeypatch):
    """The second host sees the first one's half-made directory, and does not remove it."""
    subject = inspect(source)

    def meanwhile():
        with monkeypatch.context() as second_host:
            second_host.setattr(processes, "_machine_digest", lambda: "0" * 12)
            remove_stale(out)
        yield from batches(subject)

    write_subject(subject, meanwhile(), DataDirectory(out), SETTINGS)
    assert [path.name for path in out.iterdir()] == ["nsd-subj01"]


def test_a_subject_that_another_run_wrote_meanwhile_is_left_alone(source, out):
    subject = inspect(source)

    def late():
        yield from batches(subject)
        write_subject(subject, batches(subject), DataDirectory(out / "elsewhere"), SETTINGS)
        (out / "elsewhere/nsd-subj01").rename(out / "nsd-subj01")

    with pytest.raises(InputError, match="another ingest has just written it"):
        write_subject(subject, late(), DataDirectory(out), SETTINGS)
    assert Manifest.read(out / "nsd-subj01").n_images == 12


def test_a_subject_that_is_there_is_recognised(source, out):
    files, other = find_subjects(source, None, None)
    subject = inspect(source)
    manifest = write_subject(subject, batches(subject), DataDirectory(out), SETTINGS)
    assert read_existing(files, DataDirectory(out), SETTINGS) == manifest
    assert read_existing(other, DataDirectory(out), SETTINGS) is None


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (Settings("stimulus", 8), "its split is 'paper', not 'stimulus'; remove this directory"),
        (Settings("paper", 64), "its image size is 8, not 64; remove this directory"),
    ],
)
def test_a_subject_of_other_settings_is_refused(source, out, settings, text):
    subject = inspect(source)
    write_subject(subject, batches(subject), DataDirectory(out), SETTINGS)
    with pytest.raises(InputError, match=text):
        read_existing(find_subjects(source, [1], None)[0], DataDirectory(out), settings)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda shard, source: (shard / VERTICES).unlink(), "vertices.parquet is missing"),
        (lambda shard, source: (shard / "manifest.json").unlink(), r"manifest\.json: no such file"),
        (
            lambda shard, source: (shard / "manifest.json").write_text("{"),
            r"manifest\.json: not JSON",
        ),
        (
            lambda shard, source: np.save(
                source / "subj01/roi_masks/lh.streams_challenge_space.npy", np.zeros(10, int)
            ),
            r"it was made from other source files \(or noise ceilings\)",
        ),
    ],
)
def test_a_damaged_subject_or_another_source_is_refused(source, out, damage, text):
    subject = inspect(source)
    write_subject(subject, batches(subject), DataDirectory(out), SETTINGS)
    damage(out / "nsd-subj01", source)
    with pytest.raises(InputError, match=text) as error:
        read_existing(find_subjects(source, [1], None)[0], DataDirectory(out), SETTINGS)
    assert "remove" in str(error.value)


def fail(error):
    raise error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("a: b", "c: d"), 2, "error: a: b\nerror: c: d\n"),
        (ValueError("a:\n  b"), 2, "error: a: b\n"),
        (FileNotFoundError(2, "No such file", "x.npy"), 2, "error: x.npy: No such file\n"),
        (KeyboardInterrupt(), 130, "interrupted by SIGINT\n"),
    ],
)
def test_commands_report_bad_input_in_lines(error, code, message, capsys):
    assert run(lambda: fail(error)) == code
    assert capsys.readouterr().err == message


def test_defects_keep_their_traceback():
    with pytest.raises(TypeError):
        run(lambda: fail(TypeError("a defect")))
