"""A pixel classifier as a network: fixed filters, then a small perceptron that sees one voxel at a time."""

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from napari_medseg.models.nets.filters import Box, feature_count, filter_bank, smooth

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
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.scales, self.edges, self.smoothing = tuple(scales), tuple(edges), smoothing
        features = feature_count(dims, in_channels, len(self.scales))
        self.register_buffer("low", torch.zeros(features, bins))
        self.register_buffer("width", torch.ones(features, bins))
        self.first = nn.Linear(features * bins, hidden)
        self.last = nn.Linear(hidden, out_channels)

    low: torch.Tensor
    """(feature, bin) where each piece of a feature's encoding begins."""
    width: torch.Tensor
    """(feature, bin) how long it is."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the (batch, class, ...) logits of a (batch, channel, ...) image."""
        return self.classify(self.features(image))

    def features(self, image: torch.Tensor, inner: Box | None = None) -> torch.Tensor:
        """Return the (batch, feature, ...) filter responses; of the part `inner` alone, if it is given."""
        with torch.autocast(image.device.type, enabled=False):
            return filter_bank(image.float(), self.scales, self.edges, inner)

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
        pieces = ((rows.unsqueeze(-1) - self.low) / self.width).clamp(0, 1)
        logits: torch.Tensor = self.last(torch.relu(self.first(pieces.flatten(-2))))
        return logits

    def perceptron(self) -> Iterator[nn.Parameter]:
        """Yield what is learnt by gradients."""
        yield from (*self.first.parameters(), *self.last.parameters())
