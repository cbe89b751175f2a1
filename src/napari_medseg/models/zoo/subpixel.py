"""Residual networks on the coarse grid that answer on a finer one, or on the same."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_medseg.models.registry import NetworkDef, register
from napari_medseg.models.spec import ModelSpec


class SubpixelOptions(BaseModel):
    """Size of the network, and what it undoes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    features: Annotated[int, Field(ge=1, le=512)] = 32
    """Channels of hidden layers."""
    blocks: Annotated[int, Field(ge=1, le=64)] = 6
    """Residual blocks of two convolutions each."""
    factor: Annotated[tuple[Annotated[int, Field(ge=1, le=8)], ...], Field(min_length=2, max_length=3)] = (1, 1, 1)
    """Fine voxels per coarse one along each axis of the network; all 1 for a network that cleans."""
    width: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    """Thickness of the slices in fine voxels along each axis; None: as `factor`, so that slices touch."""
    profile: Literal["gaussian", "box"] = "gaussian"
    """Weight of what lies across a slice."""
    noise: Literal["gaussian", "rician", "poisson"] = "gaussian"
    """Of a network that cleans: the kind of noise, which the image's values are transformed for."""
    turned: bool = False
    """Of a network that cleans: whether it has seen planes in all three orientations of volumes, and is applied so."""


@register(
    "subpixel",
    title="Residual sub-pixel network (EDSR)",
    options=SubpixelOptions,
    tasks=("superresolution", "enhancement"),
    citation="Lim et al., Enhanced deep residual networks for single image super-resolution, CVPR workshops (2017)",
)
def subpixel(spec: ModelSpec, options: SubpixelOptions) -> NetworkDef:
    """Return the network; `spec.dims` numbers are taken of the factors."""
    factor = options.factor if len(options.factor) == spec.dims else (1,) * spec.dims
    width = options.width or tuple(float(value) for value in factor)
    arguments = {
        "dims": spec.dims,
        "channels": spec.channels,
        "features": options.features,
        "blocks": options.blocks,
        "factor": list(factor),
        "width": list(width),
        "profile": options.profile,
    }
    return NetworkDef("napari_medseg.models.nets.subpixel.SubpixelNetwork", arguments)
