"""Tiles of air are background and are not computed; every other voxel is as if they did not exist."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_medseg.inference import PredictOptions
from napari_medseg.inference.engine import predict_grid
from napari_medseg.inference.preprocess import to_model_grid
from napari_medseg.inference.tiling import only_tiles, plan_tiles
from napari_medseg.models import Intensity, ModelSpec
from napari_medseg.progress import Control, Progress
from napari_medseg.volume import Geometry, LabelClass, Volume

CLASSES = tuple(LabelClass(value=value, name=f"c{value}") for value in (0, 4))
HU = Intensity(kind="window", low=-1000.0, high=1000.0)
AIR, TISSUE = -1000, 40


class Everything(nn.Module):
    """Says class 4 everywhere, and counts the tiles that it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(2.0))
        self.seen = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += len(x)
        image = x[:, :1]
        return torch.cat([0 * image, 0 * image + self.logit], dim=1)


class Bright(Everything):
    """Says class 4 where there is more than -500 HU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += len(x)
        return torch.cat([0 * x, self.logit * (x - 0.25)], dim=1)


def scan(shape, *voxels, channels: int = 1) -> Volume:
    data = np.full((channels, *shape), AIR, np.int16)
    for voxel in voxels:
        data[(channels - 1, *voxel)] = TISSUE
    geometry = Geometry(shape, np.diag([2.0, 1.0, 1.0, 1.0]))
    return Volume(data, geometry, axes=("channel",)) if channels > 1 else Volume(data[0], geometry)


def run(volume: Volume, network: nn.Module, options=None, **fields):
    values = {"name": "ct", "architecture": "unet", "classes": CLASSES, "intensity": HU, "patch_size": (8, 8, 8)}
    model = ModelSpec(**values | {"axcodes": "RAS", "air_below": -500.0} | fields)
    work = predict_grid(
        to_model_grid(volume, model), model, network, PredictOptions(device="cpu", **options or {}), Control()
    )
    events = []
    while True:
        try:
            events.append(next(work))
        except StopIteration as stop:
            return stop.value[0].labels, events


@pytest.mark.parametrize(
    ("overlap", "x", "tiles", "first", "last"), [(0.0, 20, 1, 16, 23), (0.5, 20, 1, 16, 23), (0.5, 18, 2, 12, 23)]
)
def test_background_is_where_no_computed_tile_reaches(overlap, x, tiles, first, last):
    network = Everything()
    labels, _ = run(scan((8, 8, 24), (3, 4, x)), network, {"overlap": overlap})
    assert network.seen == tiles
    expected = np.zeros((8, 8, 24), np.uint8)
    expected[..., first : last + 1] = 4
    np.testing.assert_array_equal(labels, expected)


def test_layers_of_air_between_and_at_the_ends():
    network = Everything()
    labels, events = run(scan((56, 8, 8), (10, 0, 0), (45, 7, 7)), network, {"overlap": 0.0})
    assert network.seen == 2
    assert np.unique(np.nonzero(labels)[0]).tolist() == [*range(8, 16), *range(40, 48)]
    assert [event for event in events if isinstance(event, Progress)][-1] == Progress("Predicting", 2, 2, 0.0)


def test_nothing_but_air_takes_no_tile():
    network = Everything()
    for fields in ({}, {"spacing": (1.5, 1.5, 1.5)}, {"dims": 2, "patch_size": (8, 8)}, {"patch_size": (32, 32, 32)}):
        labels, events = run(scan((20, 9, 11)), network, **fields)
        assert network.seen == 0
        assert labels.shape == (20, 9, 11)
        assert not labels.any()
        assert events[-1].done == events[-1].total > 0


@pytest.mark.parametrize("fields", [{}, {"spacing": (1.5, 1.5, 0.7)}, {"dims": 2, "patch_size": (8, 8)}])
@pytest.mark.parametrize("axcodes", ["RAS", "SPL"])
def test_labels_are_those_of_all_tiles_where_the_network_knows_air(fields, axcodes):
    rng = np.random.default_rng(0)
    volume = scan((30, 21, 26))
    volume.data[18:27, 3:9, 12:20] = rng.integers(-400, 300, (9, 6, 8))
    few, many = Bright(), Bright()
    skipped, _ = run(volume, few, axcodes=axcodes, **fields)
    full, _ = run(volume, many, {"skip_air": False}, axcodes=axcodes, **fields)
    np.testing.assert_array_equal(skipped, full)
    assert skipped.any()
    assert few.seen < many.seen


def test_models_without_a_rule_compute_every_tile():
    network = Everything()
    labels, _ = run(scan((8, 8, 24)), network, {"overlap": 0.0}, air_below=None)
    assert network.seen == 3
    assert (labels == 4).all()


def test_one_channel_with_matter_is_enough():
    network = Everything()

    class First(Everything):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return network(x[:, :1])

    labels, _ = run(scan((8, 8, 16), (1, 1, 1), channels=2), First(), {"overlap": 0.0}, channels=2)
    assert network.seen == 1
    assert (labels[..., :8] == 4).all()
    assert not labels[..., 8:].any()


def test_the_value_itself_is_matter():
    volume = scan((8, 8, 16))
    volume.data[0, 0, 0] = -500
    network = Everything()
    run(volume, network, {"overlap": 0.0})
    assert network.seen == 1


def test_padding_is_not_matter():
    plan = plan_tiles((4, 20, 3), (8, 8, 8), 0.0)
    matter = np.zeros((4, 20, 3), bool)
    matter[3, 19, 2] = True
    assert only_tiles(plan, lambda box: matter[box].any()).starts == (plan.starts[-1],)
    matter[:] = True
    assert only_tiles(plan, lambda box: matter[box].any()) == plan
