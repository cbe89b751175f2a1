"""A network that makes an image finer, or cleaner at the same size."""

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from napari_medseg.volume.sampling import AxisSampling, averaging_matrix, inverse_matrix, spline_matrix

REACH = 5
"""Coarse voxels to each side that the linear part of the network looks at along a refined axis."""
LINE = 41
"""Coarse voxels of the line from whose middle the linear part is taken."""


class SubpixelNetwork(nn.Module):
    """A linear filter plus what residual blocks add to it, all computed on the coarse grid.

    Every coarse voxel answers with the values of its `prod(factor)` fine ones (Shi et al. 2016); blocks are those of
    EDSR (Lim et al. 2017), without batch normalisation. The linear part starts as a spline that agrees with the slice
    profile, and the blocks as nothing.

    Parameters
    ----------
    dims : int
        2 or 3.
    channels : int
        Of the input; the output is a finer version of the middle one.
    features : int
        Channels of hidden layers.
    blocks : int
        Residual blocks of two convolutions each.
    factor : sequence of int
        Fine voxels per coarse one along each axis.
    width : sequence of float
        Thickness of a slice in fine voxels, along each axis.
    profile : str
        ``"gaussian"`` or ``"box"``.
    """

    def __init__(
        self,
        dims: int,
        channels: int,
        features: int,
        blocks: int,
        factor: Sequence[int],
        width: Sequence[float],
        profile: str = "gaussian",
    ) -> None:
        super().__init__()
        convolution = (nn.Conv2d, nn.Conv3d)[dims - 2]
        self.factor, self.middle = tuple(factor), channels // 2
        kernel = _linear([AxisSampling(f, w, "box" if profile == "box" else "gaussian") for f, w in zip(factor, width)])  # noqa: B905 - both have `dims` numbers
        self.reach = tuple(size // 2 for size in kernel.shape[1:])
        self.linear = convolution(1, prod(self.factor), kernel.shape[1:], bias=False)  # type: ignore[arg-type]
        self.head = convolution(channels, features, 3, padding=1)
        self.body = nn.Sequential(*(_Block(convolution, features) for _ in range(blocks)))
        self.tail = convolution(features, prod(self.factor), 3, padding=1)
        self.gain: torch.Tensor
        self.register_buffer("gain", torch.ones(1))
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(kernel)[:, None])
            self.tail.weight.zero_()
            nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return (batch, 1, fine...) from (batch, channel, coarse...)."""
        features = self.head(image)
        residual = self.tail(features + self.body(features))
        # The linear part carries the image itself, for which a short number format is too coarse.
        with torch.autocast(image.device.type, enabled=False):
            middle = image[:, self.middle : self.middle + 1].float()
            edges = [side for reach in reversed(self.reach) for side in (reach, reach)]
            linear = self.linear(functional.pad(middle, edges, mode="replicate"))
            return shuffled(linear + residual.float() * self.gain, self.factor)


class _Block(nn.Module):
    def __init__(self, convolution: type[nn.Conv2d] | type[nn.Conv3d], features: int) -> None:
        super().__init__()
        self.first = convolution(features, features, 3, padding=1)
        self.second = convolution(features, features, 3, padding=1)
        with torch.no_grad():
            self.second.weight.mul_(0.1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = image + self.second(functional.relu(self.first(image)))
        return result


def shuffled(values: torch.Tensor, factor: tuple[int, ...]) -> torch.Tensor:
    """Return (batch, 1, fine...) from (batch, prod(factor), coarse...): each channel is a place in the coarse voxel.

    Examples
    --------
    >>> shuffled(torch.tensor([[[[1.0], [3.0]], [[2.0], [4.0]]]]), (2, 1)).flatten()
    tensor([1., 2., 3., 4.])
    """
    batch, _, *coarse = values.shape
    dims = len(factor)
    split = values.reshape(batch, *factor, *coarse)
    order = [0, *(axis for d in range(dims) for axis in (1 + dims + d, 1 + d))]
    fine = [count * f for count, f in zip(coarse, factor, strict=True)]
    return split.permute(order).reshape(batch, 1, *fine)


def _linear(axes: Sequence[AxisSampling]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return (place, kernel...): the filter for each fine voxel of a coarse one."""
    whole = np.ones((1,) * (2 * len(axes)))
    for number, axis in enumerate(axes):
        rows = np.ones((1, 1))
        if axis.factor != 1:
            fine = axis.fine(LINE)
            matrix = inverse_matrix(averaging_matrix(LINE, fine, axis), spline_matrix(LINE, fine, axis.factor))
            first, middle = LINE // 2 * int(axis.factor), LINE // 2
            rows = matrix[first : first + int(axis.factor), middle - REACH : middle + REACH + 1]
            rows = rows / rows.sum(axis=1, keepdims=True)
        shape = [1] * (2 * len(axes))
        shape[number], shape[len(axes) + number] = rows.shape
        whole = whole * rows.reshape(shape)
    return whole.reshape(prod(whole.shape[: len(axes)]), *whole.shape[len(axes) :]).astype(np.float32)
