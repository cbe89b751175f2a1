"""What our own TIFF files say beyond OME."""

from typing import Any

from napari_medseg.io.extras import Extras


class TiffExtras(Extras):
    """Place in the patient and exact shape, which OME has no field for."""

    geometry: dict[str, Any] | None = None
    """As from `Geometry.to_dict`."""
    shape: tuple[int, ...] = ()
    """Of the whole array, axes of length one included."""
