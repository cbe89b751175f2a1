"""Networks that undo a blur of known width."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from napari_medseg.models.registry import NetworkDef, register
from napari_medseg.models.spec import ModelSpec


class UnrolledOptions(BaseModel):
    """Size of the network, and the blur that it undoes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    features: Annotated[int, Field(ge=1, le=512)] = 16
    """Channels of hidden layers."""
    rounds: Annotated[int, Field(ge=1, le=64)] = 6
    """Steps of gradient descent, each followed by a small network."""
    width: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=2, max_length=3)] = (2.0, 2.0, 2.0)
    """Full width at half maximum of the blur in voxels along each axis of the network."""
    blur_mm: Annotated[float, Field(gt=0)] | None = None
    """The same in mm, for images of other spacings; None where images have no geometry."""


@register(
    "unrolled",
    title="Unrolled proximal gradient descent",
    options=UnrolledOptions,
    tasks=("enhancement",),
    citation="Adler and Öktem, Solving ill-posed inverse problems using iterative deep neural networks, Inverse "
    "Problems 33 (2017)",
)
def unrolled(spec: ModelSpec, options: UnrolledOptions) -> NetworkDef:
    """Return the network; `spec.dims` numbers are taken of the widths."""
    arguments = {
        "dims": spec.dims,
        "width": list(options.width[-spec.dims :]),
        "features": options.features,
        "rounds": options.rounds,
    }
    return NetworkDef("napari_medseg.models.nets.unrolled.UnrolledNetwork", arguments)
