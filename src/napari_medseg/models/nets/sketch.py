"""A pixel classifier as a network: fixed filters, then a small perceptron that sees one voxel at a time."""

from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch.nn import functional

from napari_medseg.models.nets.filters import (
    Box,
    Pyramid,
    context_bank,
    context_count,
    feature_count,
    filter_bank,
    smooth,
)

VOXELS_AT_ONCE = 8192
"""So many voxels at a time: their encoded features stay in the processor's cache."""
LEAST_PROBABILITY = 1e-6


class SketchNetwork(nn.Module):
    """Classify every voxel by its filter responses.

    Each feature is encoded piecewise linearly between its quantiles, so that a shallow perceptron follows the sharp
    thresholds of the decision trees that teach it: Gorishniy et al., On Embeddings for Numerical Features in Tabular
    Deep Learning, NeurIPS (2022).

    Parameters
    ----------
    dims : {2, 3}
        Spatial axes.
    in_channels, out_channels : int
        Image channels, classes.
    scales : sequence of float
        Standard deviations of the filters, in units of the shortest voxel edge.
    edges : sequence of float
        Voxel edges per axis, in the same units.
    context : sequence of float
        Standard deviations of the filters that tell where in the image a voxel is; none for surroundings alone.
    bins : int
        Pieces of the encoding of a feature.
    hidden : int
        Width of the perceptron.
    smoothing : float
        Standard deviation of a Gaussian over the probabilities, in units of the shortest voxel edge; 0 leaves them.
    """

    def __init__(
        self,
        *,
        dims: int,
        in_channels: int,
        out_channels: int,
        scales: Sequence[float],
        edges: Sequence[float],
        bins: int,
        hidden: int,
        context: Sequence[float] = (),
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.scales, self.edges, self.context, self.smoothing = tuple(scales), tuple(edges), tuple(context), smoothing
        self.local = feature_count(dims, in_channels, len(self.scales))
        self.wide = bool(self.context)
        features = self.local + context_count(dims, in_channels, len(self.context))
        self.register_buffer("low", torch.zeros(features, bins))
        self.register_buffer("width", torch.ones(features, bins))
        self.first = nn.Linear(features * bins, hidden)
        self.last = nn.Linear(hidden, out_channels)

    local: int
    """Number of the features that come first and need no context."""
    wide: bool
    """Whether the context is looked at. Where it is not, its features are computed for the cache alone."""
    low: torch.Tensor
    """(feature, bin) where each piece of a feature's encoding begins."""
    width: torch.Tensor
    """(feature, bin) how long it is."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the (batch, class, ...) logits of a (batch, channel, ...) image."""
        return self.classify(self.features(Pyramid(image.float()), wide=self.wide))

    def features(self, images: Pyramid, inner: Box | None = None, wide: bool = True) -> torch.Tensor:
        """Return the (batch, feature, ...) filter responses; of the part `inner` alone, if it is given.

        Those that tell of the context come last; without `wide` there are none.
        """
        with torch.autocast(self.low.device.type, enabled=False):
            found = filter_bank(images, self.scales, self.edges, inner)
            if not wide or not self.context:
                return found
            return torch.cat([found, context_bank(images, self.context, self.edges, inner)], dim=1)

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Return the (batch, class, ...) logits of (batch, feature, ...) responses, each helped by its neighbours."""
        flat = features.flatten(2)
        parts = [self.classify_rows(part.transpose(1, 2)) for part in torch.split(flat, VOXELS_AT_ONCE, dim=2)]
        logits = torch.cat(parts, dim=1).transpose(1, 2).reshape(len(features), -1, *features.shape[2:])
        if not self.smoothing:
            return logits
        around = smooth(logits.float().softmax(dim=1), [self.smoothing / edge for edge in self.edges])
        return around.clamp_min(LEAST_PROBABILITY).log()

    def classify_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the (..., class) logits of (..., feature) responses, each voxel by itself."""
        seen = self.seen(rows)
        used = seen.shape[-1]
        pieces = ((seen.unsqueeze(-1) - self.low[:used]) / self.width[:used]).clamp(0, 1).flatten(-2)
        hidden = functional.linear(pieces, self.first.weight[:, : pieces.shape[-1]], self.first.bias)
        logits: torch.Tensor = self.last(torch.relu(hidden))
        return logits

    def seen(self, rows: torch.Tensor) -> torch.Tensor:
        """Return what is looked at of (..., feature) responses."""
        return rows if self.wide else rows[..., : self.local]

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the state of a network that gives the same, and has no context where this one looks at none."""
        state = self.state_dict()
        if not self.wide:
            pieces = self.local * self.low.shape[1]
            parts = {"low": self.low[: self.local], "width": self.width[: self.local]}
            state |= parts | {"first.weight": state["first.weight"][:, :pieces]}
        return {name: value.contiguous() for name, value in state.items()}

    def perceptron(self) -> Iterator[nn.Parameter]:
        """Yield what is learnt by gradients."""
        yield from (*self.first.parameters(), *self.last.parameters())
