"""Losses of fine-tuning, and retrieval of the right response."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


def contrastive_loss(
    image_embeddings: Tensor,
    response_embeddings: Tensor,
    temperature: float | Tensor,
    remembered: Tensor | None = None,
) -> Tensor:
    """Average, over images, the cross-entropy of picking their own response of the batch.

    S_ij = cos(response i, image j); L = -mean_j log( exp(S_jj/t) / sum_i exp(S_ij/t) ).
    image_embeddings, response_embeddings: (n_images, n_dimensions), row i of one image.
    remembered: (n_remembered, n_dimensions), further responses in the sum, none of which is right.
    """
    # One-sided: each image picks its response, never the reverse; hence images are the rows.
    if remembered is not None:
        response_embeddings = torch.cat([response_embeddings, remembered])
    logits = cosine_similarity(image_embeddings, response_embeddings) / temperature
    return functional.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def view_contrast_loss(views: Tensor, temperature: float) -> Tensor:
    """Average, over views, the cross-entropy of picking the other view of their image (NT-Xent).

    l_ij = -log( exp(S_ij/t) / sum_(k != i) exp(S_ik/t) ) of the cosines S of all 2n views, where
    i and j are the views of one image. views: (n_images, 2, n_dimensions).
    """
    flat = views.flatten(0, 1)
    logits = cosine_similarity(flat, flat) / temperature
    numbers = torch.arange(len(flat), device=flat.device)
    logits = logits.masked_fill(numbers[:, None] == numbers, -torch.inf)
    return functional.cross_entropy(logits, numbers ^ 1)


def cosine_similarity(rows: Tensor, columns: Tensor) -> Tensor:
    """Compare every row with every column: (n, d), (m, d) -> (n, m) cosines."""
    return functional.normalize(rows, dim=1) @ functional.normalize(columns, dim=1).T


@dataclass(frozen=True)
class Retrieval:
    """How well images find their own response among the held-back ones."""

    top1: float
    """Share of images whose own response is the most similar; chance is 1/n."""
    median_rank: float
    """Median rank of the own response, 1 the best; chance is (n + 1)/2."""


def retrieval(image_embeddings: Tensor, response_embeddings: Tensor) -> Retrieval:
    """Rank each image's own response among all; ties count against it.

    image_embeddings, response_embeddings: (n_images, n_dimensions), row i of one image.
    """
    similarity = cosine_similarity(image_embeddings, response_embeddings)
    own = similarity.diagonal().unsqueeze(1)
    ranks = (similarity >= own).sum(dim=1).double()
    both = torch.stack([(ranks == 1).double().mean(), ranks.quantile(0.5)])
    return Retrieval(*both.tolist())  # the host waits for the device once
