"""Boxes around things: from and to drawings, label maps and the files that others use, and the images they are on.

Everything here speaks of boxes as `napari_medseg.prediction.Boxes` does: edges in voxels of the image's own grid, where
the voxel of index i reaches from i to i + 1.
"""

from napari_medseg.data.boxes.components import boxes_of_labels, labels_of_boxes
from napari_medseg.data.boxes.drawing import boxes_of_rectangles, rectangles_of_boxes
from napari_medseg.data.boxes.grids import clipped, flipped, onto_grid, transposed
from napari_medseg.data.boxes.listing import BoxedImages, find_boxed
from napari_medseg.data.boxes.source import BoxSource, read_boxes
from napari_medseg.data.boxes.spheres import Sphere, box_of_sphere, sphere_of_box

__all__ = [
    "BoxSource",
    "BoxedImages",
    "Sphere",
    "box_of_sphere",
    "boxes_of_labels",
    "boxes_of_rectangles",
    "clipped",
    "find_boxed",
    "flipped",
    "labels_of_boxes",
    "onto_grid",
    "read_boxes",
    "rectangles_of_boxes",
    "sphere_of_box",
    "transposed",
]
