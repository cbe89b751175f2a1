"""Networks that give one class per image: torchvision's, MONAI's in three dimensions, and small ones."""

from functools import partial
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from napari_medseg.errors import BundleError
from napari_medseg.models.registry import NetworkDef, register
from napari_medseg.models.spec import ModelSpec

TASKS = ("classification",)
TORCHVISION = {
    "resnet18": ("ResNet-18", "He et al., Deep Residual Learning, CVPR (2016)"),
    "resnet34": ("ResNet-34", "He et al., Deep Residual Learning, CVPR (2016)"),
    "resnet50": ("ResNet-50", "He et al., Deep Residual Learning, CVPR (2016)"),
    "densenet121": ("DenseNet-121", "Huang et al., Densely Connected Convolutional Networks, CVPR (2017)"),
    "vgg16": ("VGG-16", "Simonyan and Zisserman, Very Deep Convolutional Networks, ICLR (2015)"),
    "vgg16_bn": (
        "VGG-16 with batch normalisation",
        "Simonyan and Zisserman, Very Deep Convolutional Networks, ICLR (2015)",
    ),
    "inception_v3": ("Inception v3", "Szegedy et al., Rethinking the Inception Architecture, CVPR (2016)"),
    "efficientnet_b0": ("EfficientNet-B0", "Tan and Le, EfficientNet, ICML (2019)"),
    "convnext_tiny": ("ConvNeXt-T", "Liu et al., A ConvNet for the 2020s, CVPR (2022)"),
    "vit_b_16": ("ViT-B/16", "Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR (2021)"),
    "squeezenet1_0": ("SqueezeNet 1.0", "Iandola et al., SqueezeNet, arXiv 1602.07360 (2016)"),
    "squeezenet1_1": ("SqueezeNet 1.1", "Iandola et al., SqueezeNet, arXiv 1602.07360 (2016)"),
}
"""Title and citation by name in ``torchvision.models``."""
SMALLEST = {"inception_v3": 75, "squeezenet1_0": 21, "squeezenet1_1": 17}
"""Fewest pixels along an edge; 32 for the others."""


PLAIN_SHORTCUTS = (18, 34)
"""Depths of MedicalNet's networks whose shortcuts have no weights."""


class TorchvisionOptions(BaseModel):
    """What may be set of a network of torchvision."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Before the last layer, where the network has it; None for its own."""


class WidthOptions(BaseModel):
    """Size of a small network."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    width: Annotated[int, Field(ge=1, le=256)] = 32
    """Channels of the first stage; each stage has twice as many as the one before."""


class TransformerOptions(BaseModel):
    """Size of a vision transformer for volumes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    patch: Annotated[int, Field(ge=2, le=64)] = 16
    """Edge in voxels of the pieces that it looks at; image sizes must be multiples of it."""
    hidden: Annotated[int, Field(ge=12, le=1536, multiple_of=12)] = 384
    """Numbers per piece."""
    layers: Annotated[int, Field(ge=1, le=24)] = 8
    """Transformer blocks."""


class NoOptions(BaseModel):
    """Nothing can be set."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def torchvision(network: str, spec: ModelSpec, options: TorchvisionOptions) -> NetworkDef:
    """Return a network of ``torchvision.models``."""
    fewest = SMALLEST.get(network, 32)
    if min(spec.patch_size) < fewest:
        raise BundleError(
            f"{spec.name}: {network} needs images of at least {fewest} pixels; got {spec.patch_size}.",
            f"Set image_size to {fewest} or more, or choose resnet18_small.",
        )
    if network.startswith("vit") and (spec.patch_size[0] != spec.patch_size[1] or spec.patch_size[0] % 16):
        raise BundleError(f"{spec.name}: {network} needs square images of a multiple of 16 pixels.", "Set image_size.")
    return NetworkDef(
        "napari_medseg.models.nets.classifiers.torchvision_network",
        {
            "network": network,
            "channels": spec.channels,
            "classes": spec.outputs,
            "size": spec.patch_size[0],
            "dropout": options.dropout,
        },
    )


for _name, (_title, _citation) in TORCHVISION.items():
    register(
        _name, title=f"{_title} (torchvision)", options=TorchvisionOptions, dims=(2,), citation=_citation, tasks=TASKS
    )(partial(torchvision, _name))


@register(
    "resnet18_small",
    title="ResNet-18 for small images",
    options=WidthOptions,
    dims=(2,),
    citation="Yang et al., MedMNIST v2, Scientific Data 10:41 (2023)",
    tasks=TASKS,
)
def resnet18_small(spec: ModelSpec, options: WidthOptions) -> NetworkDef:
    """Return the ResNet-18 for images of about 28 pixels; a width of 64 is MedMNIST's."""
    sizes = {"channels": spec.channels, "classes": spec.outputs, "width": options.width}
    return NetworkDef("napari_medseg.models.nets.classifiers.small_resnet", sizes)


@register("cnn_small", title="Small plain CNN", options=WidthOptions, tasks=TASKS)
def cnn_small(spec: ModelSpec, options: WidthOptions) -> NetworkDef:
    """Return four convolutions."""
    sizes = {"dims": spec.dims, "channels": spec.channels, "classes": spec.outputs, "width": options.width}
    return NetworkDef("napari_medseg.models.nets.classifiers.small_cnn", sizes)


def monai_resnet(depth: int, spec: ModelSpec, _options: NoOptions) -> NetworkDef:
    """Return MONAI's ResNet for volumes."""
    # The shortcuts are those of MedicalNet, so that its weights fit.
    sizes = {
        "spatial_dims": 3,
        "n_input_channels": spec.channels,
        "num_classes": spec.outputs,
        "shortcut_type": "A" if depth in PLAIN_SHORTCUTS else "B",
        "bias_downsample": False,
    }
    return NetworkDef(f"monai.networks.nets.resnet{depth}", sizes)


for _depth in (10, 18, 34, 50):
    register(
        f"resnet{_depth}_3d",
        title=f"ResNet-{_depth} for volumes (MONAI)",
        options=NoOptions,
        dims=(3,),
        citation="Chen et al., Med3D, arXiv 1904.00625 (2019)",
        tasks=TASKS,
    )(partial(monai_resnet, _depth))


@register(
    "densenet121_3d",
    title="DenseNet-121 for volumes (MONAI)",
    options=NoOptions,
    dims=(3,),
    citation="Huang et al., Densely Connected Convolutional Networks, CVPR (2017)",
    tasks=TASKS,
)
def densenet121_3d(spec: ModelSpec, _options: NoOptions) -> NetworkDef:
    """Return MONAI's DenseNet for volumes."""
    sizes = {"spatial_dims": 3, "in_channels": spec.channels, "out_channels": spec.outputs}
    return NetworkDef("monai.networks.nets.DenseNet121", sizes)


@register(
    "vit_3d",
    title="Vision transformer for volumes (MONAI)",
    options=TransformerOptions,
    dims=(3,),
    citation="Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR (2021)",
    tasks=TASKS,
)
def vit_3d(spec: ModelSpec, options: TransformerOptions) -> NetworkDef:
    """Return MONAI's vision transformer with a class token."""
    if any(edge % options.patch for edge in spec.patch_size):
        raise BundleError(
            f"{spec.name}: volumes of {spec.patch_size} voxels are no multiples of {options.patch}.", "Set image_size."
        )
    sizes = {
        "channels": spec.channels,
        "classes": spec.outputs,
        "size": list(spec.patch_size),
        "patch": options.patch,
        "hidden": options.hidden,
        "layers": options.layers,
    }
    return NetworkDef("napari_medseg.models.nets.volume_transformer.VolumeTransformer", sizes)
