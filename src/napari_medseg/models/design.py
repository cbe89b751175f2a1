"""A fitting network for an image, before anything was trained: dimensions, patch, depth, width and intensity rule."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from napari_medseg.models.plan import propose_patch
from napari_medseg.models.spec import BACKGROUND, Intensity, ModelSpec
from napari_medseg.volume import LabelClass, Volume

FEATURES = {"small": 8, "medium": 16, "large": 32}
SKETCH = "sketch"
"""Name of the architecture of the pixel classifier."""
SKETCH_VOXELS_3D, SKETCH_PIXELS_2D = 128**3, 512**2
SKETCH_CONTEXT = (3.5, 7.0, 14.0)
"""Standard deviations of the filters by which a sketch knows where in the image a voxel is, in shortest voxel edges."""
PATCH_VOXELS_3D = {"small": 32**3, "medium": 64**3, "large": 96**3}
PATCH_PIXELS_2D = {"small": 96**2, "medium": 192**2, "large": 320**2}
THICK_SLICES = 3.0
"""From this ratio of the coarsest to the finest voxel edge on, the coarsest axis becomes the network's first."""
HOUNSFIELD = Intensity(kind="window", low=-1000.0, high=1000.0)


class Design(BaseModel):
    """What a user decides about a new network."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    dims: Literal[3, 2] = 3
    """3 sees blocks of the volume; 2 sees one slice at a time, which is faster and suits very thick slices."""
    size: Literal["sketch", "small", "medium", "large"] = "small"
    """Width and patch of the network: small learns within minutes on a laptop, medium and large want a GPU. A sketch is
    no U-Net but a pixel classifier: within a second of each stroke it learns what can be told from the surroundings of
    a voxel, such as tissues."""


def design_spec(
    name: str,
    image: Volume,
    classes: Sequence[LabelClass],
    design: Design | None = None,
    channels: int = 1,
    intensity: Intensity | None = None,
) -> ModelSpec:
    """Return the specification of a new segmentation network for images like `image`.

    Parameters
    ----------
    name : str
        As shown to the user.
    image : Volume
        A typical image; only its grid, modality and units are looked at.
    classes : sequence of LabelClass
        What to segment; background is added if it is not there.
    design : Design, optional
        What the user decided.
    channels : int
        Input channels.
    intensity : Intensity, optional
        Of a network, as found from labelled images; otherwise all Hounsfield units that a scanner stores, or the mean
        and standard deviation of images in other units. A sketch always sees all, since more is painted while it
        learns.
    """
    design = design or Design()
    dims = 2 if len(image.spatial_shape) == 2 else design.dims
    axcodes = _axcodes(image)
    shape, spacing = _grid(image, axcodes)
    foreground = sorted((c for c in classes if c.value), key=lambda c: c.value)
    size = sketch_parts(shape[-dims:], spacing[-dims:])
    if design.size != SKETCH:
        budget = (PATCH_PIXELS_2D if dims == 2 else PATCH_VOXELS_3D)[design.size]
        size = {
            "architecture": "dynunet",
            "options": {"spacing": list(spacing[-dims:]), "features": FEATURES[design.size], "norm": "batch"},
            "patch_size": propose_patch(shape[-dims:], spacing[-dims:], budget),
        }
    return ModelSpec(
        name=name,
        **size,
        dims=dims,
        channels=channels,
        classes=(next((c for c in classes if not c.value), BACKGROUND), *foreground),
        axcodes=axcodes,
        intensity=_intensity(image, None if design.size == SKETCH else intensity),
        modality=image.modality,
    )


def sketch_parts(shape: Sequence[int], spacing: Sequence[float]) -> dict[str, Any]:
    """Return what makes a specification one of a new pixel classifier, for images of a shape and of voxels in mm.

    Its patch is not larger than the image, as what lies beyond the border would be taken for context.
    """
    patch = propose_patch(shape, spacing, SKETCH_PIXELS_2D if len(shape) == 2 else SKETCH_VOXELS_3D)
    return {
        "architecture": SKETCH,
        "options": {"spacing": list(spacing), "context": list(SKETCH_CONTEXT)},
        "patch_size": tuple(min(edge, size) for edge, size in zip(patch, shape, strict=True)),
    }


def _intensity(image: Volume, found: Intensity | None) -> Intensity:
    return found or (HOUNSFIELD if image.units == "HU" else Intensity())


def _axcodes(image: Volume) -> str | None:
    """Return the axes of the network's grid: slices first, seen as the scanner took them."""
    if image.geometry is None or image.geometry.ndim == 2:
        return None
    edges = dict(zip(_upright(image), image.geometry.spacing, strict=True))
    coarsest = max(edges, key=lambda code: edges[code])
    if edges[coarsest] < THICK_SLICES * min(edges.values()):
        return "SPL"
    return coarsest + "SPL".replace(coarsest, "")


def _grid(image: Volume, axcodes: str | None) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return shape and spacing in mm of the image on the network's grid."""
    if image.geometry is None:
        return image.spatial_shape, (1.0,) * len(image.spatial_shape)
    if axcodes is None:
        return image.geometry.shape, image.geometry.spacing
    grid, _ = image.geometry.reoriented(axcodes)
    return grid.shape, grid.spacing


def _upright(image: Volume) -> str:
    """Return the letters of "SPL" in the order of the image's own axes."""
    assert image.geometry is not None
    letter = {"S": "S", "I": "S", "A": "P", "P": "P", "L": "L", "R": "L"}
    return "".join(letter[code] for code in image.geometry.axcodes)
