"""Modules on top of a backbone during fine-tuning: readouts and the shared projection head."""

from torch import Tensor, nn
from torch.nn import functional

from trainables.models.adapters import Adapters
from trainables.models.losses import contrastive_loss
from trainables.models.normalisation import normalise
from trainables.models.response_memory import ResponseMemory
from trainables.models.temperature import LearnedTemperature, value_of
from trainables.models.widths import head_widths
from trainables.spec import LEARNED, Contrastive


class SharedHead(nn.Sequential):
    """Project image and response readouts into one space, with the same weights for both."""

    def __init__(self, hidden: int, embedding: int) -> None:
        super().__init__(
            nn.Linear(hidden, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, embedding, bias=False),
        )


def project_batch(head: nn.Sequential, readouts: Tensor) -> Tensor:
    """Project readouts that were not trained on, standardised by their own statistics.

    As in training, where images and responses pass the head one after the other, each by the
    statistics of its batch; BatchNorm's running ones mix the two, which are far apart, and would
    put all images in one place and all responses in another. The running ones stay as they are.
    readouts: (n, hidden) of one side, n at least 2. Returns (n, embedding).
    """
    for module in head:
        if isinstance(module, nn.BatchNorm1d):
            readouts = functional.batch_norm(
                readouts, None, None, module.weight, module.bias, training=True, eps=module.eps
            )
        else:
            readouts = module(readouts)
    return readouts


class ContrastiveModel(nn.Module):
    """Embed images and responses so that those of one image are close.

    images: (n, 3, s, s) uint8. responses: (n, n_vertices) float32. Embeddings: (n, embedding).
    """

    adapters: Adapters | None = None

    def __init__(
        self, backbone: nn.Module, n_logits: int, n_vertices: int, objective: Contrastive
    ) -> None:
        super().__init__()
        hidden, embedding = head_widths(objective, n_vertices)
        self.backbone = backbone
        self.image_readout = nn.Linear(n_logits, hidden, bias=False)
        self.response_readout = nn.Linear(n_vertices, hidden, bias=False)
        self.head = SharedHead(hidden, embedding)
        self.temperature: float | LearnedTemperature = (
            LearnedTemperature() if objective.temperature == LEARNED else objective.temperature
        )
        self.memory = ResponseMemory(objective.memory, embedding) if objective.memory else None
        self._direction = objective.direction

    def read_images(self, images: Tensor) -> Tensor:
        """Read images out: (n, 3, s, s) uint8 -> (n, hidden)."""
        read: Tensor = self.image_readout(self.backbone(normalise(images, self.backbone)))
        return read

    def read_responses(self, responses: Tensor) -> Tensor:
        """Read responses out: (n, n_vertices) -> (n, hidden)."""
        read: Tensor = self.response_readout(responses)
        return read

    def embed_images(self, images: Tensor) -> Tensor:
        """Embed images: (n, 3, s, s) uint8 -> (n, embedding)."""
        embedded: Tensor = self.head(self.read_images(images))
        return embedded

    def embed_responses(self, responses: Tensor) -> Tensor:
        """Embed responses: (n, n_vertices) -> (n, embedding)."""
        embedded: Tensor = self.head(self.read_responses(responses))
        return embedded

    def loss(self, images: Tensor, responses: Tensor) -> Tensor:
        """Compute the contrastive loss of a batch."""
        return self.compare(self.embed_images(images), self.embed_responses(responses))

    def compare(self, image_embeddings: Tensor, response_embeddings: Tensor) -> Tensor:
        """Compute the loss of a batch from its embeddings; in training, remember its responses."""
        temperature = value_of(self.temperature)
        memory = self.memory if self.training else None
        remembered = None if memory is None else memory.held
        loss = contrastive_loss(image_embeddings, response_embeddings, temperature, remembered)
        if memory is not None:
            memory.add(response_embeddings)
        if self._direction == "image":
            return loss
        return (loss + contrastive_loss(response_embeddings, image_embeddings, temperature)) / 2


class RegressionModel(nn.Module):
    """Predict responses from the backbone's logits by one linear map, trained together.

    images: (n, 3, s, s) uint8. responses: (n, n_vertices) float32.
    """

    adapters: Adapters | None = None

    def __init__(self, backbone: nn.Module, n_logits: int, n_vertices: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.readout = nn.Linear(n_logits, n_vertices)
        self.head = nn.Sequential()  # nothing: predictions and responses are compared as they are

    def read_images(self, images: Tensor) -> Tensor:
        """Predict responses, the regression model's place to compare images and responses in."""
        predicted: Tensor = self.readout(self.backbone(normalise(images, self.backbone)))
        return predicted

    def read_responses(self, responses: Tensor) -> Tensor:
        """Return the responses themselves."""
        return responses

    embed_images = read_images
    embed_responses = read_responses

    def loss(self, images: Tensor, responses: Tensor) -> Tensor:
        """Compute the mean squared error of a batch."""
        return self.compare(self.embed_images(images), responses)

    def compare(self, image_embeddings: Tensor, response_embeddings: Tensor) -> Tensor:
        """Compute the loss of a batch from its predicted and measured responses."""
        return nn.functional.mse_loss(image_embeddings, response_embeddings)
