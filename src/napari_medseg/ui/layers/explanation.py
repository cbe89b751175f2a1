"""How an explanation is shown over its image: colours that leave what says nothing transparent."""

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import Colormap

from napari_medseg.ui.layers.results import add_map

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_medseg.explain import Scores
    from napari_medseg.volume import Volume

SCORES = "napari_medseg_explanation"
"""Where the layer of a map keeps what is known of it, in ``layer.metadata``: JSON values."""
AGAINST, FOR, STRONG = (0.10, 0.35, 0.95), (0.95, 0.15, 0.10), (1.0, 0.9, 0.2)
STEPS = 65
CLEAR_SHARE = 0.1
"""Of the largest magnitude, below which nothing is drawn."""


def add_explanation(viewer: "ViewerModel", image: "Image", shown: "Volume", scores: "Scores") -> "Image":
    """Show a map over its image, in place of an earlier one of the same method, class and model.

    Parameters
    ----------
    viewer : ViewerModel
        Where `image` is.
    image : Image
        What was explained.
    shown : Volume
        The map, on the grid of the image's volume.
    scores : Scores
        What is known of it; kept in the layer's metadata.
    """
    look: dict[str, Any] = {
        "colormap": diverging() if scores.signed else rising(),
        "blending": "translucent",
        "contrast_limits": shown.window,
        "interpolation2d": "linear",
        "opacity": 1.0 if scores.signed else 0.6,
    }
    layer = add_map(viewer, image, shown, look)
    layer.metadata = {**layer.metadata, SCORES: scores.to_dict()}
    return layer


def diverging() -> Colormap:
    """Return blue for what speaks against, red for what speaks for it, and nothing in the middle."""
    values = np.linspace(-1, 1, STEPS)
    colours = np.where(values[:, None] < 0, AGAINST, FOR)
    return Colormap(_with_alpha(colours, np.abs(values)), name="medseg for and against")


def rising() -> Colormap:
    """Return nothing to red to yellow."""
    values = np.linspace(0, 1, STEPS)
    colours = np.array(FOR) + values[:, None] ** 2 * (np.array(STRONG) - np.array(FOR))
    return Colormap(_with_alpha(colours, values), name="medseg for")


def _with_alpha(colours: "NDArray[np.float64]", magnitudes: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return (n, 4) colours that are as opaque as what they stand for is strong."""
    alpha = np.clip((magnitudes - CLEAR_SHARE) / (1 - CLEAR_SHARE), 0, 1)
    return np.column_stack([colours, alpha])
