"""Probes of a small sweep: what is due, what a pass costs, and what the analyses make of it."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from orchestrator.analyze.analysis import Inputs, Missing
from orchestrator.analyze.catalogue import ANALYSES, find
from orchestrator.analyze.probe_actors import due, find_backbones
from orchestrator.analyze.questions.brain_fit import on_front
from orchestrator.analyze.run import make
from orchestrator.report.sections.catalogue import SECTIONS
from tests.builders.small_looks import CONTRASTIVE, CPU, small_sweep
from tests.builders.tiny_backbone import tiny_backbone
from trainables.data import loading
from trainables.data.data_directory import DataDirectory
from trainables.data.loading import read_subject
from trainables.data.shards import read_vertices
from trainables.models import backbones
from trainables.models.finetuned import build_model
from trainables.models.losses import cosine_similarity
from trainables.probes import classification, logistic, mutual_information
from trainables.probes.info_nce import best_beta, bound
from trainables.probes.kinds import KINDS
from trainables.probes.probe import ProbeRecord, Result, probe_file, write_result
from trainables.probes.prober import Prober
from trainables.probes.saliency import choose_examples
from trainables.results.run_directory import RunDirectory
from trainables.storage.stored_directory import StoredDirectory
from trainables.training.checkpoints import Checkpoints

ALL = tuple(kind.name for kind in KINDS)


@pytest.fixture
def looked(tmp_path, monkeypatch):
    monkeypatch.setitem(backbones.OWN_ARCHITECTURES, "tiny", tiny_backbone)
    return small_sweep(tmp_path)


def probe(looked, kinds=ALL):
    """Make all that is due; return how many backbones that were."""
    jobs = due(find_backbones(RunDirectory(looked.runs)), looked.context, kinds)
    prober = Prober(looked.context, 1)
    for job in jobs:
        assert prober.probe(job) == []
    return len(jobs)


@pytest.fixture
def passes(monkeypatch):
    """List the passes of features that are made."""
    made, extract = [], classification.extract

    def counted(*arguments):
        made.append(1)
        return extract(*arguments)

    monkeypatch.setattr(classification, "extract", counted)
    return made


def test_every_backbone_is_passed_once_and_a_new_one_costs_one_pass(looked, passes):
    assert probe(looked) == 3
    assert len(passes) == 3
    assert probe(looked) == 0
    assert len(passes) == 3
    looked.run(CONTRASTIVE, roi=1)
    assert probe(looked) == 1
    assert len(passes) == 4


def test_the_untuned_backbone_is_one_whatever_subjects_it_is_scored_on(looked):
    found = find_backbones(RunDirectory(looked.runs))
    assert [probed.is_finetuned for probed in found] == [False, True, True]
    assert len({probed.id for probed in found}) == 3


def test_colours_are_reported_apart_and_the_result_is_whole(looked):
    probe(looked, ("classification",))
    paths = sorted((looked.runs / "probes" / "classification").glob("*.parquet"))
    assert len(paths) == 3
    for path in paths:
        record = ProbeRecord.read(path)
        rows = record.rows()
        probabilities = np.exp(np.stack(rows["log_probabilities"].to_pylist()))
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)
        accuracy = (probabilities.argmax(axis=1) == rows["label"].to_numpy()).mean()
        assert record.numbers["accuracy"] == pytest.approx(accuracy)
        assert accuracy > 0.9
        assert record.numbers["n_test"] == len(rows) == 9


def test_the_distance_to_the_oracle_is_half_the_log_loss_of_overconfident_networks(
    looked, monkeypatch
):
    def overconfident(features, labels, n_classes):
        head = logistic.fit_head(features, labels, n_classes)
        # Permuted classes: the true one has the least logit, thousands below the largest.
        return replace(head, weight=3000 * head.weight.roll(1, 0), bias=3000 * head.bias.roll(1))

    monkeypatch.setattr(classification, "fit_head", overconfident)
    probe(looked, ("classification",))
    inputs = Inputs(RunDirectory(looked.runs), DataDirectory(looked.home / "data"))
    [one] = find(["landscape"])
    rows = one.make(inputs).to_pylist()
    log_losses = {
        record.probed.id: record.numbers["log_loss"]
        for record in map(ProbeRecord.read, inputs.probe_files("classification"))
    }
    assert len(log_losses) == len(rows) - 2 == 3
    assert min(log_losses.values()) > 2 * 708
    for row in rows:
        if row["method"] not in ("oracle", "chance"):
            assert row["to_oracle"] == pytest.approx(log_losses[row["backbone"]] / 2, abs=1e-9)


def test_a_missing_checkpoint_is_reported_and_the_others_go_on(looked):
    [directory] = (looked.runs / "checkpoints").glob("contrastive-*")
    (directory / "last.json").unlink()
    jobs = due(find_backbones(RunDirectory(looked.runs)), looked.context, ("classification",))
    message = [Prober(looked.context, 1).probe(job) for job in jobs]
    assert [len(lines) for lines in message] == [0, 1, 0]
    assert "no usable checkpoint" in message[1][0]
    assert probe_count(looked) == 2


def probe_count(looked):
    return len(list((looked.runs / "probes" / "classification").glob("*.parquet")))


def test_information_is_what_the_embeddings_say(looked):
    probe(looked, ("information",))
    [path] = (looked.runs / "probes" / "information").glob("*.parquet")
    [row] = ProbeRecord.read(path).rows().to_pylist()
    trial = ProbeRecord.read(path).probed.model
    [roi] = trial.rois
    model = build_model(trial.objective, tiny_backbone(), 32, [roi.n_vertices], trial.seed)
    directory = looked.runs / "checkpoints" / trial.training_id
    model.load_state_dict(Checkpoints(StoredDirectory(directory)).load(CPU).model)
    model.eval()
    subject = read_subject(looked.home / "data" / roi.shard)
    images = loading.read_images(looked.home / "data" / roi.shard, CPU)
    vertices = read_vertices(looked.home / "data" / roi.shard, roi)
    responses = torch.from_numpy(subject.responses[roi.hemisphere][:, vertices])
    test = torch.from_numpy(np.sort(subject.test_rows))
    train = torch.from_numpy(np.sort(subject.train_rows))

    @torch.no_grad()
    def cosines(rows, *, running):
        model.head.train(not running)
        return cosine_similarity(
            model.embed_images(images[rows]), model.embed_responses(responses[rows])
        )

    parts = [part for part in torch.split(train, len(test)) if len(part) == len(test)]
    # In train mode the running statistics change, so those of the checkpoint come first.
    for ending, running in (("_running", True), ("", False)):
        of_test = cosines(test, running=running)
        beta = best_beta([cosines(part, running=running) for part in parts], 0.3)
        assert row[f"beta_train{ending}"] == pytest.approx(beta)
        assert row[f"nats{ending}"] == pytest.approx(bound(of_test, 0.3, beta), abs=1e-5)
        assert row[f"nats_beta_test{ending}"] >= row[f"nats{ending}"] - 1e-9
    assert row["nats_running"] != pytest.approx(row["nats"], abs=1e-3)
    assert row["ceiling"] == pytest.approx(np.log(len(test)))


def test_the_table_of_information_has_both_bounds_in_bits(looked):
    probe(looked, ("information",))
    inputs = Inputs(RunDirectory(looked.runs), DataDirectory(looked.home / "data"))
    [path] = inputs.probe_files("information")
    [probed] = ProbeRecord.read(path).rows().to_pylist()
    [one] = find(["mutual_information"])
    [row] = one.make(inputs).to_pylist()
    for name in ("", "_beta_test", "_running", "_beta_test_running"):
        assert row[f"nats{name}"] == probed[f"nats{name}"]
        assert row[f"bits{name}"] == pytest.approx(probed[f"nats{name}"] / np.log(2))


def test_an_earlier_result_without_the_running_statistics_is_refused_by_name(looked):
    probe(looked, ("information",))
    inputs = Inputs(RunDirectory(looked.runs), DataDirectory(looked.home / "data"))
    [path] = inputs.probe_files("information")
    record = ProbeRecord.read(path)
    rows = record.rows()
    names = [name for name in rows.column_names if "running" not in name]
    path.unlink()
    earlier = replace(mutual_information.INFORMATION, version=2)
    result = Result(rows.select(names), record.numbers)
    path = probe_file(earlier, record.probed, looked.context)
    write_result(path, earlier, record.probed, record.inputs, result)
    [one] = find(["mutual_information"])
    message = make(one, inputs)
    assert message.state == "failed"
    assert f"{path}: expected the columns" in message.message
    assert "found a result of version 2; remove it and run" in message.message


def test_examples_of_saliency_are_the_probed_maps_with_the_probability_of_the_class(looked):
    probe(looked, ("classification", "saliency"))
    inputs = Inputs(RunDirectory(looked.runs), DataDirectory(looked.home / "data"))
    [one] = find(["saliency"])
    for row in one.make(inputs).to_pylist():
        [path] = (looked.runs / "probes" / "classification").glob(f"{row['backbone']}*.parquet")
        rows = ProbeRecord.read(path).rows().to_pylist()
        chosen = [rows[k] for k in choose_examples(len(rows))]
        assert len(row["examples"]) == len(chosen) == 4
        assert {one["label"] for one in chosen} == {0, 1, 2}  # of all classes
        for example, of_image in zip(row["examples"], chosen, strict=True):
            log_probabilities = of_image["log_probabilities"]
            expected = np.exp(log_probabilities[of_image["label"]])
            assert example["probability"] == pytest.approx(expected, abs=1e-5)
            names = sorted(("red", "green", "blue"))
            assert example["class_name"] == names[of_image["label"]]
            assert example["predicted"] == names[int(np.argmax(log_probabilities))]
            assert np.shape(example["map"]) == np.shape(example["map_mirrored"])
            assert np.min(example["map"]) >= 0
            assert (example["image"] is not None) == (row["method"] == "untuned")
    section = SECTIONS["saliency"](one.make(inputs))
    assert "lh V1v of subj01 (contrastive), untuned" in section.figures[1].alt


def test_every_analysis_that_has_its_input_makes_its_table_once(looked):
    probe(looked)
    inputs = Inputs(RunDirectory(looked.runs), DataDirectory(looked.home / "data"))
    done = {one.name: make(one, inputs) for one in ANALYSES}
    assert len(done) == 14
    skipped = {name for name, one in done.items() if one.state == "skipped"}
    assert skipped == {"controls", "ood", "pooling", "transfer"}
    assert {one.state for name, one in done.items() if name not in skipped} == {"made"}
    for one in ANALYSES:
        if one.name not in skipped:
            assert pq.read_schema(inputs.result_file(one.name)).equals(one.schema)
            assert (
                make(
                    one, Inputs(RunDirectory(looked.runs), DataDirectory(looked.home / "data"))
                ).state
                == "unchanged"
            )


def test_every_analysis_has_a_section(looked):
    assert {one.name for one in ANALYSES} == set(SECTIONS)
    assert len(SECTIONS) == 14


def test_a_new_backbone_changes_only_what_it_is_in(looked):
    probe(looked)
    for one in ANALYSES:
        make(one, Inputs(RunDirectory(looked.runs), DataDirectory(looked.home / "data")))
    looked.run(CONTRASTIVE, roi=4)
    probe(looked)
    inputs = Inputs(RunDirectory(looked.runs), DataDirectory(looked.home / "data"))
    states = {one.name: make(one, inputs).state for one in ANALYSES}
    assert looked.rois[4].name == "EBA"
    assert states["saliency"] == "unchanged"
    assert states["classification"] == states["landscape"] == states["improvement"] == "made"


def test_what_is_missing_is_reported_with_its_cure(tmp_path):
    inputs = Inputs(RunDirectory(tmp_path), DataDirectory(tmp_path))
    with pytest.raises(Missing, match=r"orchestrator\.sweep"):
        inputs.all_scores  # noqa: B018
    [one] = find(["classification"])
    message = make(one, inputs)
    assert message.state == "skipped"
    assert "orchestrator.ingest task" in message.message


def test_an_unknown_analysis_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"expected some of improvement, rois, layers"):
        find(["layers", "nonsense"])


def test_the_pareto_front_is_what_no_other_point_beats():
    generator = np.random.default_rng(0)
    for _ in range(50):
        points = generator.integers(0, 5, (12, 2)).astype(float)
        expected = [not any((q >= p).all() and (q > p).any() for q in points) for p in points]
        assert on_front(points).tolist() == expected
