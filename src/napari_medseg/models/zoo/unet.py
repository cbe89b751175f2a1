"""MONAI's residual U-Net: cheap, with strided convolutions and a fixed factor of two between stages."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from napari_medseg.errors import BundleError
from napari_medseg.models.registry import NetworkDef, register
from napari_medseg.models.spec import ModelSpec


class UNetOptions(BaseModel):
    """Size of the network."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    features: Annotated[int, Field(ge=1, le=512)] = 16
    """Channels of the finest stage; each stage has twice as many as the one before."""
    stages: Annotated[int, Field(ge=2, le=7)] = 4
    """Number of resolutions; the patch is halved one time less."""
    residual_units: Annotated[int, Field(ge=0, le=4)] = 2
    """Convolutions per residual unit; 0 for plain convolutions."""


@register(
    "unet",
    title="Residual U-Net (MONAI)",
    options=UNetOptions,
    citation="Kerfoot et al., Left-Ventricle Quantification Using Residual U-Net, STACOM (2018)",
)
def unet(spec: ModelSpec, options: UNetOptions) -> NetworkDef:
    """Return MONAI's UNet."""
    divisor = 2 ** (options.stages - 1)
    if any(n % divisor for n in spec.patch_size):
        raise BundleError(
            f"{spec.name}: {options.stages} stages need a patch of multiples of {divisor}; got {spec.patch_size}.",
            "Change the patch size or the number of stages.",
        )
    return NetworkDef(
        "monai.networks.nets.UNet",
        {
            "spatial_dims": spec.dims,
            "in_channels": spec.channels,
            "out_channels": len(spec.classes),
            "channels": [options.features * 2**i for i in range(options.stages)],
            "strides": [2] * (options.stages - 1),
            "num_res_units": options.residual_units,
        },
    )
