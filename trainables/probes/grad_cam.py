"""Where in an image a classifier finds its class: Grad-CAM, and how lateralised that is.

Paper: saliency at features.12 of the classifier that stands on a fine-tuned backbone. Grad-CAM is
Selvaraju et al. (2017), computed by captum; the lateralisation index is ours.
"""

import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from trainables.models.layers import out_of_place
from trainables.models.normalisation import normalise


class Classifier(nn.Module):
    """A backbone up to a layer, and a linear head on that layer's features.

    The head's standardisation is folded into its weight (n_classes, n_features) and bias
    (n_classes,).
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self, backbone: nn.Module, feature_layer: str, weight: Tensor, bias: Tensor
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.feature_layer = feature_layer
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, images: Tensor) -> Tensor:
        """Score the classes of normalised images: (n, 3, s, s) -> (n, n_classes)."""
        kept: list[Tensor] = []
        layer = self.backbone.get_submodule(self.feature_layer)
        hook = layer.register_forward_hook(lambda module, given, found: kept.append(found))
        try:
            self.backbone(images)
        finally:
            hook.remove()
        return nn.functional.linear(kept[0].flatten(1), self.weight, self.bias)


def saliency_maps(classifier: Classifier, layer: str, images: Tensor, labels: Tensor) -> Tensor:
    """Weigh a layer's activations by their gradient for the true class; keep positive parts.

    images: (n, 3, s, s) uint8 on the classifier's device, labels: (n,). Returns (n, h, w), h and
    w of the layer's activations: Grad-CAM. Raises ValueError where the layer has no left and right.
    """
    with out_of_place(classifier):
        cam = LayerGradCam(classifier, classifier.backbone.get_submodule(layer))
        found = cam.attribute(
            normalise(images, classifier.backbone), target=labels, relu_attributions=True
        )
    maps: Tensor = found.squeeze(1).detach()
    if maps.shape[-1] < 2:
        raise ValueError(
            f"{layer} has a single column on images of {images.shape[-1]} pixels, and no left and "
            "right; give --saliency-layer an earlier layer"
        )
    return maps


def lateralisation(maps: Tensor) -> Tensor:
    """Compute a map's lateralisation index: (left − right) / (left + right), 1 all left.

    maps: (n, h, w), none negative. A middle column counts for neither side. Returns (n,); NaN
    where a map has no mass.
    """
    columns = maps.double().sum(dim=1)
    half = columns.shape[1] // 2
    left, right = columns[:, :half].sum(dim=1), columns[:, columns.shape[1] - half :].sum(dim=1)
    whole = columns.sum(dim=1)
    return torch.where(whole > 0, (left - right) / whole, torch.nan)
