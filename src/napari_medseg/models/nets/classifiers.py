"""Networks that give one answer per image, for any number of channels and classes."""

from collections import OrderedDict

import torch
from torch import nn


def torchvision_network(network: str, channels: int, classes: int, size: int, dropout: float | None) -> nn.Module:
    """Return a network of torchvision with random weights.

    Parameters
    ----------
    network : str
        Name in ``torchvision.models``.
    channels, classes : int
        Of the input and of the output.
    size : int
        Edge of the input in pixels; read by vision transformers only.
    dropout : float, optional
        Before the last layer, where the network has it; None for its own.
    """
    from torchvision import models

    own: dict[str, object] = (
        {} if dropout is None or network.startswith(("resnet", "convnext")) else {"dropout": dropout}
    )
    if network.startswith("densenet") and dropout is not None:
        own = {"drop_rate": dropout}
    if network.startswith("vit"):
        own["image_size"] = size
    if network == "inception_v3":
        own |= {"aux_logits": False, "init_weights": True}
    made: nn.Module = models.get_model(network, weights=None, num_classes=classes, **own)
    if channels != 3:
        replace_first(made, channels)
    return made


def small_resnet(channels: int, classes: int, width: int) -> nn.Module:
    """Return the ResNet-18 for images of about 28 pixels: a 3 x 3 stem without stride, and no pooling after it.

    Parameters
    ----------
    channels, classes : int
        Of the input and of the output.
    width : int
        Channels of the first stage; 64 is the network of MedMNIST's own benchmark.
    """
    stages = []
    before = width
    for stage in range(4):
        after = width * 2**stage
        stages.append(
            (f"layer{stage + 1}", nn.Sequential(_block(before, after, 1 + (stage > 0)), _block(after, after, 1)))
        )
        before = after
    stem = [
        ("conv1", nn.Conv2d(channels, width, 3, padding=1, bias=False)),
        ("bn1", nn.BatchNorm2d(width)),
        ("relu", nn.ReLU(inplace=True)),
    ]
    head = [("pool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten()), ("fc", nn.Linear(before, classes))]
    made = nn.Sequential(OrderedDict([*stem, *stages, *head]))
    for module in made.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return made


def small_cnn(dims: int, channels: int, classes: int, width: int) -> nn.Module:
    """Return a plain network of four convolutions with batch normalisation, for images of any size from 8 voxels on.

    Parameters
    ----------
    dims : int
        2 or 3.
    channels, classes : int
        Of the input and of the output.
    width : int
        Channels of the first layer, doubled by each of the next.
    """
    conv: type[nn.Module] = nn.Conv2d if dims == 2 else nn.Conv3d
    norm: type[nn.Module] = nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d
    pool: type[nn.Module] = nn.AdaptiveAvgPool2d if dims == 2 else nn.AdaptiveAvgPool3d
    layers: list[nn.Module] = []
    before = channels
    for number in range(4):
        after = width * 2**number
        step = 1 if number == 0 else 2
        layers += [conv(before, after, 3, stride=step, padding=1, bias=False), norm(after), nn.ReLU(inplace=True)]
        before = after
    return nn.Sequential(*layers, pool(1), nn.Flatten(), nn.Linear(before, classes))


def adapted(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """Return the weights of a first convolution for another number of input channels.

    The answer to a grey image is what the old weights gave where all their channels held that image.

    Parameters
    ----------
    weight : (out, in, ...) tensor
        Of the convolution.
    channels : int
        Of the new input.

    Examples
    --------
    >>> adapted(torch.tensor([[1.0, 2.0, 3.0]]), 1).tolist(), adapted(torch.tensor([[1.0, 2.0, 3.0]]), 2).tolist()
    ([[6.0]], [[3.0, 3.0]])
    """
    if weight.shape[1] == channels:
        return weight
    total = weight.sum(dim=1, keepdim=True) / channels
    return total.expand(-1, channels, *weight.shape[2:]).contiguous()


def first_convolution(network: nn.Module) -> tuple[str, nn.Module]:
    """Return the convolution that sees the image, with its name."""
    return next((name, m) for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Conv3d))


def replace_first(network: nn.Module, channels: int) -> None:
    """Make a two-dimensional network take images of another number of channels; changed in place."""
    _name, first = first_convolution(network)
    assert isinstance(first, nn.Conv2d)
    first.in_channels = channels
    first.weight = nn.Parameter(adapted(first.weight.detach(), channels))


def _block(before: int, after: int, step: int) -> nn.Module:
    from torchvision.models.resnet import BasicBlock

    shortcut = None
    if step != 1 or before != after:
        shortcut = nn.Sequential(nn.Conv2d(before, after, 1, step, bias=False), nn.BatchNorm2d(after))
    block: nn.Module = BasicBlock(before, after, step, shortcut)
    return block
