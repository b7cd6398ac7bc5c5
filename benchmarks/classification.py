"""Compare torch's logistic regression with scikit-learn's in time and result.

python -m benchmarks.classification [--images 2000 --features 1024 --classes 20 --device cpu]

Caltech256 on AlexNet's ``classifier.5`` has the size 26,000 × 4,096 × 257, which takes scikit-learn
very long; the default is smaller. Features are non-negative and sparse, like those after a ReLU.
"""

import argparse
import time

import torch
from torch import Tensor

from trainables.compute.device import use_threads
from trainables.probes.logistic import fit_by_scikit_learn, minimise

SOLVERS = {"torch": minimise, "scikit-learn": fit_by_scikit_learn}


def main() -> None:
    """Fit with both; print seconds, their ratio, and the differences in accuracy and log loss."""
    parser = argparse.ArgumentParser(description="Torch's logistic regression and scikit-learn's.")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--features", type=int, default=1024)
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="torch's; scikit-learn is on the CPU (cpu)")
    options = parser.parse_args()
    use_threads(options.threads)
    X, labels, n_train = problem(options.images, options.features, options.classes)
    test = X[n_train:].double(), labels[n_train:]
    found = {}
    for name, solve in SOLVERS.items():
        place = options.device if name == "torch" else "cpu"
        train = X[:n_train].to(place), labels[:n_train].to(place)
        start = time.perf_counter()
        weight, bias, converged = solve(*train, options.classes)
        seconds = time.perf_counter() - start
        accuracy, loss = measure(test[0] @ weight.cpu().T + bias.cpu(), test[1])
        found[name] = (seconds, accuracy, loss)
        print(
            f"{name}: {seconds:.2f} s, converged {converged}, accuracy {accuracy:.4f}, "
            f"log loss {loss:.4f}"
        )
    (a, accuracy_a, loss_a), (b, accuracy_b, loss_b) = found["torch"], found["scikit-learn"]
    print(
        f"scikit-learn takes {b / a:.2f} times as long; they differ by "
        f"{abs(accuracy_a - accuracy_b):.4f} in accuracy, {abs(loss_a - loss_b):.5f} in log loss"
    )


def problem(n_images: int, n_features: int, n_classes: int) -> tuple[Tensor, Tensor, int]:
    """Draw standardised features (n, d) of overlapping classes, labels, and the training size."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(n_classes, (n_images,), generator=generator)
    centres = torch.randn(n_classes, n_features, generator=generator)
    noise = torch.randn(n_images, n_features, generator=generator)
    X = (0.25 * centres[labels] + noise - 0.5).relu()
    return (X - X.mean(0)) / X.std(0), labels, n_images * 85 // 100


def measure(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return the accuracy and log loss of test images."""
    accuracy = (logits.argmax(1) == labels).double().mean()
    return float(accuracy), float(torch.nn.functional.cross_entropy(logits, labels))


if __name__ == "__main__":
    main()
