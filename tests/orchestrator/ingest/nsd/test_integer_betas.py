"""Betas of int16: chosen columns of HDF5 files and of compressed volumes, and what is refused."""

import gzip

import h5py
import numpy as np
import pytest

from orchestrator.cli.errors import InputError
from orchestrator.ingest.nsd.brain_masks import check_axes
from orchestrator.ingest.nsd.compressed_betas import check_nifti_betas, stream_trials
from orchestrator.ingest.nsd.integer_betas import (
    Saturation,
    check_shape,
    open_betas,
    read_columns,
    stored_shape,
    to_percent,
)
from orchestrator.ingest.nsd.volumes import read_volume
from tests.builders.nsd_spaces import (
    N_TRIALS,
    SHAPE,
    cut_content,
    volume_betas,
    write_compressed,
    write_hdf5,
    write_nifti,
)

AXES = (N_TRIALS, *SHAPE[::-1])


def columns_of(path, n_axes, columns):
    with open_betas(path, n_axes) as data:
        return read_columns(data, np.array(columns))


@pytest.mark.parametrize("columns", [[], [0], [3, 4, 5, 30, 31, 59], list(range(60))])
def test_columns_are_those_of_the_flattened_file(tmp_path, columns) -> None:
    betas = volume_betas()
    flat = betas.reshape(N_TRIALS, -1)
    volume = write_hdf5(tmp_path / "volume.hdf5", betas)
    surface = write_hdf5(tmp_path / "lh.hdf5", flat)
    assert np.array_equal(columns_of(volume, 4, columns), flat[:, columns])
    assert np.array_equal(columns_of(surface, 2, columns), flat[:, columns])
    if columns:
        zipped = write_compressed(tmp_path / "volume.nii.gz", betas, ">i2")
        check_nifti_betas(zipped, SHAPE, N_TRIALS)
        streamed = list(stream_trials(zipped, np.array(columns)))
        assert np.array_equal(streamed, flat[:, columns])


def test_stored_betas_are_300_for_a_per_cent_and_columns_of_zeros_have_no_data() -> None:
    stored = np.array([[300, 0, 0, 32_767], [-150, 0, 3, -32_768]], np.int16)
    expected = [[1, np.nan, 0, 109.22333], [-0.5, np.nan, 0.01, -109.226666]]
    np.testing.assert_allclose(to_percent(stored), expected, rtol=1e-6)


def test_saturated_betas_are_counted_by_session(tmp_path) -> None:
    saturation = Saturation()
    assert saturation.notes(tmp_path) == []
    saturation.count(3, np.array([[32_767, 5]], np.int16))
    saturation.count(4, np.array([[1, 5]], np.int16))
    saturation.count(3, np.array([[-32_768, -32_767]], np.int16))
    (note,) = saturation.notes(tmp_path)
    assert f"{tmp_path}: 3 betas are saturated at ±109.2 %, in session 3" in note


def test_only_chosen_chunks_are_read(tmp_path) -> None:
    """Destroy the chunk of a column that is far from the chosen ones."""
    path = write_hdf5(tmp_path / "lh.hdf5", np.ones((N_TRIALS, 40)))
    with h5py.File(path, "r+") as file:
        del file["betas"]
        data = file.create_dataset(
            "betas", (N_TRIALS, 40), np.int16, chunks=(N_TRIALS, 1), compression="gzip"
        )
        data[:] = 7
        data.id.write_direct_chunk((0, 20), b"no compressed content")
    assert (columns_of(path, 2, [0, 1, 38]) == 7).all()
    with pytest.raises(InputError, match=r"lh.hdf5: .*; download it again"):
        columns_of(path, 2, [20])


def hdf5(betas=None, data_set="betas", kind=np.int16):
    """Make a check of a file that was written in another way."""

    def check(folder):
        values = volume_betas() if betas is None else betas
        path = write_hdf5(folder / "b.hdf5", values, data_set, kind)
        check_shape(path, stored_shape(path, 4), AXES)

    return check


def nifti(betas=None, kind=np.int16, damage=None):
    def check(folder):
        path = write_compressed(folder / "b.nii.gz", volume_betas() if betas is None else betas)
        if kind is not np.int16:
            write_nifti(path, volume_betas().T, kind)
        if damage:
            damage(path)
        check_nifti_betas(path, SHAPE, N_TRIALS)
        list(stream_trials(path, np.arange(3)))

    return check


def scaled(path) -> None:
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[112:116] = np.float32(1 / 300).tobytes()  # scl_slope
    path.write_bytes(gzip.compress(bytes(content)))


def spoilt(path) -> None:
    """Damage compressed content, whose beginning and end stay as they were."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    path.write_bytes(content)


REFUSED = {
    "axes as MATLAB's": (hdf5(betas=volume_betas().T), "the axes are in another order"),
    "two axes exchanged": (hdf5(betas=volume_betas().swapaxes(1, 2)), "another order"),
    "fewer trials": (hdf5(betas=volume_betas()[:5]), "the design has 6 trials in this session"),
    "another subject": (hdf5(betas=volume_betas()[..., :4]), "of another subject or space"),
    "floats": (hdf5(kind=np.float32), "expected betas of int16, 300 for one per cent"),
    "unsigned": (hdf5(kind=np.uint16), "found uint16"),
    "another name": (hdf5(data_set="beta"), "expected a data set betas, found beta"),
    "transposed": (nifti(volume_betas().T), "the axes are in another order"),
    "another volume": (nifti(volume_betas()[:, :2]), "of another subject, space or design"),
    "of a surface": (
        hdf5(betas=volume_betas()[:, 0, 0]),
        "expected betas of (trials, Z, Y, X), found (6, 5)",
    ),
    "float betas": (nifti(kind=np.float32), "found float32 of slope 1.0"),
    "scaled": (nifti(damage=scaled), "of slope 0.003"),
    "truncated": (nifti(damage=cut_content), "not as long as its header says"),
    "spoilt": (nifti(damage=spoilt), "its betas can't be read"),
    "text": (nifti(damage=lambda path: path.write_text("betas")), "expected betas as a NIfTI"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_malformed_betas_are_refused_in_a_line(case, tmp_path) -> None:
    check, text = REFUSED[case]
    with pytest.raises(InputError) as refused:
        check(tmp_path)
    (line,) = refused.value.lines
    assert text in line, line
    assert str(tmp_path) in line
    assert ";" in line


def test_a_file_that_is_cut_is_refused(tmp_path) -> None:
    path = write_hdf5(tmp_path / "b.hdf5", volume_betas())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="expected betas as an HDF5 file"):
        stored_shape(path, 4)


@pytest.mark.parametrize(
    "turn",
    [
        lambda b: b.swapaxes(2, 3),
        lambda b: b.swapaxes(1, 3),
        lambda b: b[..., ::-1],
        lambda b: b[:, ::-1],
    ],
)
def test_equal_axes_in_another_order_are_refused_by_the_brain_mask(tmp_path, turn) -> None:
    """A cube, whose shape says nothing: the brain is off the middle in every direction."""
    mask = np.zeros((6, 6, 6), np.uint8)
    mask[0:4, 2:6, 3:6] = 1
    betas = np.where(mask.T, 5, 0)[None].repeat(N_TRIALS, axis=0)
    write_nifti(tmp_path / "brainmask.nii.gz", mask, np.uint8)
    found = read_volume(tmp_path / "brainmask.nii.gz", "brain mask", (6, 6, 6))

    def check(values, name):
        path = write_hdf5(tmp_path / name, values)
        with open_betas(path, 4) as data:
            check_axes(path, data, tmp_path / "brainmask.nii.gz", found)

    check(betas, "right.hdf5")
    with pytest.raises(
        InputError, match=r"turned.hdf5: .* outside of the brain mask .*another order"
    ):
        check(turn(betas), "turned.hdf5")
    with pytest.raises(InputError, match="all betas are 0"):
        check(0 * betas, "empty.hdf5")
