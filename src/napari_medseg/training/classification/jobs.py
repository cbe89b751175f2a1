"""Training of classes as a job for `napari_medseg.jobs`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_medseg.progress import Control, Event, Finished, throttle
from napari_medseg.training import RunFolder, train
from napari_medseg.training.classification import ClassificationConfig, create_classification


def train_classes(
    control: Control,
    folder: Path,
    sources: tuple[Path, Path | None],
    config: dict[str, Any] | None = None,
    init: Path | None = None,
    resume: bool = False,
) -> Iterator[Event]:
    """Look at labelled images and train on them, events thinned for a viewer.

    Parameters
    ----------
    control : Control
        Cancels, pauses, and passes messages.
    folder : Path
        Of the run.
    sources : (Path, Path or None)
        Images and table of labels, as for `create_classification`.
    config : dict, optional
        Fields of `ClassificationConfig`.
    init : Path, optional
        Bundle to start from.
    resume : bool
        Go on with the run that is in the folder.

    Yields
    ------
    Event
        Those of `create_classification` and of `napari_medseg.training.train`.
    """
    if not resume:
        settings = ClassificationConfig.model_validate(config or {})
        made = create_classification(folder, sources, settings, init, control)
        yield from (event for event in made if not isinstance(event, Finished))
    yield from throttle(train(RunFolder(folder), control, resume))
