"""Compare ways to share a device among trials: round-robin, processes, streams, one batch.

python -m benchmarks.gpu_sharing [--trials 1,2 --backbone alexnet --batch-size 32]

Each trial takes the same regression steps with a backbone and a linear readout; the rate counts the
images of all trials. It needs only torch, torchvision, pyarrow and SciPy, so that it also runs on a
bare machine with a GPU.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import BrokenBarrierError
from typing import Any, Final

import torch
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from trainables.compute.device import use_threads
from trainables.models import backbones
from trainables.models.normalisation import normalise

READY_SECONDS: Final = 300.0
"""Timeout in seconds for all processes to build their backbone."""


@dataclass(frozen=True)
class Load:
    """The work of each trial."""

    backbone: str = "alexnet"
    image_size: int = 224
    batch_size: int = 1024
    n_vertices: int = 600
    n_steps: int = 4
    threads: int = 1
    """CPU threads for all trials together."""


class Trial:
    """One trial's backbone, readout and optimiser, and a batch on the device."""

    def __init__(self, load: Load, device: torch.device) -> None:
        shape = (load.batch_size, 3, load.image_size, load.image_size)
        self.images = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
        self.responses = torch.randn(load.batch_size, load.n_vertices, device=device)
        readout = nn.Linear(1000, load.n_vertices)
        self.model = nn.Sequential(backbones.build(load.backbone), readout).to(device).train()

        self._optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-5, fused=True)

    def step(self) -> None:
        """Take one step."""
        loss = nn.functional.mse_loss(self.model(normalise(self.images)), self.responses)
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self._optimizer.step()


Rate = Callable[[Load, int, torch.device], float]
"""Returns the images per second of a number of trials."""


def round_robin(load: Load, n_trials: int, device: torch.device) -> float:
    """Run the trials one after another, each with all threads."""
    use_threads(load.threads)
    trials = [Trial(load, device) for _ in range(n_trials)]

    def step() -> None:
        for trial in trials:
            trial.step()

    return _rate(load, n_trials, device, step)


def in_streams(load: Load, n_trials: int, device: torch.device) -> float:
    """Give each trial a CUDA stream; one process launches their steps round-robin."""
    trials = [Trial(load, device) for _ in range(n_trials)]
    streams = [torch.cuda.Stream(device) for _ in trials]  # type: ignore[no-untyped-call]

    def step() -> None:
        for trial, stream in zip(trials, streams, strict=True):
            with torch.cuda.stream(stream):
                trial.step()

    return _rate(load, n_trials, device, step)


def as_one_batch(load: Load, n_trials: int, device: torch.device) -> float:
    """Stack the trials' weights and compute all gradients by ``vmap``."""
    use_threads(load.threads)
    trials = [Trial(load, device) for _ in range(n_trials)]
    params, buffers = stack_module_state([trial.model for trial in trials])
    model = trials[0].model
    images = torch.stack([trial.images for trial in trials])
    responses = torch.stack([trial.responses for trial in trials])
    optimizer = torch.optim.Adam(list(params.values()), lr=1e-5, fused=True)

    def loss(own: Any, fixed: Any, shown: Tensor, measured: Tensor) -> Tensor:
        predicted = functional_call(model, (own, fixed), (normalise(shown),))
        return nn.functional.mse_loss(predicted, measured)

    gradients = vmap(grad(loss), randomness="different")

    def step() -> None:
        for name, gradient in gradients(params, buffers, images, responses).items():
            params[name].grad = gradient.detach()
        optimizer.step()

    return _rate(load, n_trials, device, step)


def _rate(load: Load, n_trials: int, device: torch.device, step: Callable[[], object]) -> float:
    step()
    _wait(device)
    start = time.perf_counter()
    for _ in range(load.n_steps):
        step()
    _wait(device)
    return n_trials * load.batch_size * load.n_steps / (time.perf_counter() - start)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def in_processes(load: Load, n_trials: int, device: torch.device) -> float:
    """Give each trial a process and a share of the threads, as a sweep does."""
    context = mp.get_context("spawn")
    barrier, times = context.Barrier(n_trials), context.Queue()
    args = (load, n_trials, str(device), barrier, times)
    processes = [context.Process(target=_process, args=args) for _ in range(n_trials)]
    for process in processes:
        process.start()
    spans = [times.get(timeout=READY_SECONDS + 600) for _ in processes]
    for process in processes:
        process.join()
    if None in spans:
        raise MemoryError(f"{n_trials} processes don't fit {device}")
    wall: float = max(end for _, end in spans) - min(start for start, _ in spans)
    return n_trials * load.batch_size * load.n_steps / wall


def _process(load: Load, n_trials: int, name: str, barrier: Any, times: Any) -> None:
    use_threads(max(1, load.threads // n_trials))
    device = torch.device(name)
    try:
        trial = Trial(load, device)
        trial.step()
        _wait(device)
        barrier.wait(READY_SECONDS)
    except (torch.OutOfMemoryError, BrokenBarrierError):
        barrier.abort()
        times.put(None)
        return
    start = time.time()
    for _ in range(load.n_steps):
        trial.step()
    _wait(device)
    times.put((start, time.time()))


def ways(device: torch.device) -> dict[str, Rate]:
    """List the ways to run several trials on a device."""
    found: dict[str, Rate] = {"round-robin": round_robin, "in processes": in_processes}
    if device.type == "cuda":
        found["in streams"] = in_streams
    return {**found, "as one batch": as_one_batch}


def measure(
    load: Load, counts: Sequence[int], device: torch.device, repeats: int
) -> dict[str, list[float]]:
    """Measure each way for each number of trials, alternately; leave out those without memory."""
    found: dict[str, list[float]] = {}
    for _ in range(repeats):
        for n_trials in counts:
            for name, rate in ways(device).items():
                if n_trials == 1 and name != "round-robin":
                    continue
                try:
                    found.setdefault(f"{n_trials} {name}", []).append(rate(load, n_trials, device))
                except (torch.OutOfMemoryError, MemoryError):
                    continue
                finally:
                    if device.type == "cuda":
                        torch.cuda.empty_cache()
    return found


def main() -> None:
    """Print the images per second of every way."""
    parser = argparse.ArgumentParser(description="Several trials on one device.")
    parser.add_argument("--trials", default="1,2", help="numbers of trials, comma-separated (1,2)")
    parser.add_argument("--backbone", default="alexnet")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    load = Load(
        options.backbone,
        options.image_size,
        options.batch_size,
        n_steps=options.steps,
        threads=options.threads,
    )
    counts = [int(part) for part in options.trials.split(",")]
    found = measure(load, counts, device, options.repeats)
    print("| trials | images/s | from … to |\n|---|---|---|")
    for name, rates in found.items():
        print(f"| {name} | {statistics.median(rates):.1f} | {min(rates):.1f} … {max(rates):.1f} |")
    if options.json:
        options.json.write_text(
            json.dumps({"load": asdict(load), "rates": found}, indent=1), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
