"""The model that an objective builds on a backbone, and its interface for training."""

from collections.abc import Sequence
from typing import Protocol, overload

from torch import Tensor, nn

from trainables.compute.seeding import seeded_generators
from trainables.models.call_order import count_logits
from trainables.models.heads import ContrastiveModel, RegressionModel
from trainables.models.pooled import PooledModel
from trainables.models.self_supervised import SelfSupervisedModel
from trainables.spec import Finetuned, FinetunedOnRoi, Pooled, Regression, SelfSupervised

FinetunedModel = ContrastiveModel | RegressionModel | PooledModel | SelfSupervisedModel


class Embedder(Protocol):
    """Interface of a model for training: a subject's readouts and embeddings, and their loss."""

    @property
    def head(self) -> nn.Sequential:
        """Return the module that embeds readouts of images and of responses."""
        ...

    def read_images(self, images: Tensor) -> Tensor:
        """Read images out: (n, 3, s, s) uint8 -> (n, hidden)."""
        ...

    def read_responses(self, responses: Tensor) -> Tensor:
        """Read responses out: (n, n_vertices) -> (n, hidden)."""
        ...

    def embed_images(self, images: Tensor) -> Tensor:
        """Embed images: (n, 3, s, s) uint8 -> (n, embedding)."""
        ...

    def embed_responses(self, responses: Tensor) -> Tensor:
        """Embed responses: (n, n_vertices) -> (n, embedding)."""
        ...

    def compare(self, image_embeddings: Tensor, response_embeddings: Tensor) -> Tensor:
        """Compute the loss of a batch from its embeddings."""
        ...


def embedder_of(model: FinetunedModel, subject: int) -> Embedder:
    """Return a model as one subject sees it; a model of one ROI is the same for its only one."""
    return model.of_subject(subject) if isinstance(model, PooledModel) else model


def begin_epoch(model: FinetunedModel) -> None:
    """Put a model in training mode, without responses remembered from another epoch."""
    model.train()
    if isinstance(model, ContrastiveModel) and model.memory is not None:
        model.memory.clear()


@overload
def build_model(
    objective: Pooled, backbone: nn.Module, image_size: int, n_vertices: Sequence[int], seed: int
) -> PooledModel: ...


@overload
def build_model(
    objective: FinetunedOnRoi,
    backbone: nn.Module,
    image_size: int,
    n_vertices: Sequence[int],
    seed: int,
) -> ContrastiveModel | RegressionModel: ...


@overload
def build_model(
    objective: Finetuned, backbone: nn.Module, image_size: int, n_vertices: Sequence[int], seed: int
) -> FinetunedModel: ...


def build_model(
    objective: Finetuned, backbone: nn.Module, image_size: int, n_vertices: Sequence[int], seed: int
) -> FinetunedModel:
    """Put an objective's readouts and head on a backbone, initialised from seed (on the CPU).

    n_vertices: of each subject's ROI; one number unless the objective is pooled, and without effect
    on a self-supervised model. Raises ValueError
    when the backbone does not accept images of image_size x image_size pixels.
    """
    n_logits = count_logits(backbone, image_size)
    with seeded_generators(seed):
        if isinstance(objective, Pooled):
            return PooledModel(backbone, n_logits, n_vertices, objective)
        if isinstance(objective, SelfSupervised):
            return SelfSupervisedModel(backbone, n_logits, objective)
        [n_vertices_of_roi] = n_vertices
        if isinstance(objective, Regression):
            return RegressionModel(backbone, n_logits, n_vertices_of_roi)
        return ContrastiveModel(backbone, n_logits, n_vertices_of_roi, objective)
