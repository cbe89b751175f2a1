"""A network that undoes a known blur: steps towards what was measured, and learned ones towards what images are."""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from napari_medseg.volume.sampling import gaussian_weights


class UnrolledNetwork(nn.Module):
    """Proximal gradient descent of which a fixed number of rounds is computed, and whose priors are learned.

    Each round takes a step down the gradient of ``|blur(x) - image|^2 / 2``, whose length is learned, and adds what a
    small network says of the result (Adler and Öktem 2017). These networks start as nothing: then all of it is gradient
    descent from the image itself, which sharpens already.

    Parameters
    ----------
    dims : int
        2 or 3.
    width : sequence of float
        Full width at half maximum of the Gaussian blur in voxels, along each axis.
    features : int
        Channels of hidden layers.
    rounds : int
        Steps.
    """

    def __init__(self, dims: int, width: Sequence[float], features: int, rounds: int) -> None:
        super().__init__()
        convolution = (nn.Conv2d, nn.Conv3d)[dims - 2]
        self.width, self.factor = tuple(width), (1,) * dims
        self.lengths = nn.Parameter(torch.ones(rounds))
        self.priors = nn.ModuleList(_prior(convolution, features) for _ in range(rounds))
        self.gain: torch.Tensor
        self.register_buffer("gain", torch.ones(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return (batch, 1, ...) from (batch, 1, ...)."""
        # The image itself is carried, for which a short number format is too coarse.
        with torch.autocast(image.device.type, enabled=False):
            measured = image.float()
        found = measured
        for length, prior in zip(self.lengths, self.priors, strict=True):
            with torch.autocast(image.device.type, enabled=False):
                # The blur is its own adjoint.
                found = found - length * blurred(blurred(found, self.width) - measured, self.width)
            found = found + prior(found).float() * self.gain
        return found


def _prior(convolution: type[nn.Conv2d] | type[nn.Conv3d], features: int) -> nn.Sequential:
    last = convolution(features, 1, 3, padding=1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]  # it has one
    first, second = convolution(1, features, 3, padding=1), convolution(features, features, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)


def blurred(image: torch.Tensor, width: Sequence[float]) -> torch.Tensor:
    """Return a (batch, 1, ...) image blurred by a Gaussian, beyond whose edges it is mirrored.

    Because of the mirrors the blur is a symmetric map. It is that of ``scipy.ndimage.gaussian_filter``.

    Parameters
    ----------
    image : tensor
        Of as many axes of space as there are widths.
    width : sequence of float
        Full width at half maximum in voxels, along each axis.
    """
    for axis, size in enumerate(width, start=2):
        weights = torch.from_numpy(gaussian_weights(size)).to(image)
        reach = len(weights) // 2
        if not reach:
            continue
        copies = math.ceil(reach / image.shape[axis])
        mirrored = image.flip(axis)
        # On both sides the image and its mirror image take turns.
        before = [(mirrored, image)[number % 2] for number in range(copies)]
        line = torch.cat([*reversed(before), image, *before], axis)
        line = line.narrow(axis, copies * image.shape[axis] - reach, image.shape[axis] + 2 * reach).movedim(axis, -1)
        done = functional.conv1d(line.reshape(-1, 1, line.shape[-1]), weights[None, None])
        image = done.reshape(*line.shape[:-1], -1).movedim(-1, axis)
    return image
