"""Networks that were made for whole images, as sources of feature maps at several resolutions."""

from collections.abc import Sequence

import torch
from torch import nn

from napari_medseg.models.nets.classifiers import replace_first


class Backbone(nn.Module):
    """The last feature map of each resolution of a network whose layers follow one another.

    Names of tensors are those of the network itself, below ``net.``.

    Parameters
    ----------
    net : nn.Module
        With nothing after the last feature map.
    layers : sequence of nn.Module
        Of `net`, in the order in which they are computed.
    strides : sequence of int
        Voxels of the image per voxel of the wanted maps, rising.
    channels, dims : int
        Of the image.

    Raises
    ------
    ValueError
        If it has no map of a wanted resolution.
    """

    def __init__(
        self, net: nn.Module, layers: Sequence[nn.Module], strides: Sequence[int], channels: int, dims: int
    ) -> None:
        super().__init__()
        self.net, self.strides = net, tuple(strides)
        # Not registered a second time: the network has them.
        self._layers = [*layers]
        found = _resolutions(self._layers, channels, dims)
        missing = sorted(set(strides) - found.keys())
        if missing:
            raise ValueError(f"there are no feature maps at a stride of {missing[0]}, but at {sorted(found)}")
        self._taps = [found[stride][0] for stride in strides]
        self.channels = tuple(found[stride][1] for stride in strides)
        self.frozen = 0
        """Layers at the beginning that learn nothing and need no gradients."""

    def freeze(self, strides: int) -> None:
        """Let the layers before the feature map of a stride, and that map, learn nothing; 0 lets all learn."""
        found = _resolutions(self._layers, self._image_channels, self._dims)
        self.frozen = max((place + 1 for stride, (place, _) in found.items() if stride <= strides), default=0)
        for number, layer in enumerate(self._layers):
            for parameter in layer.parameters():
                parameter.requires_grad_(number >= self.frozen)

    @property
    def _image_channels(self) -> int:
        return int(next(m for m in self.net.modules() if isinstance(m, nn.Conv2d | nn.Conv3d)).in_channels)

    @property
    def _dims(self) -> int:
        return 3 if any(isinstance(m, nn.Conv3d) for m in self.net.modules()) else 2

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return (batch, channel, ...) maps, the finest first."""
        maps: list[torch.Tensor] = []
        values = images
        for number, layer in enumerate(self._layers[: self._taps[-1] + 1]):
            # Layers that learn nothing keep nothing for a gradient.
            with torch.set_grad_enabled(torch.is_grad_enabled() and number >= self.frozen):
                values = layer(values)
            if number in self._taps:
                maps.append(values)
        return maps


def backbone(name: str, strides: Sequence[int], channels: int, dims: int, width: int) -> Backbone:
    """Return a backbone with random weights.

    Parameters
    ----------
    name : str
        ``plain``, or in two dimensions a name in ``torchvision.models`` (SqueezeNet, MobileNetV3, ResNet), or in three
        ``resnet10``, ``resnet18`` or ``resnet50`` of MONAI.
    strides : sequence of int
        Of the wanted maps.
    channels, dims : int
        Of the image.
    width : int
        Of ``plain``: channels of its first layer, doubled at each halving of the resolution.
    """
    if name == "plain":
        return _plain(strides, channels, dims, width)
    return _torchvision(name, strides, channels) if dims == 2 else _monai(name, strides, channels)


def _torchvision(name: str, strides: Sequence[int], channels: int) -> Backbone:
    from torchvision import models

    whole: nn.Module = models.get_model(name, weights=None)
    if name.startswith("resnet"):
        net: nn.Module = nn.Sequential()
        for child, module in list(whole.named_children())[:-2]:
            net.add_module(child, module)
        layers = [*net.children()]
    else:
        net = nn.Module()
        features = whole.get_submodule("features")
        net.add_module("features", features)
        layers = [*features.children()]
    for module in net.modules():
        # So that every map begins at the image's corner, and has an edge divided by its stride.
        if isinstance(module, nn.MaxPool2d):
            module.ceil_mode, module.padding = False, 1
        elif isinstance(module, nn.Conv2d) and module.kernel_size[0] > 1 and module.padding[0] == 0:
            module.padding = (module.kernel_size[0] // 2, module.kernel_size[1] // 2)
    if channels != 3:
        replace_first(net, channels)
    return Backbone(net, layers, strides, channels, 2)


def _monai(name: str, strides: Sequence[int], channels: int) -> Backbone:
    from monai.networks.nets import resnet

    whole: nn.Module = getattr(resnet, name)(spatial_dims=3, n_input_channels=channels, conv1_t_stride=1)
    net = nn.Sequential()
    for child, module in whole.named_children():
        if child not in ("avgpool", "fc"):
            net.add_module(child, module)
    return Backbone(net, [*net.children()], strides, channels, 3)


def _plain(strides: Sequence[int], channels: int, dims: int, width: int) -> Backbone:
    conv: type[nn.Module] = nn.Conv2d if dims == 2 else nn.Conv3d
    layers: list[nn.Module] = []
    before, stride = channels, 1
    while stride < max(strides):
        stride *= 2
        after = width * min(stride // 2, 8)
        layers.append(
            nn.Sequential(
                conv(before, after, 3, stride=2, padding=1, bias=False),
                nn.GroupNorm(4, after),
                nn.ReLU(inplace=True),
            )
        )
        layers += [_Residual(conv, after) for _ in range(1 if stride == 2 else 2)]
        before = after
    net = nn.Sequential(*layers)
    return Backbone(net, layers, strides, channels, dims)


class _Residual(nn.Module):
    def __init__(self, conv: type[nn.Module], width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(width, width, 3, padding=1, bias=False),
            nn.GroupNorm(4, width),
            nn.ReLU(inplace=True),
            conv(width, width, 3, padding=1, bias=False),
            nn.GroupNorm(4, width),
        )

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.relu(values + self.body(values))


def _resolutions(layers: Sequence[nn.Module], channels: int, dims: int) -> dict[int, tuple[int, int]]:
    """Return the number and the channels of the last layer at each stride."""
    import copy

    edge = 64
    found: dict[int, tuple[int, int]] = {}
    values = torch.zeros((1, channels, *(edge,) * dims), device="meta")
    with torch.no_grad():
        for number, layer in enumerate(layers):
            values = copy.deepcopy(layer).to("meta").eval()(values)
            found[round(edge / values.shape[-1])] = (number, int(values.shape[1]))
    return found
