"""An image with its place in the patient and what is needed to show it right."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import GeometryError
from napari_medseg.volume.classes import LabelClass
from napari_medseg.volume.geometry import Geometry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dask.array import Array as DaskArray


@dataclass(frozen=True, eq=False)
class Volume:
    """An array with geometry. Holds no patient identifiers.

    The array is (..., z, y, x[, colour]): non-spatial axes first, then two or three spatial axes in the order nearest
    to (z, y, x), then colour.
    """

    data: "NDArray[np.generic] | DaskArray"
    """numpy or lazy dask array, in `units`."""
    geometry: Geometry | None
    """Grid of the spatial axes; None if the file says nothing about where its voxels lie."""
    name: str = "image"
    """For the layer list: modality and series number, or the file's stem."""
    kind: Literal["image", "labels"] = "image"
    """Whether values are intensities or class numbers."""
    modality: str | None = None
    """DICOM modality code such as ``"CT"``, when known."""
    units: str | None = None
    """Unit of the values, such as ``"HU"``; None when unknown."""
    window: tuple[float, float] | None = None
    """Lower and upper display limit that the file asks for, in `units`."""
    rgb: bool = False
    """Whether the last axis is colour (3 or 4 channels)."""
    axes: tuple[str, ...] = ()
    """Names of the leading non-spatial axes, such as ``("time",)``."""
    axis_values: "Mapping[str, NDArray[np.float64]]" = field(default_factory=dict)
    """What is known along the first leading axis (length n): ``"time"`` (n,) in s, ``"b_value"`` (n,) in s/mm²,
    ``"b_vector"`` (n, 3) as unit directions in RAS+."""
    classes: tuple[LabelClass, ...] = ()
    """Names and colours of the label values, when the file tells them; always empty for an image."""
    suv_factor: float | None = None
    """For PET: SUVbw in g/ml of one unit of the file, or None when the header does not allow it. Applied to the values
    already if `units` is ``"SUVbw"``."""
    series_id: str | None = None
    """Opaque identifier of the series, followed by ``-2`` and the like if it makes several volumes; says nothing about
    the patient."""
    warnings: tuple[str, ...] = field(default=())
    """What the reader had to decide or could not know, one sentence each."""
    derivation: str = ""
    """What was computed to make the image, such as ``"4 times finer by the model X"``; empty if it is as acquired. It
    is written into files, so that a synthesised image is known for one."""
    source: tuple[Path, ...] = field(default=(), repr=False)
    """DICOM files or folders whose series it was read from or drawn on: what is written as DICOM refers to them. In
    memory only: paths may name the patient, so no file, log or message of ours holds them."""

    path: Path | None = field(default=None, repr=False)
    """File or folder that `napari_medseg.read` read it from, so that a project can refer to it. In memory only, like
    `source`."""

    def __post_init__(self) -> None:
        expected = self.data.shape[len(self.axes) : self.data.ndim - self.rgb]
        if self.geometry is not None and self.geometry.shape != expected:
            raise GeometryError(
                f"{self.name}: the grid has {self.geometry.shape} voxels but the array has {expected} "
                f"after its leading axes {self.axes}."
            )
        if self.geometry is None and len(expected) not in (2, 3):
            raise GeometryError(f"{self.name}: an array of shape {self.data.shape} has no two or three spatial axes.")

    @property
    def affine(self) -> NDArray[np.float64] | None:
        """4x4 matrix from spatial index to RAS+ mm; None without geometry."""
        return None if self.geometry is None else self.geometry.affine

    @property
    def spatial_axes(self) -> tuple[int, ...]:
        """Axis numbers of the spatial axes."""
        return tuple(range(len(self.axes), self.data.ndim - self.rgb))

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Number of voxels along the spatial axes."""
        return tuple(int(n) for n in self.data.shape[len(self.axes) : self.data.ndim - self.rgb])
