"""The pooled model: one backbone and one head for several subjects, a response readout each."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from trainables.models.adapters import Adapters
from trainables.models.heads import SharedHead
from trainables.models.losses import contrastive_loss
from trainables.models.normalisation import normalise
from trainables.models.widths import pooled_widths
from trainables.spec import Pooled


class PooledModel(nn.Module):
    """Embed images and each subject's responses in one space.

    Backbone, image readout and head are shared; ``response_readouts[k]`` is subject k's own.
    """

    adapters: Adapters | None = None

    def __init__(
        self, backbone: nn.Module, n_logits: int, n_vertices: Sequence[int], objective: Pooled
    ) -> None:
        super().__init__()
        hidden, embedding = pooled_widths(objective, n_vertices)
        self.backbone = backbone
        self.image_readout = nn.Linear(n_logits, hidden, bias=False)
        self.response_readouts = nn.ModuleList(nn.Linear(n, hidden, bias=False) for n in n_vertices)
        self.head = SharedHead(hidden, embedding)
        self.temperature = objective.temperature

    def of_subject(self, number: int) -> "SubjectEmbedder":
        """Return this model as one subject's images and responses see it."""
        return SubjectEmbedder(self, number)


@dataclass(frozen=True)
class SubjectEmbedder:
    """A pooled model through one subject's response readout."""

    model: PooledModel
    subject: int

    @property
    def head(self) -> nn.Sequential:
        """Give the head, which all subjects share."""
        return self.model.head

    def read_images(self, images: Tensor) -> Tensor:
        """Read images out: (n, 3, s, s) uint8 -> (n, hidden)."""
        backbone = self.model.backbone
        read: Tensor = self.model.image_readout(backbone(normalise(images, backbone)))
        return read

    def read_responses(self, responses: Tensor) -> Tensor:
        """Read this subject's responses out: (n, n_vertices) -> (n, hidden)."""
        read: Tensor = self.model.response_readouts[self.subject](responses)
        return read

    def embed_images(self, images: Tensor) -> Tensor:
        """Embed images: (n, 3, s, s) uint8 -> (n, embedding)."""
        embedded: Tensor = self.head(self.read_images(images))
        return embedded

    def embed_responses(self, responses: Tensor) -> Tensor:
        """Embed this subject's responses: (n, n_vertices) -> (n, embedding)."""
        embedded: Tensor = self.head(self.read_responses(responses))
        return embedded

    def compare(self, image_embeddings: Tensor, response_embeddings: Tensor) -> Tensor:
        """Compute the contrastive loss of a batch, all of it this subject's."""
        return contrastive_loss(image_embeddings, response_embeddings, self.model.temperature)
