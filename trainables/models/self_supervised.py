"""The model of the self-supervised control: a backbone and a head, and no responses."""

from torch import Tensor, nn

from trainables.models.adapters import Adapters
from trainables.models.heads import SharedHead
from trainables.models.losses import view_contrast_loss
from trainables.models.normalisation import normalise
from trainables.spec import SelfSupervised


class PairedHead(SharedHead):
    """Project views, and put the two of an image in one row: (2n, hidden) -> (n, 2 embedding)."""

    def forward(self, input: Tensor) -> Tensor:
        """Project views, which follow each other image by image."""
        embedded = input
        for module in self:
            embedded = module(embedded)
        return embedded.reshape(len(embedded) // 2, 2 * embedded.shape[1])


class SelfSupervisedModel(nn.Module):
    """Embed two augmented views of each image so that they are close.

    images: (2n, 3, s, s), the views of image i in rows 2i and 2i + 1. Embeddings: one row an image,
    (n, 2 embedding).
    """

    adapters: Adapters | None = None

    def __init__(self, backbone: nn.Module, n_logits: int, objective: SelfSupervised) -> None:
        super().__init__()
        self.backbone = backbone
        self.image_readout = nn.Linear(n_logits, objective.hidden_dim, bias=False)
        self.head = PairedHead(objective.hidden_dim, objective.embedding_dim)
        self.temperature = objective.temperature

    def read_images(self, images: Tensor) -> Tensor:
        """Read views out: (2n, 3, s, s) of 0 to 255 -> (2n, hidden)."""
        read: Tensor = self.image_readout(self.backbone(normalise(images, self.backbone)))
        return read

    def read_responses(self, responses: Tensor) -> Tensor:
        """Return the responses, which take no part."""
        return responses

    def embed_images(self, images: Tensor) -> Tensor:
        """Embed views: (2n, 3, s, s) of 0 to 255 -> (n, 2 embedding)."""
        embedded: Tensor = self.head(self.read_images(images))
        return embedded

    embed_responses = read_responses

    def compare(self, image_embeddings: Tensor, response_embeddings: Tensor) -> Tensor:
        """Compute the loss of a batch from its views' embeddings."""
        views = image_embeddings.view(len(image_embeddings), 2, -1)
        return view_contrast_loss(views, self.temperature)
