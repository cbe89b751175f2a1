"""What is kept with the voxels of a label map: its grid and its classes, and no name."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_medseg.volume import Geometry, LabelClass, Volume


def header_of(labels: Volume) -> dict[str, Any]:
    """Return grid, leading axes and classes of a label map, as JSON can hold them."""
    return {
        "geometry": None if labels.geometry is None else labels.geometry.to_dict(),
        "axes": list(labels.axes),
        "classes": [entry.model_dump() for entry in labels.classes],
    }


def labels_from(data: NDArray[np.integer], header: Mapping[str, Any], name: str) -> Volume:
    """Return the label map of some voxels and what `header_of` said of them."""
    grid = header["geometry"]
    return Volume(
        data,
        None if grid is None else Geometry.from_dict(grid),
        name=name,
        kind="labels",
        axes=tuple(header["axes"]),
        classes=tuple(LabelClass(**entry) for entry in header["classes"]),
    )
