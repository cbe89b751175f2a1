"""The sketch: classical filters and a perceptron, learnt from a few strokes in a second."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from napari_medseg.errors import BundleError
from napari_medseg.models.registry import NetworkDef, register
from napari_medseg.models.spec import ModelSpec

Positive = Annotated[float, Field(gt=0, le=100)]


class SketchOptions(BaseModel):
    """What the pixel classifier looks at."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    scales: Annotated[tuple[Positive, ...], Field(min_length=1)] = (0.7, 1.0, 1.6, 3.5, 7.0)
    """Standard deviations of the filters, in units of the shortest voxel edge."""
    context: tuple[Positive, ...] = ()
    """Standard deviations of filters that tell where in the image a voxel is, in the same units; none for no context.
    A model that was made before there were such filters names none."""
    spacing: tuple[Positive, ...] | None = None
    """Voxel edges of the network's grid in mm, one per dimension; None for voxels of equal edges."""
    bins: Annotated[int, Field(ge=1, le=64)] = 10
    """Pieces in which each feature is encoded."""
    hidden: Annotated[int, Field(ge=1, le=1024)] = 64
    """Width of the perceptron."""
    smoothing: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Standard deviation of a Gaussian over the probabilities, in units of the shortest voxel edge."""


@register(
    "sketch",
    title="Pixel classifier (filters and perceptron)",
    options=SketchOptions,
    citation="Berg et al., ilastik: interactive machine learning for (bio)image analysis, Nature Methods (2019)",
)
def sketch(spec: ModelSpec, options: SketchOptions) -> NetworkDef:
    """Return our own network; other programs need this package to run it."""
    spacing = options.spacing or (1.0,) * spec.dims
    if len(spacing) != spec.dims:
        raise BundleError(
            f"{spec.name}: the spacing {spacing} needs {spec.dims} numbers.", "Correct it, or leave it out."
        )
    return NetworkDef(
        "napari_medseg.models.nets.sketch.SketchNetwork",
        {
            "dims": spec.dims,
            "in_channels": spec.channels,
            "out_channels": len(spec.classes),
            "scales": list(options.scales),
            "edges": [edge / min(spacing) for edge in spacing],
            "context": list(options.context),
            "bins": options.bins,
            "hidden": options.hidden,
            "smoothing": options.smoothing,
        },
    )
