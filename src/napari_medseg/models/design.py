"""A fitting network for images, before anything was trained: grid, patch, depth, width and intensity rule."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from napari_medseg.models.plan import propose_patch
from napari_medseg.models.spec import BACKGROUND, Intensity, ModelSpec
from napari_medseg.volume import Geometry, LabelClass, Volume

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
FINE_SHARE = 10
"""Percentile of the distances of thick slices that becomes the network's."""
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
    others: Sequence[Geometry | None] = (),
) -> ModelSpec:
    """Return the specification of a new segmentation network for images like `image`.

    Volumes enter it with the voxel size that is typical of all images, whatever their own is: the median along each
    axis, and the 10th percentile along that of thick slices, as in nnU-Net (Isensee et al., Nature Methods 18, 2021).
    A network that sees volumes slice by slice takes voxels as they are.

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
    others : sequence of Geometry or None
        Grids of the other images to learn from; those without geometry are left out.
    """
    design = design or Design()
    dims = 2 if len(image.spatial_shape) == 2 else design.dims
    grids = [grid for grid in (image.geometry, *others) if grid is not None] if image.geometry else []
    axcodes = _axcodes(grids)
    shape, spacing = typical_grid(grids, axcodes) if grids else (image.spatial_shape, (1.0,) * len(image.spatial_shape))
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
        spacing=None if axcodes is None or dims == 2 else (spacing[0], spacing[1], spacing[2]),
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


def _axcodes(grids: Sequence[Geometry]) -> str | None:
    """Return the axes of the network's grid: slices first, seen as the scanner took them."""
    if not grids or grids[0].ndim == 2:
        return None
    spacings = [dict(zip(_upright(grid), grid.spacing, strict=True)) for grid in grids if grid.ndim == 3]
    edges = {code: float(np.median([spacing[code] for spacing in spacings])) for code in "SPL"}
    coarsest = max(edges, key=lambda code: edges[code])
    if edges[coarsest] < THICK_SLICES * min(edges.values()):
        return "SPL"
    return coarsest + "SPL".replace(coarsest, "")


def typical_grid(grids: Sequence[Geometry], axcodes: str | None) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return shape and spacing in mm of a typical image on a network's grid.

    Parameters
    ----------
    grids : sequence of Geometry
        Of the images.
    axcodes : str or None
        Axes of the network's grid; None takes the first grid as it is.
    """
    if axcodes is None:
        return grids[0].shape, grids[0].spacing
    turned = [grid.reoriented(axcodes)[0] for grid in grids if grid.ndim == 3]
    spacings = np.array([grid.spacing for grid in turned])
    spacing = np.median(spacings, axis=0)
    if spacing[0] >= THICK_SLICES * spacing[1:].max():
        spacing[0] = max(np.percentile(spacings[:, 0], FINE_SHARE), spacing[1:].max())
    shape = np.median([grid.shape * spaced / spacing for grid, spaced in zip(turned, spacings, strict=True)], axis=0)
    return tuple(max(1, round(n)) for n in shape.tolist()), tuple(spacing.tolist())


def _upright(grid: Geometry) -> str:
    """Return the letters of "SPL" in the order of a grid's own axes."""
    letter = {"S": "S", "I": "S", "A": "P", "P": "P", "L": "L", "R": "L"}
    return "".join(letter[code] for code in grid.axcodes)
