"""What is asked: a network, a score of its answer, and what it sees."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from napari_medseg.explain.options import ExplainOptions

Read = Callable[[torch.Tensor], torch.Tensor]
"""From a network's output to one number per image, (image,)."""


@dataclass(frozen=True)
class Target:
    """What of a network's answer is explained."""

    score: Read
    """Before any softmax or sigmoid; this is what the maps explain."""
    probability: Read
    """From 0 to 1; this is what deletion and insertion follow."""


class Score(nn.Module):
    """A network that answers with one number per image.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode; free to be changed.
    read : callable
        From its output to one number per image.
    seen : callable
        Called with the number of images before each forward pass; may raise to stop.
    """

    def __init__(self, network: nn.Module, read: Read, seen: Callable[[int], None]) -> None:
        super().__init__()
        self.network = network
        self._read, self._seen = read, seen

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (image,) numbers."""
        self._seen(len(images))
        return self._read(self.network(images)).float()


@dataclass(frozen=True, eq=False)
class Question:
    """Why a network gives this number for this image."""

    score: Score
    image: torch.Tensor
    """(1, channel, ...) as the network sees it, on its device."""
    baseline: torch.Tensor
    """The same without what is to be explained."""
    options: ExplainOptions
    batch: int
    """Images at once."""
    shared: dict[str, Any] = field(default_factory=dict)
    """What a method settles once for all pieces of an image."""

    @property
    def dims(self) -> int:
        """Number of spatial axes."""
        return self.image.ndim - 2

    @property
    def spread(self) -> float:
        """Range of the image's values."""
        return float(self.image.max() - self.image.min())


def summed(maps: torch.Tensor, per_channel: bool) -> torch.Tensor:
    """Return (1, channel, ...) attributions as (map, ...): their sum, or one map for each channel."""
    found = maps.detach()[0]
    return found if per_channel else found.sum(dim=0, keepdim=True)
