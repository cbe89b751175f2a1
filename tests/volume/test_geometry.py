"""Geometry agrees with nibabel and with arithmetic done by hand."""

import itertools

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_medseg.errors import GeometryError
from napari_medseg.volume import Geometry

AXCODES = [
    "".join(codes) for order in itertools.permutations(["RL", "AP", "SI"]) for codes in itertools.product(*order)
]


def grid(axcodes: str, degrees: float = 0.0, shape: tuple[int, ...] = (4, 5, 6)) -> Geometry:
    """Return an anisotropic grid near `axcodes`, turned about an odd axis."""
    ornt = nib.orientations.axcodes2ornt(axcodes)
    affine = np.zeros((4, 4))
    for axis, ((patient, sign), step) in enumerate(zip(ornt, (0.7, 1.1, 3.0), strict=True)):
        affine[int(patient), axis] = sign * step
    affine[:3, :3] = (
        Rotation.from_rotvec(np.radians(degrees) * np.array([0.36, 0.48, 0.8])).as_matrix() @ affine[:3, :3]
    )
    affine[:, 3] = (-12.5, 30.25, 101.0, 1)
    return Geometry(shape, affine)


def test_index_to_millimetres_by_hand() -> None:
    # an axial CT as (z, y, x): z up in 5 mm, y to posterior and x to left in 0.5 mm, first voxel at (100, 120, -50)
    affine = np.array([[0, 0, -0.5, 100], [0, -0.5, 0, 120], [5, 0, 0, -50], [0, 0, 0, 1]])
    ct = Geometry((40, 512, 512), affine)
    assert ct.axcodes == "SPL"
    assert ct.spacing == (5.0, 0.5, 0.5)
    assert ct.voxel_volume_ml == pytest.approx(0.00125)
    np.testing.assert_allclose(ct @ (2, 10, 20), (90, 115, -40))
    np.testing.assert_allclose(ct.to_index((90, 115, -40)), (2, 10, 20))
    np.testing.assert_allclose(ct.origin, (100, 120, -50))
    assert ct.obliquity_degrees == pytest.approx(0)


@pytest.mark.parametrize("degrees", [0.0, 7.0, 20.0])
@pytest.mark.parametrize("axcodes", AXCODES)
def test_every_orientation_is_brought_near_zyx_without_moving_a_voxel(axcodes: str, degrees: float) -> None:
    source = grid(axcodes, degrees)
    axes = source.axes_nearest_zyx()
    turned = source.transposed(axes)
    assert [set("SI"), set("AP"), set("RL")] == [
        {c, *({"S": "I", "I": "S", "A": "P", "P": "A", "R": "L", "L": "R"}[c])} for c in turned.axcodes
    ]
    index = np.array([1, 2, 3])
    np.testing.assert_allclose(turned @ index[list(axes)], source @ index, atol=1e-12)


@pytest.mark.parametrize("axcodes", AXCODES)
def test_reorienting_agrees_with_nibabel(axcodes: str) -> None:
    source = grid(axcodes, 15.0)
    array = np.arange(120).reshape(4, 5, 6)
    geometry, transform = source.reoriented("SPL")
    expected = nib.Nifti1Image(array.astype(np.int16), source.affine).as_reoriented(transform)
    np.testing.assert_allclose(geometry.affine, expected.affine, atol=1e-12)
    assert geometry.shape == expected.shape
    assert geometry.axcodes == "SPL"


def test_flipping_and_cropping_keep_voxels_in_place() -> None:
    source = grid("LPS", 10.0)
    np.testing.assert_allclose(source.flipped(1) @ (0, 4, 0), source @ (0, 0, 0))
    cropped = source.cropped((1, 0, 2), (3, 5, 6))
    assert cropped.shape == (2, 5, 4)
    np.testing.assert_allclose(cropped @ (0, 1, 0), source @ (1, 1, 2))


def test_cropping_with_a_negative_start_pads() -> None:
    source = grid("RAS")
    padded = source.cropped((-1, 0, 0), (4, 5, 6))
    np.testing.assert_allclose(padded @ (1, 0, 0), source @ (0, 0, 0))


def test_corners_are_voxel_centres() -> None:
    corners = Geometry((2, 3, 4), np.diag([1.0, 10.0, 100.0, 1.0])).corners()
    assert corners.min(axis=0).tolist() == [0, 0, 0]
    assert corners.max(axis=0).tolist() == [1, 20, 300]
    assert len({tuple(corner) for corner in corners.tolist()}) == 8


def test_a_plane_gets_its_normal() -> None:
    plane = Geometry((3, 4), np.array([[0, 0.5, 0, 0], [0.5, 0, 0, 0], [0, 0, 0, 7], [0, 0, 0, 1.0]]))
    assert plane.spacing == (0.5, 0.5)
    np.testing.assert_allclose(plane.affine[:3, 2], (0, 0, -1))
    np.testing.assert_allclose(plane @ (2, 1), (0.5, 1.0, 7))
    assert plane.axes_nearest_zyx() == (0, 1)
    assert plane.transposed((1, 0)).axes_nearest_zyx() == (1, 0)


def test_equality_is_exact_and_matching_is_tolerant() -> None:
    source = grid("RAS")
    moved = Geometry(source.shape, source.affine + 1e-5 * np.eye(4)[:, [0, 1, 3, 2]])
    assert source == grid("RAS")
    assert hash(source) == hash(grid("RAS"))
    assert source != moved
    assert source.matches(moved)
    assert not source.matches(moved, tolerance_mm=1e-7)
    assert not source.matches(grid("RAS", shape=(4, 5, 7)))
    assert source != "RAS"


def test_json_round_trip_is_bit_exact() -> None:
    source = grid("PIR", 33.3)
    assert Geometry.from_dict(source.to_dict()) == source


@pytest.mark.parametrize(
    "affine",
    [
        np.zeros((4, 4)),
        np.diag([1.0, 1.0, np.nan, 1.0]),
        np.diag([1.0, 1.0, np.inf, 1.0]),
        np.array([[1.0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
    ],
)
def test_a_singular_or_infinite_affine_is_refused(affine: np.ndarray) -> None:
    with pytest.raises(GeometryError, match="singular or not finite"):
        Geometry((2, 2, 2), affine)


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(GeometryError, match="2 or 3 axes"):
        Geometry((2, 2, 2, 2), np.eye(4))
    with pytest.raises(GeometryError, match="without voxels"):
        Geometry((2, 0, 2), np.eye(4))


def test_the_affine_cannot_be_changed_in_place() -> None:
    source = grid("RAS")
    with pytest.raises(ValueError, match="read-only"):
        source.affine[0, 0] = 9


def test_a_grid_remembers_the_axis_order_of_its_file() -> None:
    # a file that holds (x, z, y), seen as (z, y, x)
    grid = Geometry((4, 5, 6), np.eye(4), file_axes=(0, 1, 2)).transposed((1, 2, 0))
    assert grid.file_axes == (1, 2, 0)
    assert grid.file_order == (2, 0, 1)
    assert grid.transposed(grid.file_order).shape == (4, 5, 6)
    assert Geometry.from_dict(grid.flipped(0).to_dict()).file_axes == grid.file_axes


def test_without_a_file_the_last_axis_varies_fastest() -> None:
    assert Geometry((4, 5, 6), np.eye(4)).file_order == (2, 1, 0)
    assert Geometry((4, 5), np.eye(4)).file_order == (1, 0)


def test_the_axis_order_of_a_file_is_no_part_of_where_the_grid_lies() -> None:
    assert Geometry((4, 5, 6), np.eye(4), file_axes=(0, 1, 2)) == Geometry((4, 5, 6), np.eye(4))
