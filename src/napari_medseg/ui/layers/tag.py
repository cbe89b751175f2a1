"""What our layers remember of the volume that they show."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_medseg.ui.layers.world import Frame
from napari_medseg.volume import Geometry, Volume

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from napari.layers import Layer
    from numpy.typing import NDArray

KEY = "napari_medseg"
"""Where a layer's tag is in ``layer.metadata``."""

Role = Literal["opened", "painted", "prediction", "preview"]


@dataclass(frozen=True, eq=False)
class Tag:
    """The volume behind a layer, on its own exact grid."""

    volume: Volume
    """As it was read or made. Its array is the layer's own, unless the layer shows a resampled copy."""
    frame: Frame
    """The world's axes in the patient, as they were when the layer was made."""
    shown_on: Geometry | None = None
    """Grid along the world's axes that a series which does not fit the frame is resampled to; None for all others."""
    lies: "NDArray[np.float64] | None" = None
    """(n, n + 1) matrix from spatial index to world mm of a layer on a foreign image, which may lie askew; None for all
    that lie along the world's axes."""
    role: Role = "opened"
    """What the layer is for. A ``prediction`` may be replaced by the next one; the user's stroke makes it
    ``painted``, which nothing of ours ever overwrites."""
    image: "Hashable | None" = None
    """Identifier of the image layer that a prediction or preview belongs to."""
    layer: "Hashable | None" = None
    """Identifier of the layer that was made with this tag: a duplicate is the user's own."""

    @property
    def sets_frame(self) -> bool:
        """Whether series that are opened later are shown along this one's axes: not for planes, nor without a grid."""
        return self.geometry is not None and self.geometry.ndim == 3

    @property
    def geometry(self) -> Geometry | None:
        """The exact grid of the volume."""
        return self.volume.geometry

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels of the layer along its spatial axes."""
        return self.volume.spatial_shape if self.shown_on is None else self.shown_on.shape

    @property
    def transform(self) -> "NDArray[np.float64]":
        """(n, n + 1) matrix from spatial index to world mm that the layer has as long as nobody moves it."""
        grid = self.shown_on or self.geometry
        if self.lies is not None:
            return self.lies
        if grid is None:
            return np.eye(len(self.shape), len(self.shape) + 1)
        placement = self.frame.place(grid)
        return np.column_stack([np.diag(placement.scale), placement.translate])


def tag_of(layer: "Layer") -> Tag | None:
    """Return the tag of a layer that still lies where it was put; None for foreign, moved or reshaped layers."""
    tag = layer.metadata.get(KEY)
    if not isinstance(tag, Tag):
        return None
    shape = tag.shape
    if layer.ndim < len(shape) or spatial_shape(layer, len(shape)) != shape:
        return None
    return tag if same_place(spatial_transform(layer, len(shape)), tag.transform, shape) else None


def frame_of(layers: "Iterable[Layer]") -> Frame | None:
    """Return the frame that the first of our layers set; None when there is none, so that the next series sets it."""
    for layer in layers:
        tag = layer.metadata.get(KEY)
        if isinstance(tag, Tag) and tag.sets_frame:
            return tag.frame
    return None


def spatial_shape(layer: "Layer", count: int) -> tuple[int, ...]:
    """Return the number of voxels along the last `count` axes of an image or labels layer, at full resolution."""
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    return tuple(int(n) for n in data.shape[layer.ndim - count : layer.ndim])


def spatial_transform(layer: "Layer", count: int) -> "NDArray[np.float64]":
    """Return the (count, count + 1) matrix from index to world mm along a layer's last `count` axes.

    Numbers without a length unit are taken as mm.
    """
    origin = np.array(layer.data_to_world(np.zeros(layer.ndim)))[-count:]
    corners = [np.array(layer.data_to_world(step))[-count:] for step in np.eye(layer.ndim)[-count:]]
    millimetres = np.array([_millimetres(unit) for unit in layer.units[-count:]])
    return np.asarray(np.column_stack([*(corner - origin for corner in corners), origin]) * millimetres[:, None])


def _millimetres(unit: Any) -> float:  # noqa: ANN401 - pint's units are not typed
    return float((1 * unit).to("mm").magnitude) if unit.is_compatible_with("mm") else 1.0


def same_place(
    one: "NDArray[np.float64]", other: "NDArray[np.float64]", shape: tuple[int, ...], voxels: float = 1e-3
) -> bool:
    """Return whether two (n, n + 1) index-to-world matrices put all corners of `shape` within a part of a voxel."""
    count = len(shape)
    corners = np.indices((2,) * count).reshape(count, -1).T * (np.array(shape) - 1)
    difference = one - other
    apart = np.abs(corners @ difference[:, :count].T + difference[:, count])
    return bool(apart.max() <= voxels * np.linalg.norm(other[:, :count], axis=0).min())
