"""A vision transformer that classifies volumes."""

from collections.abc import Sequence

import torch
from monai.networks.nets.vit import ViT

HEADS = 6
WIDER = 4
"""Numbers in the middle of a block, per number at its ends."""


class VolumeTransformer(ViT):
    """MONAI's vision transformer that gives logits and nothing else.

    Parameters
    ----------
    channels, classes : int
        Of the input and of the output.
    size : sequence of int
        Voxels of the input along (z, y, x), multiples of `patch`.
    patch : int
        Edge in voxels of a piece.
    hidden : int
        Numbers per piece.
    layers : int
        Blocks.
    """

    def __init__(self, channels: int, classes: int, size: Sequence[int], patch: int, hidden: int, layers: int) -> None:
        super().__init__(
            in_channels=channels,
            img_size=tuple(size),
            patch_size=(patch,) * 3,
            hidden_size=hidden,
            mlp_dim=WIDER * hidden,
            num_layers=layers,
            num_heads=HEADS,
            classification=True,
            num_classes=classes,
            post_activation="none",
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return (batch, class) logits of (batch, channel, z, y, x) images."""
        logits: torch.Tensor = super().forward(image)[0]  # type: ignore[no-untyped-call]
        return logits
