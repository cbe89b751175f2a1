"""The networks of nnU-Net: several folds as one, and every tile from several sides. Imports torch."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import combinations
from typing import Any, Self

import torch
from torch import nn

from napari_medseg.errors import BundleError

PLACE = "dynamic_network_architectures.architectures.unet"
LAYERS = {
    "conv_op": ("Conv2d", "Conv3d"),
    "norm_op": ("InstanceNorm2d", "InstanceNorm3d", "BatchNorm2d", "BatchNorm3d"),
    "dropout_op": ("Dropout", "Dropout2d", "Dropout3d"),
    "nonlin": ("LeakyReLU", "ReLU", "PReLU", "ELU", "GELU", "SiLU"),
}
"""Layers that nnU-Net's plans may name, in ``torch.nn``: whatever else they name is not looked up."""


class MeanOfFolds(nn.Module):
    """Mean of the logits of several networks, each of which sees its tile from several sides.

    While it trains there has to be one network, which sees its tile as it is and answers at all its resolutions.

    Parameters
    ----------
    network : str
        Class in `PLACE`.
    arguments : dict
        Its keyword arguments, with layers by name.
    folds : int
        How many networks.
    mirror_axes : sequence of int
        Spatial axes of a tile.
    """

    def __init__(self, network: str, arguments: Mapping[str, Any], folds: int, mirror_axes: Sequence[int]) -> None:
        super().__init__()
        make = getattr(_architectures(), network)
        values = {key: layer(key, value) if key in LAYERS else value for key, value in arguments.items()}
        self.members = nn.ModuleList(make(**values, deep_supervision=False) for _ in range(folds))
        dims = [axis + 2 for axis in sorted(set(mirror_axes))]
        self._views = [chosen for count in range(len(dims) + 1) for chosen in combinations(dims, count)]

    def train(self, mode: bool = True) -> Self:
        """Switch between training, where there are outputs at several resolutions, and prediction."""
        for member in self.members:
            member.get_submodule("decoder").__dict__["deep_supervision"] = mode
        return super().train(mode)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """Return the (tile, class, ...) mean logits of (tile, channel, ...) tiles; a list of them while it trains."""
        if self.training:
            (member,) = self.members
            answers: list[torch.Tensor] = member(tiles)
            return answers
        total: torch.Tensor | None = None
        for member in self.members:
            for dims in self._views:
                logits = member(tiles.flip(dims) if dims else tiles)
                logits = logits.flip(dims) if dims else logits
                total = logits if total is None else total + logits
        assert total is not None
        return total / (len(self.members) * len(self._views))


def layer(role: str, name: object) -> type[nn.Module] | None:
    """Return the class of a layer that nnU-Net's plans name, such as ``torch.nn.modules.conv.Conv3d``.

    Raises
    ------
    BundleError
        If it is none of `LAYERS`.
    """
    if name is None:
        return None
    module, _, short = str(name).rpartition(".")
    if short not in LAYERS[role] or not (module == "torch.nn" or module.startswith("torch.nn.modules.")):
        raise BundleError(
            f"The plans name {name!r} as {role}, which is not built here.", f"Known are {', '.join(LAYERS[role])}."
        )
    found: type[nn.Module] = getattr(nn, short)
    return found


def _architectures() -> object:
    try:
        return import_module(PLACE)
    except ImportError as error:
        raise BundleError(
            "Networks of nnU-Net need a package that is not installed.", "pip install 'napari-medseg[nnunet]'"
        ) from error
