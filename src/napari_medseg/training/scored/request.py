"""A new run like one that was there before."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from napari_medseg.errors import ConfigError
from napari_medseg.progress import Control, Event, Finished
from napari_medseg.training.classification import create_classification
from napari_medseg.training.classification.run import ClassificationRun
from napari_medseg.training.detection import DetectionRun, create_detection
from napari_medseg.training.run import RunFolder

if TYPE_CHECKING:
    from napari_medseg.training.scored.run import ScoredRun


def create_again(source: RunFolder, folder: Path, control: Control) -> Iterator[Event]:
    """Lay out the folder of a run on the images of another one, with its settings.

    The weights become the same, too, where the run counted epochs and not minutes, on a processor.

    Parameters
    ----------
    source : RunFolder
        A classification or detection that has begun; only read.
    folder : Path
        New or without a run in it.
    control : Control
        Cancels and pauses.

    Yields
    ------
    Event
        `Progress`, `Note`, and last `Finished` with the `RunFolder`.

    Raises
    ------
    MedsegError
        If there is no run in `source`, or its images and labels are not what they were.
    """
    run: ScoredRun
    if source.task == "classification":
        run = known = source.read(ClassificationRun)
        sources = known.images, known.labels
        events = create_classification(folder, sources, known.train, known.init, control, known.fold)
    else:
        run = boxed = source.read(DetectionRun)
        events = create_detection(folder, (boxed.images, boxed.boxes), boxed.train, boxed.init, control)
    for event in events:
        if isinstance(event, Finished) and RunFolder(folder).read(type(run)).fingerprint != run.fingerprint:
            RunFolder(folder).config.unlink()
            raise ConfigError(f"The images or labels of {run.images} have changed since the run.", "Put them back.")
        yield event
