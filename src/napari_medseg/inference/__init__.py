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
    """Predict on an image; see `napari_medseg.inference.engine.predict`."""
    from napari_medseg.inference.engine import predict as run

    yield from run(volume, bundle, options, control)
