"""Training models from labelled samples."""

from collections.abc import Iterator
from pathlib import Path

from napari_medseg.progress import Control, Event
from napari_medseg.training.config import TrainConfig
from napari_medseg.training.messages import Drawing, LabelsChanged, LookAround, ShowSlice, Stop
from napari_medseg.training.run import Case, RunConfig, RunFolder, TrainResult, create_run

__all__ = [
    "Case",
    "Drawing",
    "LabelsChanged",
    "LookAround",
    "RunConfig",
    "RunFolder",
    "ShowSlice",
    "Stop",
    "TrainConfig",
    "TrainResult",
    "create_run",
    "train",
]


def train(
    run: RunFolder | Path | str, control: Control | None = None, resume: bool = False, live: bool = False
) -> Iterator[Event]:
    """Train the model that a run's folder describes.

    Parameters
    ----------
    run : RunFolder or path
        As made by `create_run`.
    control : Control, optional
        Cancels, pauses, and passes the messages `LabelsChanged`, `ShowSlice`, `LookAround`, `Drawing` and `Stop`.
    resume : bool
        Go on from the last checkpoint, to the same weights as if nothing had happened; with none, begin. A pixel
        classifier always begins anew, with the labels as they are.
    live : bool
        Whether somebody paints and watches: a pixel classifier then learns each stroke until it is told to stop,
        instead of once. Networks learn new strokes anyhow.

    Yields
    ------
    Event
        `Step`, `EpochEnd`, `Preview`, `Saved` and `Note` events, and last `Finished` with a `TrainResult`.

    Raises
    ------
    MedsegError
        If the data, the settings or the device do not serve, with a remedy.
    Cancelled
        If `control` was cancelled; the best weights are in the bundle by then.
    """
    from napari_medseg.training.loop import train as loop

    yield from loop(run if isinstance(run, RunFolder) else RunFolder(Path(run)), control or Control(), resume, live)
