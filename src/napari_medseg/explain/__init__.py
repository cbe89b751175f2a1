"""Why does a model say what it says? Maps on the image's own grid, each with checks of what it is worth.

Importing this package loads no torch; `explain` does when it is called.
"""

from typing import TYPE_CHECKING

from napari_medseg.explain.options import ExplainOptions
from napari_medseg.explain.registry import Method, method_named, methods, register
from napari_medseg.explain.result import ALIKE, DIFFERENT, Curves, Explanation, ExplanationFiles, Sanity, Scores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_medseg.models import Bundle
    from napari_medseg.progress import Control, Event
    from napari_medseg.volume import Volume

__all__ = [
    "ALIKE",
    "DIFFERENT",
    "Curves",
    "ExplainOptions",
    "Explanation",
    "ExplanationFiles",
    "Method",
    "Sanity",
    "Scores",
    "explain",
    "method_named",
    "methods",
    "register",
]


def explain(
    volume: "Volume",
    bundle: "Bundle",
    method: str = "grad-cam",
    target: str | None = None,
    options: ExplainOptions | None = None,
    control: "Control | None" = None,
) -> "Iterator[Event]":
    """Explain what a model says about an image.

    Parameters
    ----------
    volume : Volume
        The image; left as it is.
    bundle : Bundle
        A classification, segmentation or detection, or an ensemble.
    method : str
        One of `methods`.
    target : str, optional
        Name of the class; by default the likeliest, that of the surest box, or a segmentation's first.
    options : ExplainOptions, optional
        How.
    control : Control, optional
        Cancels and pauses, within one batch.

    Yields
    ------
    Event
        `Progress` with the time left, `Note` events, and last `Finished` with an `Explanation`.

    Raises
    ------
    BundleError, ConfigError, DataError
        If the model, the method and the image do not go together, with what to do.
    DeviceError
        If the device is absent or its memory is too small.
    Cancelled
        If `control` was cancelled.
    """
    from napari_medseg.explain.engine import explain as run

    yield from run(volume, bundle, method, target, options, control)
