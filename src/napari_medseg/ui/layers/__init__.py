"""The only translation between volumes and predictions on one side and napari's layers on the other."""

from napari_medseg.ui.layers.adding import Placed, add_layers, place
from napari_medseg.ui.layers.annotations import (
    annotation_of,
    model_of,
    own_shape,
    set_annotation,
    set_model,
    training_labels,
)
from napari_medseg.ui.layers.classes import (
    PAINTED_BACKGROUND,
    class_display,
    classes_of,
    set_classes,
    set_measures,
)
from napari_medseg.ui.layers.edits import (
    Rewrite,
    announce,
    history_of,
    own_labels,
    painted_background,
    redo,
    rewrite,
    undo,
)
from napari_medseg.ui.layers.images import LayerTuple, geometry_of, image_volume, to_layer_tuples, widen_contrast_range
from napari_medseg.ui.layers.labels import labels_on, labels_volume
from napari_medseg.ui.layers.pairs import image_of
from napari_medseg.ui.layers.previews import doubt_layer, doubt_of, preview_layer, show_preview
from napari_medseg.ui.layers.results import (
    add_map,
    add_prediction,
    new_labels,
    overlay,
    painted_labels,
)
from napari_medseg.ui.layers.surfaces import add_surface
from napari_medseg.ui.layers.tag import KEY, Tag, frame_of, tag_of
from napari_medseg.ui.layers.views import Plane, go_to, go_to_slice, show_plane, visible_slice, voxel_at
from napari_medseg.ui.layers.world import Frame

__all__ = [
    "KEY",
    "PAINTED_BACKGROUND",
    "Frame",
    "LayerTuple",
    "Placed",
    "Plane",
    "Rewrite",
    "Tag",
    "add_layers",
    "add_map",
    "add_prediction",
    "add_surface",
    "annotation_of",
    "announce",
    "class_display",
    "classes_of",
    "doubt_layer",
    "doubt_of",
    "frame_of",
    "geometry_of",
    "go_to",
    "go_to_slice",
    "history_of",
    "image_of",
    "image_volume",
    "labels_on",
    "labels_volume",
    "model_of",
    "new_labels",
    "overlay",
    "own_labels",
    "own_shape",
    "painted_background",
    "painted_labels",
    "place",
    "preview_layer",
    "redo",
    "rewrite",
    "set_annotation",
    "set_classes",
    "set_measures",
    "set_model",
    "show_plane",
    "show_preview",
    "tag_of",
    "to_layer_tuples",
    "training_labels",
    "undo",
    "visible_slice",
    "voxel_at",
    "widen_contrast_range",
]
