"""Predicting with a model as one step of another prediction."""

from collections.abc import Generator

from napari_medseg.inference.engine import predict
from napari_medseg.inference.options import PredictOptions
from napari_medseg.inference.postprocess import PostProcessing
from napari_medseg.models import Bundle
from napari_medseg.prediction import Prediction
from napari_medseg.progress import Control, Event, Finished, Progress
from napari_medseg.volume import Volume


def member_prediction(
    volume: Volume, member: Bundle, options: PredictOptions, control: Control, number: int, count: int
) -> Generator[Event, None, Prediction]:
    """Return what one of several models says, without steps after it; its progress says which one it is."""
    own = options.model_copy(update={"postprocessing": PostProcessing()})
    prediction: object = None
    for event in predict(volume, member, own, control):
        if isinstance(event, Finished):
            prediction = event.result
        elif isinstance(event, Progress):
            yield Progress(f"{event.stage} ({number} of {count} models)", event.done, event.total, event.seconds_left)
        else:
            yield event
    assert isinstance(prediction, Prediction)
    return prediction
