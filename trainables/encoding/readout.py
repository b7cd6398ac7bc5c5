"""The final readout of an encoding model: features -> principal components -> responses.

ŷ = ((x − x̄) V) (C ∘ s) + ȳ, in the units of the responses that it was fitted to.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from trainables.compute.precision import full_float32


@dataclass(frozen=True)
class Projection:
    """A PCA: the mean of a layer's features, and the basis of its components."""

    mean: Tensor
    """x̄: (n_features,) float32."""
    basis: Tensor
    """V: (n_features, k) float32, orthonormal columns."""

    def project(self, features: Tensor) -> Tensor:
        """Compute the components of images: (n, n_features) -> (n, k), float32."""
        with full_float32():
            return (features - self.mean) @ self.basis

    def to(self, device: torch.device) -> Self:
        """Return the projection on a device."""
        return type(self)(self.mean.to(device), self.basis.to(device))


@dataclass(frozen=True)
class Readout:
    """Ridge regression on components, one column per vertex."""

    coefficients: Tensor
    """C: (k, n_vertices) float32, the largest of each column 1 or −1."""
    scale: Tensor
    """s: (n_vertices,) float32."""
    intercept: Tensor
    """ȳ: (n_vertices,) float32, the mean response to the fitted images."""

    @classmethod
    def of(cls, coefficients: Tensor, intercept: Tensor) -> Self:
        """Scale coefficients (k, n_vertices), which half precision then holds; both of any float.

        A vertex whose coefficients are all 0 is predicted as its intercept.
        """
        largest = coefficients.abs().amax(dim=0) if len(coefficients) else 0 * intercept
        scale = torch.where(largest > 0, largest, 1.0)
        return cls((coefficients / scale).float(), scale.float(), intercept.float())

    def predict(self, components: Tensor) -> Tensor:
        """Predict responses: (n, k) components -> (n, n_vertices) float32.

        A vertex whose alpha is far above the variances of its components is predicted as nearly
        its intercept: the sum may keep few digits of what images differ by, or none.
        """
        return self.predict_deviations(components) + self.intercept

    def predict_deviations(self, components: Tensor) -> Tensor:
        """Predict responses less the intercept, in full precision: (n, n_vertices) float32.

        They have the r of exact predictions, since r does not depend on an intercept.
        """
        with full_float32():
            return (components @ self.coefficients) * self.scale

    def to(self, device: torch.device) -> Self:
        """Return the readout on a device."""
        return type(self)(*(part.to(device) for part in self.parts))

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """The coefficients, the scale and the intercept."""
        return self.coefficients, self.scale, self.intercept
