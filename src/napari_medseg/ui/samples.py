"""The entries of napari's File > Open Sample menu."""

from typing import TYPE_CHECKING

from napari_medseg.data import phantom, samples
from napari_medseg.ui.readers import layers_for_viewer

if TYPE_CHECKING:
    from napari_medseg.ui.layers import LayerTuple


def mni152() -> "list[LayerTuple]":
    """Return the MNI152 T1 brain template and, hidden, its grey and white matter maps."""
    brain, *maps = layers_for_viewer(samples.mni152())
    for (_, keywords, _), color in zip(maps, ("red", "yellow"), strict=True):
        keywords.update(visible=False, colormap=color, blending="additive")
    return [brain, *maps]


def ct_slice() -> "list[LayerTuple]":
    """Return one slice of a CT."""
    return layers_for_viewer(samples.ct_slice())


def ct_phantom() -> "list[LayerTuple]":
    """Return a generated CT with organs and lesions, and its reference labels."""
    return layers_for_viewer(phantom.ct_phantom())
