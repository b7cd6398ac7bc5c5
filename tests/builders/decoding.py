"""Ingest commands without Ray: images are decoded in this process by the same code."""

import pickle
from collections.abc import Iterator

import pyarrow as pa

from orchestrator.ingest import images

FEW = 5
"""Images per batch, so that small subjects have several."""


class _Decoded:
    """The part of Ray's data set that ingest uses."""

    def __init__(self, places, sizes, fit) -> None:
        self._places, self._sizes, self._fit = places, sizes, fit

    def iter_batches(self, **_: object) -> Iterator[pa.Table]:
        for first in range(0, len(self._places), FEW):
            few = self._places[first : first + FEW]
            table = pa.table(
                {
                    "row": range(first, first + len(few)),
                    "place": [pickle.dumps(one.resolve()) for one in few],
                }
            )
            yield images._decode_batch(table, self._sizes, self._fit)


def decode_in_process(monkeypatch) -> None:
    """Let ingest decode without Ray."""
    monkeypatch.setattr("orchestrator.cluster.connection.connect", lambda num_cpus: None)
    monkeypatch.setattr(images, "_decoded", _Decoded)
