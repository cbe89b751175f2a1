"""Volumes on every kind of grid."""

import itertools
from collections.abc import Callable

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_medseg.volume import Geometry, Volume

TILTS = {
    "straight": (0, 0, 0),
    "one axis": (0, 20, 0),
    "two axes": (12, -9, 0),
    "three axes": (25, 14, -19),
}
AXCODES = [
    "".join(codes) for order in itertools.permutations(["RL", "AP", "SI"]) for codes in itertools.product(*order)
]


def file_affine(axcodes: str, degrees: tuple[float, float, float], shape: tuple[int, ...]) -> np.ndarray:
    """Return the affine of an anisotropic file whose axes grow near `axcodes`, turned about all patient axes."""
    ornt = nib.orientations.axcodes2ornt(axcodes)
    affine = nib.orientations.inv_ornt_aff(ornt, shape) @ np.diag([0.8, 1.1, 2.5, 1.0])
    affine[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() @ affine[:3, :3]
    affine[:3, 3] = (-31.5, 12.25, 71.0)
    # what a NIfTI header can hold
    return affine.astype(np.float32).astype(np.float64)


@pytest.fixture(params=TILTS.values(), ids=TILTS)
def tilt(request: pytest.FixtureRequest) -> tuple[float, float, float]:
    return request.param


@pytest.fixture(params=AXCODES)
def axcodes(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["LPS", "RAS", "PIR", "ASL", "SPL", "IAR", "LIP", "RSP"])
def some_axcodes(request: pytest.FixtureRequest) -> str:
    """Return one of eight orientations with every axis order and sign among them, where a viewer makes tests slow."""
    return request.param


@pytest.fixture(params=[(0, 0, 0), (25, 14, -19)], ids=["straight", "oblique"])
def some_tilt(request: pytest.FixtureRequest) -> tuple[float, float, float]:
    return request.param


@pytest.fixture
def make_volume() -> Callable[..., Volume]:
    """Return a function that makes a volume as the readers do: the view of a file's array nearest to (z, y, x)."""

    def make(
        axcodes: str = "LPS", tilt: tuple[float, float, float] = (0, 0, 0), shape: tuple[int, ...] = (6, 7, 8), **more
    ) -> Volume:
        stored = np.random.default_rng(3).normal(size=shape).astype(np.float32)
        if more.get("kind") == "labels":
            stored = (stored > 0.5).astype(np.uint8) + 2 * (stored < -1).astype(np.uint8)
        grid = Geometry(shape, file_affine(axcodes, tilt, shape), file_axes=(0, 1, 2))
        order = grid.axes_nearest_zyx()
        return Volume(stored.transpose(order), grid.transposed(order), **{"name": axcodes} | more)

    return make
