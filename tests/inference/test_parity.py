"""The whole way of an image, against MONAI on the whole volume at once: all kinds of images, all ways that we take."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers import SliceInferer, SlidingWindowInferer
from monai.transforms import SpatialResample
from scipy.spatial.transform import Rotation
from torch import nn

from napari_medseg.inference import PredictOptions, blend, unblock
from napari_medseg.inference.engine import predict_grid
from napari_medseg.inference.preprocess import to_model_grid
from napari_medseg.models import Intensity, ModelSpec
from napari_medseg.progress import Control
from napari_medseg.volume import Geometry, LabelClass, Volume

CLASSES = tuple(LabelClass(value=k, name=f"c{k}") for k in range(12))
TIE = 1e-4
"""Logits that differ by less are as good as equal."""


@dataclass
class Case:
    """An image and the model for it."""

    shape: tuple[int, int, int]
    patch: tuple[int, ...]
    spacing: tuple[float, float, float] = (1, 1, 1)
    degrees: tuple[float, float, float] = (0, 0, 0)
    spec: dict[str, Any] = field(default_factory=dict)

    def volume(self) -> Volume:
        affine = np.eye(4)
        rotation = Rotation.from_euler("xyz", self.degrees, degrees=True).as_matrix()
        affine[:3, :3] = (rotation @ np.diag(self.spacing[::-1]))[:, ::-1]
        affine[:3, 3] = (-71.3, 40.25, 12.5)
        rng = np.random.default_rng(0)
        coarse = rng.normal(0, 300, [n // 4 + 2 for n in self.shape]).repeat(4, 0).repeat(4, 1).repeat(4, 2)
        data = coarse[tuple(slice(n) for n in self.shape)] + rng.normal(0, 40, self.shape)
        data[:, : self.shape[1] // 3] = -1000
        return Volume(data.astype(np.int16), Geometry(self.shape, affine), name="CT")

    def model(self) -> ModelSpec:
        window = Intensity(kind="window", low=-1000, high=1000)
        values = {"name": "m", "architecture": "unet", "classes": CLASSES, "intensity": window}
        return ModelSpec(**values | {"patch_size": self.patch, "dims": len(self.patch)} | self.spec)


CASES = {
    "volume": Case((24, 30, 26), (16, 16, 16)),
    "planes": Case((7, 41, 38), (16, 24), (4, 1, 1)),
    "anisotropic": Case((13, 50, 46), (8, 24, 24), (4.5, 0.7, 0.7)),
    "one tile": Case((11, 14, 9), (16, 16, 16)),
    "prime sizes": Case((29, 31, 23), (12, 16, 8)),
    "oblique": Case((22, 25, 27), (16, 16, 16), (1.3, 0.9, 1.1), (20, -15, 40)),
    "finer grid": Case((14, 21, 19), (16, 16, 16), (2, 1.5, 1.5), spec={"spacing": (1.1, 1.2, 0.9)}),
    "coarser grid": Case((41, 37, 43), (16, 8, 16), spec={"spacing": (1.7, 1.5, 1.4)}),
    "oblique, other grid": Case((25, 33, 28), (16, 16, 16), (1.4, 0.8, 1), (25, 10, -35), {"spacing": (1.2, 1.2, 1.2)}),
    "planes, other grid": Case((7, 41, 38), (16, 24), (4, 1, 1), spec={"spacing": (3.1, 1.2, 1.3)}),
}
WAYS: dict[str, dict[str, Any]] = {
    "plainly": {},
    "in batches": {"batch_size": 3},
    "without air": {"skip_air": True},
    "in a region": {"region": "part"},
}


class Surroundings(nn.Module):
    """Logits from what is around a voxel and from where it is in the tile; of air alone, certainly background."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        convolution = nn.Conv2d if dims == 2 else nn.Conv3d
        self.layers = nn.Sequential(convolution(1, 6, 3, padding=1), nn.ReLU(), convolution(6, 12, 3, padding=1))
        with torch.no_grad():
            self.layers[0].bias.zero_()
            self.layers[2].bias.copy_(torch.tensor([0.0, *[-0.05] * 11]))

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return 10 * self.layers(tiles)


def by_monai(case: Case, network: nn.Module) -> torch.Tensor:
    """Return (class, z, y, x) logits on the image's grid, turned as the network sees it, all of it in memory."""
    spec = case.model()
    grid = to_model_grid(case.volume(), spec)
    inferer = SliceInferer if spec.dims == 2 else SlidingWindowInferer
    with torch.inference_mode():
        logits = inferer(roi_size=spec.patch_size, sw_batch_size=1, overlap=0.25, mode="gaussian")(
            grid.image[None], network
        )[0]
        if grid.resampled:
            native = grid.placement.native
            placed = MetaTensor(logits, affine=torch.tensor(grid.geometry.affine))
            back = SpatialResample(mode="bilinear", padding_mode="border")
            logits = back(placed, dst_affine=torch.tensor(native.affine), spatial_size=native.shape).as_tensor()
    return logits


def part_of(shape) -> tuple[tuple[int, int], ...]:
    """Return a region with air and matter in it."""
    return tuple((n // 5, 4 * n // 5) for n in shape)


def by_us(case: Case, network: nn.Module, whole_voxels: int, **options):
    if "region" in options:
        options["region"] = part_of(case.shape)
    spec = case.model().model_copy(update={"air_below": -999.0 if options.get("skip_air") else None})
    grid = to_model_grid(case.volume(), spec, whole_voxels)
    work = predict_grid(grid, spec, network, PredictOptions(device="cpu", **options), Control())
    while True:
        try:
            next(work)
        except StopIteration as end:
            return [
                grid.placement.to_grid(getattr(output, kind)) for output, kind in zip(end.value, KINDS, strict=False)
            ]


KINDS = ("labels", "probabilities")


@pytest.mark.parametrize("large", [False, True], ids=["small", "as if large"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_labels_agree_but_for_ties_and_probabilities_to_rounding(name, way, large, monkeypatch):
    if large:
        monkeypatch.setattr(blend, "MARGIN_BYTES", 0)
        monkeypatch.setattr(blend, "WORTH_COMPILING", 0)
        monkeypatch.setattr(unblock, "WORTH_COMPILING", 0)
    case = CASES[name]
    network = Surroundings(len(case.patch)).eval()
    expected = by_monai(case, network)
    voxels = 0 if large else 1 << 26
    (labels,) = by_us(case, network, voxels, **WAYS[way])
    again, probabilities = by_us(case, network, voxels, probabilities=True, **WAYS[way])
    inside = np.ones(labels.shape, bool)
    if way == "in a region":
        own = np.zeros(case.shape, bool)
        own[tuple(slice(a, b) for a, b in part_of(case.shape))] = True
        inside = to_model_grid(case.volume(), case.model()).placement.to_grid(own)
        assert not labels[~inside].any()
    two = expected.topk(2, dim=0).values
    clear = (two[0] - two[1] > TIE).numpy() & inside
    assert clear.sum() > 0.99 * inside.sum()
    for found in (labels, again):
        wrong = found[clear] != expected.argmax(dim=0).numpy()[clear]
        if way == "without air" and "spacing" in case.spec:
            # Where air that was not computed is mixed with its neighbours, it is more certain than the network is.
            assert wrong.mean() < 0.05
        else:
            assert not wrong.any()
    assert len(np.unique(labels)) > 3
    if way != "without air":
        difference = np.abs(probabilities - expected.softmax(dim=0).numpy())[:, inside]
        assert difference.max() < 1e-4
