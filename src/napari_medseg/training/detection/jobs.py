"""Training of detection as a job for `napari_medseg.jobs`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_medseg.progress import Control, Event, Finished, throttle
from napari_medseg.training import RunFolder, train
from napari_medseg.training.detection import DetectionConfig, create_detection


def train_detector(
    control: Control,
    folder: Path,
    images: Path,
    boxes: Path,
    config: dict[str, Any] | None = None,
    init: Path | None = None,
) -> Iterator[Event]:
    """Look at images with boxes and train on them, events thinned for a viewer.

    Parameters
    ----------
    control : Control
        Cancels, pauses, and passes messages.
    folder : Path
        Of the run.
    images, boxes : Path
        As for `create_detection`.
    config : dict, optional
        Fields of `DetectionConfig`.
    init : Path, optional
        Bundle to start from.

    Yields
    ------
    Event
        Those of `create_detection` and of `napari_medseg.training.train`.
    """
    settings = DetectionConfig.model_validate(config or {})
    made = create_detection(folder, (images, boxes), settings, init, control)
    yield from (event for event in made if not isinstance(event, Finished))
    yield from throttle(train(RunFolder(folder), control))
