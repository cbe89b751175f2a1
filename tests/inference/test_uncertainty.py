"""Mirrored views and entropy give what can be worked out by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from napari_medseg.inference import PredictOptions
from napari_medseg.inference.decode import entropy as entropy_of
from napari_medseg.inference.engine import predict_grid
from napari_medseg.inference.network import Runner, mirrorings
from napari_medseg.inference.preprocess import to_model_grid
from napari_medseg.models import Intensity, ModelSpec
from napari_medseg.prediction import ProbabilityMap, UncertaintyMap
from napari_medseg.progress import Control
from napari_medseg.volume import Geometry, LabelClass, Volume

CLASSES = tuple(LabelClass(value=value, name=f"c{value}") for value in (0, 2, 5))


class Ramp(nn.Module):
    """Logit of class k is k times the position along the last axis of the tile: not at all the same when mirrored."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.arange(float(classes)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        position = torch.linspace(-1, 1, x.shape[-1], device=x.device).expand(x.shape[0], 1, *x.shape[2:])
        return self.slope.view(1, -1, *[1] * (x.ndim - 2)) * position


class Values(nn.Module):
    """Logit of class k is k times the input, wherever the voxel is."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.arange(3.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.slope.view(1, 3, *[1] * (x.ndim - 2)) * x


def run(network: nn.Module, data: np.ndarray, geometry: Geometry | None = None, spec=None, **options):
    model = ModelSpec(**{"name": "m", "architecture": "unet", "classes": CLASSES} | (spec or {}))
    volume = Volume(data, geometry or Geometry(data.shape, np.diag([1.0, 2.0, 3.0, 1.0])))
    work = predict_grid(
        to_model_grid(volume, model), model, network, PredictOptions(device="cpu", **options), Control()
    )
    while True:
        try:
            next(work)
        except StopIteration as stop:
            return stop.value


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=0))
    return raised / raised.sum(axis=0)


def entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(p)).sum(axis=0) / math.log(len(p))


def test_mirrored_views_average_probabilities():
    tile = torch.zeros((1, 1, 2, 3, 5))
    position = np.linspace(-1, 1, 5)
    there = softmax(np.arange(3.0)[:, None] * position)
    mean = (there + there[:, ::-1]) / 2
    for axes in ((2,), (0, 2), (0, 1, 2)):
        logits = Runner(Ramp(), torch.device("cpu"), flip_axes=axes)(tile)
        np.testing.assert_allclose(logits.softmax(dim=1)[0, :, 1, 1], mean, atol=1e-6)
    untouched = Runner(Ramp(), torch.device("cpu"), flip_axes=(0, 1))(tile)
    np.testing.assert_allclose(untouched.softmax(dim=1)[0, :, 1, 1], there, atol=1e-6)
    assert len(mirrorings((0, 1, 2), planar=False)) == 8


def test_without_mirroring_logits_are_the_network_s_own():
    tile = torch.randn((2, 1, 3, 4, 5), generator=torch.Generator().manual_seed(0))
    assert torch.equal(Runner(Values(), torch.device("cpu"))(tile), Values()(tile))


def test_views_that_disagree_are_uncertain():
    class Side(nn.Module):
        """Certain of class 1 in the left half of the tile, and of class 0 in the right."""

        def __init__(self) -> None:
            super().__init__()
            self.height = nn.Parameter(torch.tensor(50.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            left = torch.arange(x.shape[-1]) < x.shape[-1] // 2
            sign = torch.where(left, 1.0, -1.0).expand(x.shape[0], 1, *x.shape[2:])
            return torch.cat([-self.height * sign, self.height * sign], dim=1)

    spec = {"axcodes": "RAS", "patch_size": (4, 4, 6), "classes": CLASSES[:2]}
    grid = Geometry((4, 4, 6), np.eye(4))
    for axes, expected in (((), 0.0), ((1,), 0.0), ((2,), 1.0)):
        _, found = run(Side(), np.zeros((4, 4, 6), np.float32), grid, spec, uncertainty=True, flip_axes=axes)
        np.testing.assert_allclose(found.uncertainty, expected, atol=1e-6)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_network_that_knows_no_place_does_not_mind_mirrors(dims):
    data = np.random.default_rng(0).normal(0, 3, (9, 10, 11)).astype(np.float32)
    spec = {"dims": dims, "patch_size": (8, 8, 8)[:dims]}
    plain = run(Values(), data, spec=spec, probabilities=True, uncertainty=True)
    flipped = run(Values(), data, spec=spec, probabilities=True, uncertainty=True, flip_axes=(0, 1, 2))
    np.testing.assert_array_equal(flipped[0].labels, plain[0].labels)
    np.testing.assert_allclose(flipped[1].probabilities, plain[1].probabilities, atol=1e-5)
    np.testing.assert_allclose(flipped[2].uncertainty, plain[2].uncertainty, atol=1e-5)


@pytest.mark.parametrize("spacing", [None, (1.5, 1.0, 2.0)])
def test_uncertainty_is_the_entropy_of_the_probabilities(spacing):
    data = np.random.default_rng(1).normal(0, 4, (13, 12, 11)).astype(np.float32)
    affine = np.array([[0, 0, -3.0, 4], [0, 2.0, 0, 1], [-1.0, 0, 0, 2], [0, 0, 0, 1]])
    spec = {"patch_size": (8, 8, 8), "spacing": spacing}
    _, probabilities, uncertainty = run(
        Values(), data, Geometry(data.shape, affine), spec, probabilities=True, uncertainty=True
    )
    assert isinstance(probabilities, ProbabilityMap)
    assert isinstance(uncertainty, UncertaintyMap)
    assert uncertainty.uncertainty.dtype == np.float32
    assert uncertainty.uncertainty.shape == data.shape
    np.testing.assert_allclose(uncertainty.uncertainty, entropy(probabilities.probabilities), atol=1e-5)


def test_uncertainty_needs_no_probabilities():
    _, uncertainty = run(Values(), np.zeros((8, 8, 8), np.float32), spec={"intensity": HU}, uncertainty=True)
    np.testing.assert_allclose(uncertainty.uncertainty, 1, atol=1e-6)


HU = Intensity(kind="window", low=0.0, high=1.0)


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([0.0, 0.0], 1.0),
        ([0.0, math.log(3)], -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / math.log(2)),
        ([1000.0, 0.0, -1000.0], 0.0),
        ([-1000.0, 0.0, 1000.0], 0.0),
        ([5.0, 5.0, -1e30], math.log(2) / math.log(3)),
        ([700.0] * 105, 1.0),
    ],
)
def test_entropy_by_hand(logits, expected):
    assert entropy_of(torch.tensor(logits)[:, None]).item() == pytest.approx(expected, abs=1e-5)
