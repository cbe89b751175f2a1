"""Only tiles of the region are computed; inside nothing changes, and outside is background."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_medseg.errors import ConfigError, DataError
from napari_medseg.inference import PredictOptions
from napari_medseg.inference.engine import predict_grid
from napari_medseg.inference.preprocess import to_model_grid
from napari_medseg.io import write
from napari_medseg.models import Intensity, ModelSpec
from napari_medseg.progress import Control
from napari_medseg.volume import Geometry, LabelClass, Volume

SHAPE = (20, 30, 26)
CLASSES = tuple(LabelClass(value=value, name=f"c{value}") for value in (0, 3, 8))


class Surroundings(nn.Module):
    """Decides by what is around a voxel and by its place in the tile, and counts the tiles."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.seen = nn.Conv3d(1, 3, 5, padding=2), 0

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        self.seen += len(tiles)
        return self.layer(tiles)


def scan(axcodes_affine) -> Volume:
    data = np.random.default_rng(0).normal(0, 1, SHAPE).astype(np.float32)
    return Volume(data, Geometry(SHAPE, axcodes_affine), name="MR")


AFFINES = {
    "straight": np.diag([1.0, 1.2, 0.9, 1.0]),
    "turned": np.array([[0, -1.2, 0, 5], [0, 0, 0.9, 1], [-1.0, 0, 0, 2], [0, 0, 0, 1]]),
}


def run(volume: Volume, spacing, **options):
    spec = ModelSpec(
        name="m",
        architecture="unet",
        classes=CLASSES,
        patch_size=(8, 8, 8),
        spacing=spacing,
        intensity=Intensity(kind="window", low=-3, high=3),
    )
    network = Surroundings()
    work = predict_grid(to_model_grid(volume, spec), spec, network, PredictOptions(device="cpu", **options), Control())
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value, network.seen


@pytest.mark.parametrize("spacing", [None, (1.5, 0.8, 1.1)])
@pytest.mark.parametrize("name", AFFINES)
def test_inside_labels_are_as_without_a_region(name, spacing, tmp_path):
    volume = scan(AFFINES[name])
    (full,), all_tiles = run(volume, spacing)
    inside = np.zeros(SHAPE, bool)
    inside[2:7, 11:15, 20:26] = True
    expected = np.where(inside, full.labels, 0)
    assert len(np.unique(expected)) >= 2
    (boxed,), few = run(volume, spacing, region=((2, 7), (11, 15), (20, 99)))
    np.testing.assert_array_equal(boxed.labels, expected)
    assert few < all_tiles / 3
    path = write(Volume(inside.astype(np.uint8), volume.geometry, kind="labels"), tmp_path / "region.medvol")
    (masked,), same = run(volume, spacing, region=path)
    np.testing.assert_array_equal(masked.labels, expected)
    assert same == few
    turned = Volume(np.flip(inside, (0, 2)).astype(np.uint8), volume.geometry.flipped(0).flipped(2), kind="labels")
    (masked,), _ = run(volume, spacing, region=write(turned, tmp_path / "turned.medvol"))
    np.testing.assert_array_equal(masked.labels, expected)


def test_outside_is_certain_background():
    volume = scan(AFFINES["straight"])
    (_, probabilities, uncertainty), _ = run(
        volume, None, region=((0, 3), (0, 30), (0, 26)), probabilities=True, uncertainty=True
    )
    assert (probabilities.probabilities[0, 3:] == 1).all()
    assert (probabilities.probabilities[1:, 3:] == 0).all()
    assert (uncertainty.uncertainty[3:] == 0).all()
    assert uncertainty.uncertainty[:3].min() > 0
    np.testing.assert_allclose(probabilities.probabilities.sum(axis=0), 1, atol=1e-5)


def test_regions_that_hold_nothing_are_refused(tmp_path):
    volume = scan(AFFINES["straight"])
    for region in (((0, 5), (0, 5)), ((4, 4), (0, 30), (0, 26)), ((20, 25), (0, 30), (0, 26))):
        with pytest.raises(ConfigError, match="holds no voxel"):
            run(volume, None, region=region)
    empty = write(Volume(np.zeros(SHAPE, np.uint8), volume.geometry, kind="labels"), tmp_path / "empty.medvol")
    with pytest.raises(DataError, match="is empty"):
        run(volume, None, region=empty)
    other = write(Volume(np.ones((4, 4, 4), np.uint8), None, kind="labels"), tmp_path / "other.medvol")
    with pytest.raises(DataError, match=r"have \(4, 4, 4\) voxels"):
        run(volume, None, region=other)
