"""Several volumes in one world, and their layers in the viewer."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_medseg.ui.layers.images import LayerTuple, to_layer_tuples, widen_contrast_range
from napari_medseg.ui.layers.tag import KEY, Tag

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_medseg.ui.layers.world import Frame
    from napari_medseg.volume import Volume


@dataclass(frozen=True)
class Placed:
    """Layers to be, with what the user should know of them."""

    tuples: list[LayerTuple]
    notes: list[str]
    """What the reader had to decide, one sentence each, with the name of the volume."""
    frame: "Frame | None"
    """The world's axes from now on; None as long as no volume has a geometry."""


def place(volumes: "Iterable[Volume]", frame: "Frame | None") -> Placed:
    """Return the layers of several volumes in one world.

    Parameters
    ----------
    volumes : iterable of Volume
        The first with a geometry sets the world's axes if there are none yet.
    frame : Frame or None
        The world's axes.
    """
    layers: list[LayerTuple] = []
    for volume in volumes:
        for layer in to_layer_tuples(volume, frame):
            tag: Tag = layer[1]["metadata"][KEY]
            if frame is None and tag.sets_frame:
                frame = tag.frame
            layers.append(layer)
    return Placed(layers, notes_on(layers), frame)


def notes_on(layers: "Iterable[LayerTuple]") -> list[str]:
    """Return the warnings about volumes, each with the name of its volume."""
    tags: list[Tag] = [layer[1]["metadata"][KEY] for layer in layers]
    return [_named(tag.volume.name, warning) for tag in tags for warning in tag.volume.warnings]


def _named(name: str, warning: str) -> str:
    return warning if warning.startswith(name) else f"{name}: {warning}"


def add_layers(viewer: "ViewerModel", layers: "Iterable[LayerTuple]") -> "list[Layer]":
    """Add layers to a viewer; the contrast sliders of images reach all values."""
    from napari.layers import Layer

    added = [viewer.add_layer(Layer.create(*layer)) for layer in layers]
    for layer in added:
        widen_contrast_range(layer)
    return added
