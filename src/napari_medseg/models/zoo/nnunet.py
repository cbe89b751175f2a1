"""Networks that nnU-Net trained: all folds of a model as one network that gives their mean logits."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_medseg.models.registry import NetworkDef, register
from napari_medseg.models.spec import ModelSpec

Network = Literal["PlainConvUNet", "ResidualEncoderUNet", "ResidualUNet"]


class NnUNetOptions(BaseModel):
    """A network of nnU-Net's plans."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    network: Network = "PlainConvUNet"
    """Name in ``dynamic_network_architectures.architectures.unet``."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Its keyword arguments, as in nnU-Net's plans; layers by their names in ``torch.nn``."""
    folds: Annotated[int, Field(ge=1, le=100)] = 1
    """How many networks with weights of their own."""
    mirror_axes: tuple[Literal[0, 1, 2], ...] = ()
    """Axes of a tile along which it is also seen mirrored, in all combinations."""


@register(
    "nnunet",
    title="Network trained by nnU-Net v2",
    options=NnUNetOptions,
    citation="Isensee et al., nnU-Net: a self-configuring method for deep learning-based biomedical image "
    "segmentation, Nature Methods 18 (2021)",
)
def nnunet(spec: ModelSpec, options: NnUNetOptions) -> NetworkDef:
    """Return the mean of the folds."""
    return NetworkDef(
        "napari_medseg.models.nnunet_network.MeanOfFolds",
        {
            "network": options.network,
            "arguments": options.arguments | {"input_channels": spec.channels, "num_classes": spec.outputs},
            "folds": options.folds,
            "mirror_axes": list(options.mirror_axes),
        },
    )
