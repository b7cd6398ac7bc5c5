"""Images of every mode are read right, or refused by name; none is clipped or guessed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestrator.cli.errors import InputError
from orchestrator.ingest.images import check_images, decode_cropped, decode_image, remarks
from orchestrator.ingest.pixels import NOT_TURNED, ON_WHITE, ORIENTATION, SCALED, read_rgb

GREY = np.linspace(0, 255, 12 * 10).astype(np.uint8).reshape(12, 10)
COLOUR = np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)
DEEP = GREY.astype(np.uint16) * 257


def save(path: Path, pixels: np.ndarray, mode: str | None = None, **options) -> Path:
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def with_palette_hole(path: Path) -> Path:
    image = Image.fromarray(GREY // 128).convert("L")
    image = image.point(lambda v: v).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(path, transparency=1)
    return path


GREY_RGB = np.repeat(GREY[..., None], 3, axis=2)
HALF = np.dstack([COLOUR, np.where(GREY > 127, 255, 0).astype(np.uint8)])
SHOWN_ON_WHITE = np.where((GREY > 127)[..., None], COLOUR, 255)
READ = {
    "8-bit grey": (lambda p: save(p / "a.png", GREY), GREY_RGB, None),
    "colour": (lambda p: save(p / "a.png", COLOUR), COLOUR, None),
    "colour as BMP": (lambda p: save(p / "a.bmp", COLOUR), COLOUR, None),
    "colour as TIFF": (lambda p: save(p / "a.tif", COLOUR), COLOUR, None),
    "colour as PPM": (lambda p: save(p / "a.ppm", COLOUR), COLOUR, None),
    "16-bit PNG": (lambda p: save(p / "a.png", DEEP), GREY_RGB, SCALED),
    "16-bit TIFF": (lambda p: save(p / "a.tif", DEEP), GREY_RGB, SCALED),
    "16-bit PGM": (
        lambda p: write(p / "a.pgm", b"P5 10 12 65535\n" + DEEP.astype(">u2").tobytes()),
        GREY_RGB,
        SCALED,
    ),
    "opaque alpha": (
        lambda p: save(p / "a.png", np.dstack([COLOUR, np.full_like(GREY, 255)])), COLOUR, None,
    ),
    "half transparent": (lambda p: save(p / "a.png", HALF), SHOWN_ON_WHITE, ON_WHITE),
    "grey with alpha": (
        lambda p: save(p / "a.png", np.dstack([GREY, np.full_like(GREY, 255)])), GREY_RGB, None,
    ),
    "a palette's hole": (
        lambda p: with_palette_hole(p / "a.png"),
        np.where((GREY > 127)[..., None], 255, [10, 20, 30]),
        ON_WHITE,
    ),
    "black in 16 bits": (lambda p: save(p / "a.png", DEEP * 0), GREY_RGB * 0, SCALED),
}  # fmt: skip


def write(path: Path, raw: bytes) -> Path:
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("case", READ)
def test_an_image_is_read_with_the_values_that_it_shows(case, tmp_path) -> None:
    make, expected, remark = READ[case]
    path = make(tmp_path)
    np.testing.assert_array_equal(np.asarray(read_rgb(path)), expected)
    found = check_images([path], lambda _: None)
    assert found[0].remark == remark
    assert bool(remarks([path], found)) == (remark is not None)


def frames(path: Path, **options) -> Path:
    pages = [Image.fromarray(COLOUR), Image.fromarray(255 - COLOUR)]
    pages[0].save(path, save_all=True, append_images=pages[1:], **options)
    return path


REFUSED = {
    "8-bit values in 16 bits": (
        lambda p: save(p / "a.png", GREY.astype(np.uint16)), "16-bit pixels of at most 255",
    ),
    "32-bit integers": (
        lambda p: save(p / "a.tif", DEEP.astype(np.int32)), "pixels of mode I, whose scale",
    ),
    "16 bits of which 0 is white": (
        lambda p: save(p / "a.tif", DEEP, tiffinfo={262: 0}), "16-bit pixels of which 0 is white",
    ),
    "floats": (lambda p: save(p / "a.tif", GREY / np.float32(255)), "pixels of mode F, whose"),
    "a Lab image": (
        lambda p: Image.new("LAB", (9, 9)).save(p / "a.tif") or p / "a.tif", "pixels of mode LAB",
    ),
    "an animated GIF": (lambda p: frames(p / "a.gif"), "2 frames or pages; expected one"),
    "an animated PNG": (lambda p: frames(p / "a.png"), "2 frames or pages; expected one"),
    "an animated WebP": (lambda p: frames(p / "a.webp", lossless=True), "2 frames or pages"),
    "a TIFF of pages": (lambda p: frames(p / "a.tif"), "2 frames or pages; expected one"),
    "a bomb": (
        lambda p: Image.new("1", (10_000, 10_000)).save(p / "a.png") or p / "a.png",
        "10,000 x 10,000 pixels; expected at most",
    ),
    "a thread": (
        lambda p: Image.new("L", (3000, 2)).save(p / "a.png") or p / "a.png",
        "3,000 x 2 pixels; expected at most",
    ),
    "no bytes": (lambda p: write(p / "a.png", b""), "not a readable image (an empty file)"),
    "a cut TIFF": (
        lambda p: write(
            p / "b.tif", save(p / "a.tif", COLOUR, compression="tiff_lzw").read_bytes()[:-150]
        ),
        "not a readable image (",
    ),
    "a cut BMP": (
        lambda p: write(p / "b.bmp", save(p / "a.bmp", COLOUR).read_bytes()[:-40]),
        "not a readable image (",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_an_image_that_needs_a_guess_is_refused_before_anything_is_written(case, tmp_path) -> None:
    make, text = REFUSED[case]
    path = make(tmp_path)
    with pytest.raises(InputError) as refused:
        check_images([path], lambda _: None)
    (line,) = refused.value.lines
    assert line.startswith(f"{path}: ")
    assert text in line


def test_an_orientation_is_noted_and_not_applied(tmp_path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = save(tmp_path / "a.png", COLOUR, exif=exif)
    other = save(tmp_path / "b.jpg", COLOUR, exif=exif)
    np.testing.assert_array_equal(np.asarray(read_rgb(path)), COLOUR)
    (line,) = remarks([path, other], check_images([path, other], lambda _: None))
    assert NOT_TURNED in line
    assert "a.png" in line
    assert "b.jpg" in line


@pytest.mark.parametrize("decode", [decode_image, decode_cropped])
def test_deep_images_are_decoded_as_shallow_ones(decode, tmp_path) -> None:
    deep, shallow = save(tmp_path / "a.png", DEEP), save(tmp_path / "b.png", GREY)
    np.testing.assert_array_equal(decode(deep, 8), decode(shallow, 8))
