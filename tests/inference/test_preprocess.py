"""Large images, in chunks, give the network what small ones give as a whole."""

import dask.array
import numpy as np
import pytest
import torch

from napari_medseg.inference import scratch
from napari_medseg.inference.preprocess import to_model_grid
from napari_medseg.models import Intensity, ModelSpec
from napari_medseg.volume import Geometry, Volume

AFFINE = np.array([[0, 0, -0.9, 4], [0, 1.1, 0, -3], [2.2, 0, 0, 9], [0, 0, 0, 1]])
OBLIQUE = AFFINE @ np.array([[1, 0.02, 0, 0], [-0.02, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def image(kind: str = "int16", affine=AFFINE) -> Volume:
    data = np.random.default_rng(0).integers(-900, 900, (13, 22, 19)).astype(kind)
    data[data % 7 == 0] = 0
    if kind == "float32":
        data[3, 4, 5:9], data[0, 0, 0] = np.nan, np.inf
    return Volume(data, Geometry(data.shape, affine), name="CT")


@pytest.mark.parametrize("spacing", [None, (1.4, 1.4, 1.4)])
@pytest.mark.parametrize(
    "intensity",
    [
        Intensity(kind="zscore"),
        Intensity(kind="zscore", nonzero=True),
        Intensity(kind="minmax"),
        Intensity(kind="percentile", low=2, high=98),
        Intensity(kind="window", low=-500, high=500),
    ],
    ids=lambda intensity: f"{intensity.kind}-{intensity.nonzero}",
)
@pytest.mark.parametrize(("kind", "affine"), [("int16", AFFINE), ("float32", OBLIQUE)])
def test_chunks_give_the_numbers_of_the_whole(intensity, spacing, kind, affine):
    spec = ModelSpec(name="m", architecture="unet", intensity=intensity, spacing=spacing, air_below=0.0)
    volume = image(kind, affine)
    whole, parts = to_model_grid(volume, spec), to_model_grid(volume, spec, whole_voxels=0)
    assert parts.notes == whole.notes
    assert parts.shape == whole.shape
    assert parts.geometry == whole.geometry
    assert parts.resampled == whole.resampled == (spacing is not None)
    # A mixture of neighbours may be zero in one rounding and not in another, and then counts or not.
    by_chance = intensity.nonzero and spacing is not None
    close = torch.isclose(parts.image, whole.image, rtol=1e-5, atol=2e-2 if by_chance else 2e-5)
    assert close.float().mean() > 0.999 if by_chance else close.all()
    box = (slice(2, 7), slice(3, 9), slice(1, 12))
    assert torch.equal(parts.read(box), parts.image[(slice(None), *box)])
    single = [(slice(z, z + 1), slice(y, y + 1), slice(0, 1)) for z in range(4) for y in range(4)]
    for some in (box, *single):
        assert parts.has_matter(some) == whole.has_matter(some)


def test_a_large_image_is_not_copied_and_a_lazy_one_becomes_a_file(monkeypatch):
    spec = ModelSpec(name="m", architecture="unet", intensity=Intensity(kind="zscore"))
    volume = image()
    grid = to_model_grid(volume, spec, whole_voxels=0)
    assert np.shares_memory(grid.values, volume.data)
    monkeypatch.setattr(scratch, "LARGE_BYTES", 100)
    lazy = Volume(dask.array.from_array(volume.data, chunks=(2, 22, 5)), volume.geometry, name="CT")
    grid_of_lazy = to_model_grid(lazy, spec, whole_voxels=0)
    assert torch.equal(grid_of_lazy.image, grid.image)
    base = grid_of_lazy.values
    while base.base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


def test_a_rounded_voxel_size_is_not_interpolated():
    grid = Geometry((6, 8, 10), np.diag([0.48828, 0.48828, 3.0, 1.0])[:, [2, 1, 0, 3]] * [-1, -1, 1, 1])
    image = Volume(np.random.default_rng(0).random((6, 8, 10)).astype(np.float32), grid)
    own, near, far = (
        to_model_grid(image, ModelSpec(name="m", architecture="unet", axcodes=grid.axcodes, spacing=spacing))
        for spacing in (grid.spacing, (3.0, 0.488, 0.4883), (3.0, 0.5, 0.5))
    )
    assert not own.resampled
    assert not near.resampled
    assert far.resampled
    np.testing.assert_array_equal(own.values, near.values)
