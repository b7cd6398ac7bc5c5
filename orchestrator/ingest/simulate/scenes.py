"""Procedural images: objects of eight classes in front of a textured background.

A scene describes objects, positions and light. It is drawn from a seed and the stimulus number
alone, and its image is a pure function of it, so a stimulus has the same pixels for every subject.
Coordinates run from -1 to 1, rightwards and upwards from the centre of the image.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

OUTLINES: Final = ("round", "limbed", "square", "elongated")
TEXTURES: Final = ("striped", "checked")
CLASSES: Final = tuple(f"{outline}-{texture}" for outline in OUTLINES for texture in TEXTURES)
"""Classes of objects: outline and texture. A class's label is its index in this tuple."""
TINTS: Final = ((0.06, 0.0, -0.06), (0.06, -0.06, 0.0), (-0.06, 0.0, 0.06), (-0.06, 0.06, 0.0))
"""Mean tint (red, green, blue) of the objects of each outline; it is smaller than its spread."""

SOFTNESS: Final = 0.05
"""Width of an object's edge, in units of half an image."""
SENSOR_NOISE: Final = 0.02
"""Standard deviation of the noise added to the finished image, whose range is 0 to 1."""


@dataclass(frozen=True)
class Thing:
    """One object of a scene."""

    label: int
    """Index of its class in CLASSES."""
    x: float
    y: float
    radius: float
    """Half its width, in units of half an image."""
    angle: float
    """Rotation in radians."""
    colour: tuple[float, float, float]
    contrast: float
    """Depth of its texture, 0 to 1."""
    phase: float
    """Shift of its texture in radians."""


@dataclass(frozen=True)
class Scene:
    """Contents of an image: a main object, smaller ones, a background and its illumination."""

    main: Thing
    behind: tuple[Thing, ...]
    """Objects that the main one may occlude, farthest first."""
    before: tuple[Thing, ...]
    """Objects that may occlude part of the main one."""
    slope: float
    """Exponent a of the background's amplitude spectrum, f to the power of -a (Field, 1987)."""
    grain: tuple[float, float]
    """Orientation (radians) and strength (0 to 1) of the background's texture."""
    ground: tuple[float, float, float]
    """Mean colour of the background."""
    ground_contrast: float
    light: tuple[float, float]
    """Change of the illumination across half an image, rightwards and upwards."""
    seed: tuple[int, int]
    """Seed and stimulus number, from which the background's noise is drawn."""

    @property
    def things(self) -> tuple[Thing, ...]:
        """List all objects, farthest first."""
        return (*self.behind, self.main, *self.before)


def compose(seed: int, stimulus: int) -> Scene:
    """Draw the scene of a stimulus, which depends on the seed and its number only."""
    rng = np.random.default_rng([seed, stimulus])
    main = _thing(rng, radius=(0.45, 0.8), reach=0.35)
    others = [_thing(rng, radius=(0.12, 0.3), reach=0.9) for _ in range(rng.integers(0, 4))]
    n_before = int(rng.integers(0, 2)) if others else 0
    split = len(others) - n_before
    return Scene(
        main=main,
        behind=tuple(others[:split]),
        before=tuple(others[split:]),
        slope=float(rng.uniform(0.8, 1.5)),
        grain=(float(rng.uniform(0, np.pi)), float(rng.uniform(0, 0.8))),
        ground=_colour(rng),
        ground_contrast=float(rng.uniform(0.06, 0.18)),
        light=(float(rng.uniform(-0.4, 0.4)), float(rng.uniform(-0.4, 0.4))),
        seed=(seed, stimulus),
    )


def render(scene: Scene, size: int) -> Array:
    """Render a scene: (size, size, 3) uint8, rows from the top."""
    right, up = _plane(size)
    rng = np.random.default_rng([*scene.seed, 1])
    image = _background(scene, size, rng)
    for thing in scene.things:
        _paint(image, thing, right, up)
    image *= (1 + scene.light[0] * right + scene.light[1] * up)[..., None]
    image += SENSOR_NOISE * rng.standard_normal(image.shape, dtype=np.float32)
    pixels: Array = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    return pixels


def _thing(rng: np.random.Generator, radius: tuple[float, float], reach: float) -> Thing:
    label = int(rng.integers(len(CLASSES)))
    return Thing(
        label=label,
        x=float(rng.uniform(-reach, reach)),
        y=float(rng.uniform(-reach, reach)),
        radius=float(rng.uniform(*radius)),
        angle=float(rng.normal(0, 0.35)),
        colour=_colour(rng, TINTS[label // len(TEXTURES)]),
        contrast=float(rng.uniform(0.25, 0.8)),
        phase=float(rng.uniform(0, 2 * np.pi)),
    )


def _colour(
    rng: np.random.Generator, tint: tuple[float, float, float] = (0, 0, 0)
) -> tuple[float, float, float]:
    """Draw a grey level with a weak tint, as most surfaces have."""
    red, green, blue = rng.uniform(0.2, 0.75) + rng.normal(tint, 0.08)
    return (float(red), float(green), float(blue))


@lru_cache(maxsize=4)
def _plane(size: int) -> tuple[Array, Array]:
    """Compute each pixel's coordinates: (size, size) rightwards and upwards, -1 to 1."""
    centre = (2 * np.arange(size, dtype=np.float32) + 1) / size - 1
    right, up = np.meshgrid(centre, -centre)
    return right, up


@lru_cache(maxsize=4)
def _spectrum(size: int) -> tuple[Array, Array]:
    """Compute each bin's frequency (cycles per image, 1 at least) and orientation (radians)."""
    rows, columns = np.meshgrid(np.fft.fftfreq(size), np.fft.rfftfreq(size), indexing="ij")
    frequency = np.maximum(size * np.hypot(rows, columns), 1)
    return frequency.astype(np.float32), np.arctan2(rows, columns).astype(np.float32)


def _background(scene: Scene, size: int, rng: np.random.Generator) -> Array:
    """Filter noise to a falling, oriented spectrum, with a weak tint over the channels."""
    frequency, orientation = _spectrum(size)
    angle, strength = scene.grain
    gain = frequency**-scene.slope * (1 + strength * np.cos(2 * (orientation - angle)))
    gain[0, 0] = 0
    white = rng.standard_normal((4, size, size), dtype=np.float32)
    noise = np.fft.irfft2(np.fft.rfft2(white) * gain, s=(size, size))
    noise /= noise.std(axis=(1, 2), keepdims=True)
    texture = noise[0, ..., None] + 0.3 * np.moveaxis(noise[1:], 0, -1)
    image: Array = np.asarray(scene.ground) + scene.ground_contrast * texture
    return image.astype(np.float32)


def _paint(image: Array, thing: Thing, right: Array, up: Array) -> None:
    """Draw one object onto an image, in place."""
    x, y = (right - thing.x) / thing.radius, (up - thing.y) / thing.radius
    cosine, sine = np.cos(thing.angle), np.sin(thing.angle)
    u, v = cosine * x + sine * y, cosine * y - sine * x
    inside = _outline(thing.label, np.arctan2(v, u)) - np.hypot(u, v)
    cover = 1 / (1 + np.exp(np.clip(-4 * thing.radius / SOFTNESS * inside, -30, 30)))
    shade = 1 + 0.2 * v + thing.contrast * _texture(thing, u, v)
    surface = np.asarray(thing.colour, np.float32) * shade[..., None]
    image += cover[..., None] * (surface - image)


def _outline(label: int, angle: Array) -> Array:
    """Compute an object's extent in each direction, as a fraction of its radius."""
    outline = OUTLINES[label // len(TEXTURES)]
    across, along = np.cos(angle), np.sin(angle)
    extent: Array
    if outline == "round":
        extent = np.full_like(angle, 0.85)
    elif outline == "limbed":
        extent = 0.7 + 0.35 * np.sin(5 * angle)
    elif outline == "square":
        extent = 0.75 / np.maximum(abs(across), abs(along))
    else:
        extent = 1 / np.hypot(across / 1.2, along / 0.45)
    return extent


def _texture(thing: Thing, u: Array, v: Array) -> Array:
    """Compute an object's texture in its own coordinates, -1 to 1."""
    if TEXTURES[thing.label % len(TEXTURES)] == "striped":
        return np.sin(9 * u + thing.phase)
    return np.sin(6 * u + thing.phase) * np.sin(6 * v + thing.phase)
