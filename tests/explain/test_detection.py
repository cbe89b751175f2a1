"""The score of one box is explained by what is in it."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from napari_medseg.errors import DataError
from napari_medseg.explain import ExplainOptions, explain
from napari_medseg.explain.kinds import cam
from napari_medseg.models import Bundle, ModelSpec
from napari_medseg.models.nets.detectors.anchored import AnchoredDetector
from napari_medseg.models.nets.detectors.regions import RegionDetector
from napari_medseg.volume import LabelClass, Volume

sys.path.append(str(Path(__file__).parent))
from cue_models import AS_IT_IS, oblique, share_inside

BARE = ExplainOptions(device="cpu", sanity="none", curve_steps=0)


class BrightBlocks(nn.Module):
    """Heads that find blocks of 8 voxels along each axis whose mean is above 0.5, where they are."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        self.mean, self.last, self.dims = conv(1, 1, 8, stride=8), conv(1, 1, 1), dims
        nn.init.constant_(self.mean.weight, 1 / 8**dims)
        nn.init.constant_(self.mean.bias, -0.5)
        nn.init.constant_(self.last.weight, 20.0)
        nn.init.constant_(self.last.bias, -4.0)

    def forward(self, images):
        found = self.last(self.mean(images).relu())
        return [found], [torch.zeros_like(found).repeat_interleave(2 * self.dims, dim=1)]


class HandMade(Bundle):
    """A model whose network is made here."""

    def network(self):
        return AnchoredDetector(BrightBlocks(self.spec.dims), 1, [8], [[[8.0] * self.spec.dims]]).eval()


def finder(dims: int, **fields) -> Bundle:
    spec = ModelSpec(
        name="finder", architecture="onestage", task="detection", dims=dims, intensity=AS_IT_IS,
        classes=(LabelClass(value=1, name="cue"),), patch_size=(32,) * dims, **fields,
    )  # fmt: skip
    return HandMade(spec, b"")


@pytest.mark.parametrize("method", ["grad-cam", "integrated-gradients", "occlusion", "smoothgrad"])
def test_the_box_carries_the_mass_in_a_plane(method):
    values = np.full((72, 96), 0.1, np.float32)
    first, second = (slice(8, 16), slice(64, 72)), (slice(56, 64), slice(16, 24))
    values[first], values[second] = 1.0, 0.9
    image = Volume(values, None, name="plane")
    found = list(explain(image, finder(2, axcodes=None), method, None, BARE))[-1].result
    assert found.scores.target == "cue"
    assert found.scores.probability > 0.99
    reach = 6 if method in ("grad-cam", "occlusion") else 0
    assert share_inside(np.asarray(found.map.data), first, reach) > 0.8
    region = BARE.model_copy(update={"region": ((50, 66), (10, 30))})
    other = list(explain(image, finder(2, axcodes=None), method, "cue", region))[-1].result
    assert share_inside(np.asarray(other.map.data), second, reach) > 0.8


def test_the_box_carries_the_mass_in_an_oblique_volume():
    # Grids of the network begin at the other end of the first two axes.
    values = np.full((24, 40, 48), 0.1, np.float32)
    cue = (slice(8, 16), slice(24, 32), slice(16, 24))
    values[cue] = 1.0
    image = Volume(values, oblique(values.shape, (2.0, 1.0, 1.0)), name="block")
    found = list(explain(image, finder(3), "integrated-gradients", "cue", BARE))[-1].result
    assert found.map.geometry is image.geometry
    assert share_inside(np.asarray(found.map.data), cue, 0) > 0.99
    assert found.scores.total == pytest.approx(found.scores.score - found.scores.baseline_score, rel=0.1)


def test_what_cannot_be_followed_is_said():
    region = BARE.model_copy(update={"region": ((0, 1), (39, 40))})
    bright = Volume(np.pad(np.ones((8, 8), np.float32), ((24, 8), (24, 8))), None, name="bright")
    with pytest.raises(DataError, match="no such box"):
        list(explain(bright, finder(2, axcodes=None), "smoothgrad", "cue", region))


class Body(nn.Module):
    """The mean of each block of 8 voxels, less a half."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Conv2d(1, 1, 8, stride=8)
        nn.init.constant_(self.mean.weight, 1 / 64)
        nn.init.constant_(self.mean.bias, -0.5)

    def forward(self, images):
        # A little of what is dark passes, too, or random weights might let nothing through.
        return {"0": nn.functional.leaky_relu(self.mean(images))}


class Judge(nn.Linear):
    """Background or cue."""

    def __init__(self) -> None:
        super().__init__(1, 2, bias=False)
        self.weight.data = torch.tensor([[-20.0], [20.0]])

    def forward(self, seen):
        return super().forward(seen), None


class TwoStages(nn.Module):
    """Stands for torchvision's: proposes the brightest block, and judges it by its mean."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.ops import MultiScaleRoIAlign

        self.backbone, self.roi_heads, self.transform = Body(), nn.Module(), nn.Identity()
        self.roi_heads.box_roi_pool = MultiScaleRoIAlign(["0"], 1, 2)
        self.roi_heads.box_head, self.roi_heads.box_predictor = nn.Flatten(), Judge()

    def forward(self, images):
        found = []
        for image in self.backbone(torch.stack(images))["0"]:
            y, x = divmod(int(image.argmax()), image.shape[2])
            box = torch.tensor([[8.0 * x, 8.0 * y, 8.0 * x + 8, 8.0 * y + 8]])
            found.append({"boxes": box, "labels": torch.tensor([1]), "scores": 2 * image.max()[None]})
        return found


@pytest.mark.parametrize("method", ["grad-cam", "integrated-gradients", "occlusion"])
def test_the_region_of_a_detector_in_two_stages_stays_where_it_is(method):
    class Judging(Bundle):
        def network(self):
            return RegionDetector(TwoStages(), masks=False).eval()

    values = np.full((64, 64), 0.1, np.float32)
    cue = (slice(16, 24), slice(40, 48))
    values[cue] = 1.0
    spec = finder(2, axcodes=None).spec
    image = Volume(values, None, name="plane")
    wanted = BARE.model_copy(update={"sanity": "full", "curve_steps": 8})
    found = list(explain(image, Judging(spec, b""), method, None, wanted))[-1].result
    # What is around the block is seen a little, too.
    assert found.scores.probability > 0.98
    # Without the block the region would be proposed elsewhere; here its own probability falls.
    assert found.scores.curves.deletion.probabilities[-1] <= 0.5
    assert found.scores.curves.deletion.area < found.scores.curves.deletion.by_chance
    assert share_inside(np.asarray(found.map.data), cue, 8) > 0.95


def test_an_empty_map_is_refused(monkeypatch):
    monkeypatch.setattr(cam, "_map", lambda question, _name: torch.zeros_like(question.image[0, :1]))
    values = np.zeros((32, 32), np.float32)
    values[8:16, 16:24] = 1
    image = Volume(values, None, name="plane")
    with pytest.raises(DataError, match=r"Grad-CAM finds nothing that speaks for cue"):
        list(explain(image, finder(2, axcodes=None), "grad-cam", None, BARE))
