"""Surfaces of classes as layers, where the labels are."""

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Surface
from napari.utils.colormaps import Colormap

from napari_medseg.ui.layers.edits import own_labels
from napari_medseg.ui.layers.tag import spatial_transform, tag_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_medseg.results import Mesh

SURFACE_OF = "napari_medseg_surface_of"
"""Where a surface layer remembers the labels layer and the class that it was made from, in ``layer.metadata``."""


def add_surface(viewer: "ViewerModel", layer: "Labels", mesh: "Mesh") -> Surface:
    """Show a surface of a class of `layer`, in place of one that was shown before, and return its layer.

    Parameters
    ----------
    viewer : ViewerModel
        Where `layer` is.
    layer : Labels
        What the surface was made from.
    mesh : Mesh
        From the labels that `own_labels` returns; RAS+ mm.
    """
    source = (layer.unique_id, mesh.entry.value)
    for earlier in [other for other in viewer.layers if other.metadata.get(SURFACE_OF) == source]:
        viewer.layers.remove(earlier)
    points = world_points(layer, viewer, mesh.vertices.astype(np.float64)).astype(np.float32)
    colors = [mesh.entry.color, mesh.entry.color]
    shown = Surface(
        (points, mesh.faces),
        colormap=Colormap(colors, name=mesh.entry.name),
        shading="smooth",
        name=f"{layer.name} {mesh.entry.name}",
        units=layer.units[-3:],
        axis_labels=layer.axis_labels[-3:],
        metadata={SURFACE_OF: source},
    )
    viewer.add_layer(shown)
    return shown


def world_points(layer: "Labels", viewer: "ViewerModel", points_ras: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return where points of the patient are in the world of the viewer.

    Parameters
    ----------
    layer : Labels
        Whose place counts: also where it was moved to.
    viewer : ViewerModel
        Where `layer` is.
    points_ras : (n, 3) array
        RAS+ mm of the grid that `own_labels` gives; (x, y, z) indices for labels without geometry.

    Returns
    -------
    (n, 3) array
        World coordinates.
    """
    tag = tag_of(layer)
    if tag is not None and tag.shown_on is not None:
        return np.asarray(points_ras @ tag.frame.world_from_ras.T)
    geometry = own_labels(layer, viewer.layers).geometry
    index = points_ras[:, ::-1] if geometry is None else geometry.to_index(points_ras)
    matrix = spatial_transform(layer, 3)
    return np.asarray(index @ matrix[:, :3].T + matrix[:, 3])
