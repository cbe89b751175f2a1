"""A previewed slice shows what the whole prediction would show there."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_medseg.inference.preprocess import to_model_grid
from napari_medseg.inference.preview import answer_slice
from napari_medseg.models import Intensity, ModelSpec
from napari_medseg.volume import Geometry, LabelClass, Volume

UNIT = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}


class Signs(nn.Module):
    """One class for values above 0.5; counts the tiles it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.tiles = nn.Parameter(torch.tensor(1.0)), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.tiles += len(x)
        return self.scale * torch.cat([0.5 - x, x - 0.5], dim=1)


def model(**fields) -> ModelSpec:
    values = {
        "name": "ct",
        "architecture": "unet",
        "classes": (LabelClass(value=0, name="background"), LabelClass(value=6, name="bone")),
        "intensity": Intensity(kind="window", low=0, high=1),
        "patch_size": (8, 8, 8),
    }
    return ModelSpec(**values | fields)


def scan(axcodes: str, shape=(11, 20, 13)) -> Volume:
    affine = np.eye(4)
    for axis, code in enumerate(axcodes):
        affine[:3, axis] = np.multiply(UNIT[code], (2.0, 1.0, 1.0)[axis])
    return Volume((np.random.default_rng(0).random(shape) > 0.5).astype(np.uint8), Geometry(shape, affine))


@pytest.mark.parametrize("axcodes", ["SPL", "RIA", "ASL"])
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_of_every_axis_and_edge(axcodes, dims, axis):
    volume, spec = scan(axcodes), model(dims=dims, patch_size=(8, 8, 8)[:dims])
    grid = to_model_grid(volume, spec)
    for index in (0, 5, volume.data.shape[axis] - 1):
        found = answer_slice(Signs(), grid, spec, (axis, index)).labels
        np.testing.assert_array_equal(found, volume.data.take(index, axis=axis) * 6)


def test_only_the_tiles_of_the_slice_are_computed():
    volume, spec, network = scan("SPL", (200, 8, 8)), model(), Signs()
    answer_slice(network, to_model_grid(volume, spec), spec, (0, 100))
    assert network.tiles == 1


def test_a_resampled_image_is_shown_on_its_own_pixels():
    blocks = np.zeros((10, 16, 18), np.uint8)
    blocks[3:7, 4:12, 6:18] = 1
    volume, spec = Volume(blocks, scan("SPL", blocks.shape).geometry), model(spacing=(1.0, 0.5, 0.5))
    grid = to_model_grid(volume, spec)
    assert grid.shape != blocks.shape
    for axis, index in ((0, 5), (1, 8), (2, 17)):
        found = answer_slice(Signs(), grid, spec, (axis, index)).labels
        np.testing.assert_array_equal(found, blocks.take(index, axis=axis) * 6)


def test_a_picture_is_its_only_slice():
    spec = model(dims=2, axcodes=None, patch_size=(8, 8))
    picture = Volume((np.random.default_rng(0).random((13, 9)) > 0.5).astype(np.uint8), None)
    found = answer_slice(Signs(), to_model_grid(picture, spec), spec, (0, 0)).labels
    np.testing.assert_array_equal(found, picture.data * 6)
