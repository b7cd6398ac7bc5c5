"""Untuned, and contrastive at two temperatures with two seeds each."""

from collections.abc import Iterator, Sequence

from trainables.spec import FROM_FILE, Backbone, Contrastive, Encoding, Roi, Trial, Untuned

BACKBONE = Backbone("narrow-alexnet", FROM_FILE)
ENCODING = Encoding(layers=("features.2", "features.5", "features.10"))


def trials(rois: Sequence[Roi]) -> Iterator[Trial]:
    """Yield the trials of each ROI."""
    for roi in rois:
        yield Trial(Untuned(), (roi,), BACKBONE, ENCODING)
        for temperature in (0.1, 1.0):
            objective = Contrastive(
                temperature=temperature, learning_rate=1e-3, batch_size=64, epochs=3
            )
            yield from Trial(objective, (roi,), BACKBONE, ENCODING).repeated(seeds=2)
