"""Layers of probes are checked before anything is probed."""

import pytest

from orchestrator.analyze.probe_layers import check_probe_layers
from orchestrator.cli.errors import InputError
from trainables.spec import Backbone


@pytest.mark.parametrize(
    ("feature", "saliency", "message"),
    [
        ("clasifier.5", None, "--feature-layer clasifier.5: .*did you mean 'classifier.5'"),
        ("classifier.5", "feature.12", "--saliency-layer feature.12: .*mean 'features.12'"),
    ],
)
def test_a_layer_that_a_backbone_lacks_is_named_with_the_similar_one(
    feature: str, saliency: str | None, message: str
) -> None:
    check_probe_layers(Backbone(), "classifier.5", "features.12")
    with pytest.raises(InputError, match=message):
        check_probe_layers(Backbone(), feature, saliency)
