"""Dilated convolutions at full resolution: few weights, no pooling, a wide view."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_medseg.models.registry import NetworkDef, register
from napari_medseg.models.spec import ModelSpec

Activation = Literal["relu", "elu", "gelu"]


class MeshNetOptions(BaseModel):
    """Size of the network."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    features: Annotated[int, Field(ge=1, le=512)] = 16
    """Channels of every hidden layer."""
    dilations: Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1)] = (
        *(1, 2, 4, 8, 16),
        *(8, 4, 2, 1),
    )
    """Dilation of each hidden convolution, which has three voxels along each axis."""
    activation: Activation = "relu"
    """After each hidden convolution."""
    instance_norm: bool = False
    """Whether each channel of a tile is brought to mean 0 and standard deviation 1 before the activation; then the
    result depends on the tile's size."""
    bias: bool = True
    """Whether hidden convolutions have one."""


@register(
    "meshnet",
    title="MeshNet (dilated convolutions)",
    options=MeshNetOptions,
    citation="Fedorov et al., End-to-end learning of brain tissue segmentation from imperfect labeling, IJCNN (2017)",
)
def meshnet(spec: ModelSpec, options: MeshNetOptions) -> NetworkDef:
    """Return a sequence of torch's own layers; layer 2k is hidden convolution k."""
    layers, channels = [], spec.channels
    for dilation in options.dilations:
        layers.append(_convolution(spec.dims, channels, options.features, dilation, options.bias))
        layers.append(_between(spec.dims, options))
        channels = options.features
    last = {"in_channels": channels, "out_channels": len(spec.classes), "kernel_size": 1}
    layers.append(NetworkDef(f"torch.nn.Conv{spec.dims}d", last))
    return NetworkDef("torch.nn.Sequential", {}, tuple(layers))


def _convolution(dims: int, inputs: int, outputs: int, dilation: int, bias: bool) -> NetworkDef:
    size = {"kernel_size": 3, "padding": dilation, "dilation": dilation}
    return NetworkDef(f"torch.nn.Conv{dims}d", {"in_channels": inputs, "out_channels": outputs, **size, "bias": bias})


def _between(dims: int, options: MeshNetOptions) -> NetworkDef:
    name = options.activation.upper()
    # In place, because whole volumes are large.
    arguments: dict[str, Any] = {"inplace": True} if options.activation in ("relu", "elu") else {}
    if not options.instance_norm:
        return NetworkDef({"RELU": "torch.nn.ReLU", "ELU": "torch.nn.ELU", "GELU": "torch.nn.GELU"}[name], arguments)
    norm = {"in_channels": options.features, "norm": "INSTANCE", "norm_dim": dims}
    return NetworkDef("monai.networks.blocks.ADN", {"ordering": "NA", "act": [name, arguments], **norm})
