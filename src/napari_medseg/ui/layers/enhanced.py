"""A computed image beside the one that it was made from."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_medseg.ui.layers.adding import add_layers
from napari_medseg.ui.layers.images import to_layer_tuples
from napari_medseg.ui.layers.tag import frame_of
from napari_medseg.volume import Volume
from napari_medseg.volume.frames import frames_of, joined
from napari_medseg.volume.sampling import AxisSampling, finer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.components import ViewerModel

    Report = Mapping[str, float]

ENHANCED = "napari_medseg_enhanced"
"""Where a computed layer says what was done, in ``layer.metadata``: text and plain numbers."""
DIFFERS = "Result minus original"
DIFFERENCE_LOOK = {"colormap": "PiYG", "blending": "translucent", "visible": False}
UNCERTAIN_LOOK = {"colormap": "inferno", "blending": "translucent", "visible": False}


@dataclass(frozen=True, eq=False)
class Enhanced:
    """The images that come of one enhancement."""

    result: Volume
    difference: Volume
    """Result minus the original, which is interpolated where the result is finer."""
    spread: Volume | None
    """Where the result is uncertain."""
    report: dict[str, float]


def enhanced_of(original: Volume, result: Volume, spread: Volume | None, report: dict[str, float]) -> Enhanced:
    """Return the images to be shown.

    Parameters
    ----------
    original : Volume
        What was enhanced, or the part of it that was.
    result : Volume
        What came of it, on the same grid or a finer one over the same place.
    spread : Volume, optional
        Map of uncertainty, on the result's grid.
    report : dict
        What is known of the result.
    """
    pairs = zip(result.spatial_shape, original.spatial_shape, strict=True)
    axes = [AxisSampling(fine / coarse) for fine, coarse in pairs]
    before = joined([finer(_values(frame), axes) for frame in frames_of(original)], original)
    difference = _values(result) - before.astype(np.float32)
    if original.rgb:
        difference = difference.mean(-1)
    largest = float(np.nanquantile(np.abs(difference), 0.999)) or 1.0
    name = f"{original.name} difference"
    shown = replace(result, data=difference, rgb=False, name=name, window=(-largest, largest), derivation=DIFFERS)
    top = 0.0 if spread is None else float(np.nanquantile(np.asarray(spread.data), 0.999)) or 1.0
    return Enhanced(result, shown, None if spread is None else replace(spread, window=(0.0, top)), report)


def _values(volume: Volume) -> NDArray[np.float32]:
    return np.asarray(volume.data).astype(np.float32)


def add_enhanced(viewer: "ViewerModel", original: "Image", found: Enhanced) -> "Image":
    """Show a computed image above its original with one contrast for both, and the maps, hidden, above it.

    A result of the same name is replaced. The layer's metadata says that and how it was computed.
    """
    maps = [found.difference, *([] if found.spread is None else [found.spread])]
    for volume, look in zip(maps, (DIFFERENCE_LOOK, UNCERTAIN_LOOK), strict=False):
        add_map(viewer, volume, look, found.report)
    look = {"contrast_limits": original.contrast_limits, "colormap": original.colormap.name}
    result = add_map(viewer, found.result, look, found.report)
    viewer.layers.link_layers([original, result], ("contrast_limits", "gamma"))
    viewer.layers.selection.active = result
    return result


def add_map(
    viewer: "ViewerModel", volume: Volume, look: "Mapping[str, object]" = UNCERTAIN_LOOK, report: "Report | None" = None
) -> "Image":
    """Show what was computed from an image; a layer of ours of the same name is replaced.

    Parameters
    ----------
    viewer : ViewerModel
        Where.
    volume : Volume
        What was computed.
    look : mapping
        How the layer looks.
    report : mapping, optional
        What is known of it; goes into the layer's metadata, with how it was made.
    """
    for old in [layer for layer in viewer.layers if layer.name == volume.name and is_enhanced(layer)]:
        viewer.layers.remove(old)
    ((data, about, kind),) = to_layer_tuples(volume, frame_of(viewer.layers))
    about["metadata"] = {**about["metadata"], ENHANCED: {"derivation": volume.derivation, **(report or {})}}
    (layer,) = add_layers(viewer, [(data, {**about, **look}, kind)])
    assert isinstance(layer, Image)
    return layer


def is_enhanced(layer: object) -> bool:
    """Return whether a layer was computed by `add_enhanced`."""
    return ENHANCED in getattr(layer, "metadata", {})


def compare_side_by_side(viewer: "ViewerModel", wanted: bool) -> None:
    """Show original, result, difference and uncertainty in a grid, or the result alone above the original."""
    maps = [layer for layer in viewer.layers if is_enhanced(layer) and "synthesised" not in layer.name]
    for layer in maps:
        layer.visible = wanted
    viewer.canvas.grid.stride = 1
    viewer.canvas.grid.enabled = wanted
    viewer.reset_view()
