"""What stands for an image without what is to be explained."""

from collections.abc import Callable
from typing import Literal

import torch
from torch.nn import functional

Kind = Literal["blur", "mean", "black"]
KINDS: tuple[Kind, ...] = ("blur", "mean", "black")

BLUR_SHARE = 0.1
"""Standard deviation of the blur, over the edge of the image."""
REACH = 3
"""Standard deviations after which the blur is cut off."""


def settle(
    kind: Literal["auto", "blur", "mean", "black"],
    make: Callable[[Kind], torch.Tensor],
    probability: Callable[[torch.Tensor], float],
    image: torch.Tensor,
) -> tuple[Kind, torch.Tensor]:
    """Return a baseline and its kind; for ``auto`` the first in which the class is half as likely, or the least likely.

    Parameters
    ----------
    kind : {"auto", "blur", "mean", "black"}
        What was asked for.
    make : callable
        Makes a baseline of a kind.
    probability : callable
        Of the class in an image or baseline.
    image : tensor
        The image.
    """
    if kind != "auto":
        return kind, make(kind)
    half = probability(image) / 2
    found: list[tuple[float, Kind, torch.Tensor]] = []
    for name in KINDS:
        made = make(name)
        left = probability(made)
        if left <= half:
            return name, made
        found.append((left, name, made))
    _left, name, made = min(found, key=lambda one: one[0])
    return name, made


def baseline_of(canvas: torch.Tensor, kind: Kind, planar: bool, edges: tuple[int, ...]) -> torch.Tensor:
    """Return what stands for absence.

    Parameters
    ----------
    canvas : (channel, z, y, x) tensor
        As the network sees it.
    kind : {"blur", "mean", "black"}
        Blurred, the mean of each channel, or its smallest value.
    planar : bool
        Whether planes are blurred each by itself.
    edges : (z, y, x) tuple of int
        Voxels of what the network sees at once, which the width of the blur follows.
    """
    if kind == "mean":
        return canvas.mean(dim=(1, 2, 3), keepdim=True).expand_as(canvas).clone()
    if kind == "black":
        return canvas.amin(dim=(1, 2, 3), keepdim=True).expand_as(canvas).clone()
    blurred = canvas
    for axis in range(1 if planar else 0, 3):
        blurred = _blurred(blurred, axis, BLUR_SHARE * edges[axis])
    return blurred


def _blurred(canvas: torch.Tensor, axis: int, sigma: float) -> torch.Tensor:
    """Return a (channel, z, y, x) tensor after a Gaussian along one axis; the border's values go on outside."""
    reach = max(1, round(REACH * sigma))
    places = torch.arange(-reach, reach + 1, dtype=canvas.dtype, device=canvas.device)
    kernel = torch.exp(-0.5 * (places / sigma) ** 2)
    kernel = kernel / kernel.sum()
    lines = canvas.movedim(1 + axis, -1)
    padded = functional.pad(lines.reshape(1, -1, lines.shape[-1]), (reach, reach), mode="replicate")
    smooth = functional.conv1d(padded.movedim(1, 0), kernel.view(1, 1, -1))
    return smooth.reshape(lines.shape).movedim(-1, 1 + axis)
