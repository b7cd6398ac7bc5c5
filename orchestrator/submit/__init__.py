"""The submit command: predictions of a challenge's test images, as the challenge takes them."""

__all__: list[str] = []
