"""Trials with the stored images that serve their backbones, and what is said of the others."""

from dataclasses import replace

import pytest
import torch

from orchestrator.backbones.__main__ import main as backbones
from orchestrator.cli.errors import InputError
from orchestrator.execution.cost import Costs
from orchestrator.execution.image_sizes import as_tuned, interpolation_notes, with_images
from orchestrator.execution.preflight import check_trials
from orchestrator.ingest.__main__ import main as ingest
from tests.builders.algonauts_folder import write_folder
from tests.builders.decoding import decode_in_process
from trainables.compute.centre_crop import centre_of
from trainables.data.data_directory import DataDirectory
from trainables.data.loading import read_images
from trainables.data.shards import Manifest, list_rois
from trainables.spec import MEAN, Backbone, Contrastive, Encoding, Pooled, Trial, Untuned
from trainables.spec.evaluation import Evaluation
from trainables.worker.subject_cache import SubjectCache

CPU = torch.device("cpu")
VIT = Backbone("timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> DataDirectory:
    """Two subjects at 16 and 224 pixels."""
    home = tmp_path_factory.mktemp("sizes")
    write_folder(home / "source", (1, 2))
    with pytest.MonkeyPatch.context() as patch:
        decode_in_process(patch)
        command = ["algonauts", str(home / "source"), "--out", str(home / "data")]
        assert ingest([*command, "--image-size", "16,224"]) == 0
    return DataDirectory(home / "data")


@pytest.fixture
def manifests(data) -> dict[str, Manifest]:
    return {shard.name: Manifest.read(shard) for shard in data.shards()}


def trial(data, backbone, objective=None) -> Trial:
    rois = [roi for roi in list_rois(data) if roi.id.endswith("lh-V1v")]
    encoding = Encoding(layers=("features.2",))
    chosen = tuple(rois) if isinstance(objective, Pooled) else tuple(rois[:1])
    return Trial(objective or Untuned(), chosen, backbone, encoding)


def test_trials_get_the_size_of_their_network_and_equal_ones_are_merged(data, manifests) -> None:
    alexnet = trial(data, Backbone("alexnet"))
    asked = trial(data, Backbone("alexnet", image_size=224))
    small = trial(data, Backbone("alexnet", image_size=16))
    pooled = trial(data, VIT, Pooled(hidden_dim=MEAN))
    found = with_images([alexnet, asked, small, pooled], manifests)
    assert [one.backbone.image_size for one in found] == [224, 16, 224]
    assert len({one.id for one in found}) == 3


def test_a_size_that_one_subject_lacks_serves_no_pooled_trial(data, manifests) -> None:
    *_, second = manifests
    manifests[second] = replace(manifests[second], further_images={})
    assert with_images([trial(data, VIT)], manifests)[0].backbone.image_size == 224
    with pytest.raises(ValueError, match="takes images of 224 x 224 pixels; the data has 16"):
        with_images([trial(data, VIT, Pooled(hidden_dim=MEAN))], manifests)


def test_subjects_whose_rows_differ_are_given_images_of_one_size(data, manifests) -> None:
    _, second = manifests
    manifests[second] = replace(manifests[second], image_size=224, further_images={"16": "digest"})
    asked = Backbone("alexnet", image_size=16)
    for backbone, size in ((Backbone("alexnet"), 224), (asked, 16), (VIT, 224)):
        chosen = with_images([trial(data, backbone, Pooled(hidden_dim=MEAN))], manifests)
        assert chosen[0].backbone.image_size == size
        assert with_images(chosen, manifests) == chosen
    manifests[second] = replace(manifests[second], image_size=32, further_images={})
    with pytest.raises(
        ValueError, match=r"subj02 has 32; ingest again with --image-size 16,224,32"
    ):
        with_images([trial(data, asked, Pooled(hidden_dim=MEAN))], manifests)


def test_an_evaluation_gives_the_backbone_images_of_the_size_that_it_was_tuned_on(
    data, manifests
) -> None:
    first, second = manifests
    model = trial(data, Backbone("alexnet"), Contrastive())
    other = next(roi for roi in list_rois(data) if roi.shard == second)
    [plain] = as_tuned([Evaluation(model, (other,))], manifests)
    assert (plain.image_size, plain.backbone) == (None, model.backbone)
    manifests[first] = replace(manifests[first], image_size=224, further_images={})
    [sized] = as_tuned([plain], manifests)
    assert sized.backbone == replace(model.backbone, image_size=224)
    assert sized.id != plain.id
    assert Evaluation.from_json(sized.to_json()) == sized
    manifests[second] = replace(manifests[second], further_images={})
    with pytest.raises(InputError, match=r"--image-size 16,224\): alexnet takes 224 pixels"):
        check_trials(as_tuned([plain], manifests), Costs(manifests), on_cluster=True)


def test_images_of_another_interpolation_are_noted_once_for_a_network(data, manifests) -> None:
    trials = [trial(data, one) for one in (Backbone("alexnet"), VIT, replace(VIT, image_size=16))]
    [note] = interpolation_notes(trials, manifests)
    assert f"{VIT.architecture}: published for bicubic images, the data's are bilinear" in note
    bicubic = {name: replace(one, interpolation="bicubic") for name, one in manifests.items()}
    [note] = interpolation_notes(trials, bicubic)
    assert note.startswith("alexnet: published for bilinear images, the data's are bicubic")


def test_an_evaluation_on_data_without_the_size_is_refused_before_it_runs(data, manifests) -> None:
    model = trial(data, Backbone("alexnet", image_size=336), Contrastive())
    other = next(roi for roi in list_rois(data) if roi.name == "EBA")
    with pytest.raises(InputError, match=r"--image-size 16,224,336\): alexnet takes 336 pixels"):
        check_trials([Evaluation(model, (other,))], Costs(manifests), on_cluster=True)


@pytest.mark.parametrize("budget", [None, 0])
def test_a_worker_reads_the_size_and_the_crop_of_each_trial(data, tmp_path, budget) -> None:
    cache = SubjectCache(data, CPU, budget, tmp_path / "scratch")
    for size, crop in ((None, None), (224, None), (224, 180), (16, 12), (None, 12)):
        backbone = Backbone("alexnet", image_size=size, crop=crop)
        one = trial(data, backbone)
        [(shard, held)] = cache.of(one).items()
        rows = torch.tensor([3, 0, 11])
        [found] = held.images.batches(rows, 3)
        stored = read_images(data.shard(shard), CPU, size)[rows]
        assert torch.equal(found, centre_of(stored, crop))
        assert held.images.image_size == found.shape[-1] == backbone.seen_size_in(16)


def test_a_network_is_described_with_the_images_that_it_is_given(data, capsys) -> None:
    assert backbones(["alexnet", "--data", str(data)]) == 0
    lines = capsys.readouterr().out
    assert "trained with: 224 x 224 pixels, the centre of the image at 256 (bilinear)" in lines
    assert "given: the whole image, resized to 224 x 224 pixels without a crop" in lines
    assert "with crop='config': the centre of 224 pixels of the image at 256" in lines
    assert "(ingest --image-size 224,256)" in lines
    assert "of nsd-subj02, which stores 16, 224: 224 x 224 pixels (bilinear)" in lines


def test_a_network_that_no_stored_size_serves_is_described_with_the_cure(data, capsys) -> None:
    assert backbones(["timm/vit_small_patch14_dinov2.lvd142m", "--data", str(data)]) == 0
    lines = capsys.readouterr().out
    assert "of nsd-subj01: none; timm/vit_small_patch14_dinov2.lvd142m: takes images of" in lines
    assert "ingest again with --image-size 16,224,518" in lines
