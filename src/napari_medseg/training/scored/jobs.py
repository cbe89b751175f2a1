"""Trainings that are scored on images kept out of them, as a job for `napari_medseg.jobs`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from napari_medseg.progress import Control, Event, Finished, throttle
from napari_medseg.training import RunFolder, train
from napari_medseg.training.classification import ClassificationConfig, create_classification
from napari_medseg.training.detection import DetectionConfig, create_detection


def train_anew(
    control: Control,
    task: Literal["classification", "detection"],
    folder: Path,
    sources: tuple[Path, Path | None],
    config: dict[str, Any],
    init: Path | None = None,
) -> Iterator[Event]:
    """Look at images and what is known of them, and train; events thinned for a viewer.

    Parameters
    ----------
    control : Control
        Cancels, pauses, and passes messages.
    task : str
        What is learnt.
    folder : Path
        Of the new run.
    sources : (Path, Path or None)
        Images, and table of labels or boxes, as for `create_classification` and `create_detection`.
    config : dict
        Fields of `ClassificationConfig` or `DetectionConfig`.
    init : Path, optional
        Bundle to start from.

    Yields
    ------
    Event
        Those of laying out the run, and of `napari_medseg.training.train`.
    """
    if task == "classification":
        made = create_classification(folder, sources, ClassificationConfig.model_validate(config), init, control)
    else:
        images, boxes = sources
        assert boxes is not None
        made = create_detection(folder, (images, boxes), DetectionConfig.model_validate(config), init, control)
    yield from (event for event in made if not isinstance(event, Finished))
    yield from throttle(train(RunFolder(folder), control))
