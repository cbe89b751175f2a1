"""Networks whose weights are written by hand, so that what an explanation must say is known."""

import numpy as np
import torch
from torch import nn

from napari_medseg.models import Bundle, ModelSpec, build
from napari_medseg.models.spec import BACKGROUND, Intensity
from napari_medseg.volume import Geometry, LabelClass, Volume

AS_IT_IS = Intensity(kind="fixed", low=0.0, high=1.0)
CLASSES = (LabelClass(value=0, name="plain"), LabelClass(value=1, name="cue"))


def cue_classifier(dims: int = 2, edge: int = 32, channels: int = 1, **fields) -> Bundle:
    """Return a small CNN that says "cue" by what is brighter than 0.5 in the last channel, and by nothing else.

    Four convolutions that average, with strides of 1, 2, 2 and 2: a voxel is seen by features up to 15 voxels away, and
    those are 8 voxels apart.
    """
    spec = ModelSpec(
        name="cues", architecture="cnn_small", options={"width": 1}, task="classification", dims=dims,
        channels=channels, classes=CLASSES, axcodes=None, intensity=AS_IT_IS, patch_size=(edge,) * dims, **fields,
    )  # fmt: skip
    network = build(spec)
    first = True
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.zeros_(module.weight)
            module.weight.data[0, -1 if first else 0] = 1 / 3**dims
            if first:
                # Looks at each voxel alone.
                module.weight.data[0, -1] = 0
                module.weight.data[(0, -1, *[1] * dims)] = 1
            first = False
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
            module.weight.data[1, 0] = 200.0
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d)]
    norms[0].bias.data[0] = -0.5
    return Bundle.create(spec, network.state_dict())


def cue_segmenter(dims: int = 3, edge: int = 16, **fields) -> Bundle:
    """Return a network that finds a class where the mean over 3 voxels along each axis is above 0.6."""
    spec = ModelSpec(
        name="finder", architecture="meshnet", options={"features": 1, "dilations": [1]}, dims=dims,
        classes=(BACKGROUND, LabelClass(value=4, name="cue")), intensity=AS_IT_IS, patch_size=(edge,) * dims, **fields,
    )  # fmt: skip
    network = build(spec)
    hidden, last = (module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Conv3d))
    nn.init.constant_(hidden.weight, 1 / 3**dims)
    nn.init.constant_(hidden.bias, -0.5)
    last.weight.data = torch.tensor([-20.0, 20.0]).view(2, 1, *[1] * dims)
    last.bias.data = torch.tensor([2.0, -2.0])
    return Bundle.create(spec, network.state_dict())


def plane(edge: int = 32, at: tuple[slice, slice] = (slice(6, 14), slice(18, 26))) -> Volume:
    """Return a dim image with soft structure everywhere and one bright square."""
    rows, columns = np.indices((edge, edge))
    values = (0.2 + 0.1 * np.sin(rows / 3) * np.cos(columns / 4)).astype(np.float32)
    values[at] = 1.0
    return Volume(values, None, name="plane")


def oblique(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Geometry:
    """Return a grid 17 degrees off the patient's axes, its axes growing to inferior, anterior and left."""
    angle = np.radians(17.0)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(angle / 2), -np.sin(angle / 2)], [0, np.sin(angle / 2), np.cos(angle / 2)]])
    own = np.array([[0, 0, -1], [0, 1, 0], [-1, 0, 0]], float)
    affine = np.eye(4)
    affine[:3, :3] = turn @ tilt @ own @ np.diag(spacing)
    affine[:3, 3] = (12.0, -40.0, 7.0)
    return Geometry(shape, affine)


def share_inside(values: np.ndarray, cue: tuple[slice, ...], reach: int) -> float:
    """Return the share of the positive mass that lies in the cue, or no further than `reach` voxels from it."""
    positive = np.clip(values, 0, None)
    near = tuple(slice(max(side.start - reach, 0), side.stop + reach) for side in cue)
    return float(positive[near].sum() / positive.sum())
