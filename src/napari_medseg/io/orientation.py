"""The one array order of this package: spatial axes nearest to (z, y, x)."""

from dataclasses import replace

from napari_medseg.volume import Volume


def nearest_zyx(volume: Volume) -> Volume:
    """Return the volume with its spatial axes transposed, never flipped, to be nearest to (z, y, x); a view."""
    if volume.geometry is None:
        return volume
    order = volume.geometry.axes_nearest_zyx()
    lead = len(volume.axes)
    axes = (*range(lead), *(lead + axis for axis in order), *range(lead + len(order), volume.data.ndim))
    return replace(volume, data=volume.data.transpose(axes), geometry=volume.geometry.transposed(order))
