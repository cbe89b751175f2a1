"""From a volume and a model to a prediction on the volume's own grid.

Importing this package loads no torch; `predict` does when it is called, as do `preprocess` and `preview`.
"""

from typing import TYPE_CHECKING

from napari_medseg.inference.jobs import PredictionFiles
from napari_medseg.inference.options import PredictOptions
from napari_medseg.inference.placement import Placement
from napari_medseg.inference.volumes import volumes_ml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_medseg.models import Bundle
    from napari_medseg.progress import Control, Event
    from napari_medseg.volume import Volume

__all__ = ["Placement", "PredictOptions", "PredictionFiles", "predict", "volumes_ml"]


def predict(
    volume: "Volume", bundle: "Bundle", options: PredictOptions | None = None, control: "Control | None" = None
) -> "Iterator[Event]":
    """Predict on an image.

    Parameters
    ----------
    volume : Volume
        The image; left as it is.
    bundle : Bundle
        The model.
    options : PredictOptions, optional
        How to predict.
    control : Control, optional
        Cancels and pauses, within one batch of tiles.

    Yields
    ------
    Event
        `Progress` with the time left per batch, `Note` events, and last `Finished` with a `Prediction` on the
        image's own grid.

    Raises
    ------
    BundleError, DataError
        If the model is damaged or does not fit the image.
    DeviceError
        If the device is absent or its memory is too small.
    Cancelled
        If `control` was cancelled.
    """
    from napari_medseg.inference.engine import predict as run

    yield from run(volume, bundle, options, control)
