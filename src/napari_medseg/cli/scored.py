"""What the trainings have in common that are scored on images kept out of them."""

import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from napari_medseg.cli.console import duration, follow, out, scores_text
from napari_medseg.cli.settings import parse
from napari_medseg.errors import Cancelled, ConfigError
from napari_medseg.progress import Control, Finished


def settings_of(settings: list[str] | None, minutes: float | None, count: str = "epochs") -> dict[str, Any]:
    """Return what the command line says about training, which is as long as a `count` says, or some minutes."""
    values = parse(settings or [])
    # Who counts does not want a clock.
    if count in values:
        values.setdefault("minutes", None)
    return values if minutes is None else {**values, "minutes": minutes}


def train_scored(folder: Path, task: str, create: Callable[[], object] | None, given: bool) -> None:
    """Train in a folder, and print where the model is.

    Parameters
    ----------
    folder : Path
        Of the run.
    task : str
        What is trained.
    create : callable, optional
        Lays out a new run; None lets the one that is there go on from its last checkpoint.
    given : bool
        Whether the user said how to train.

    Raises
    ------
    Cancelled
        If the user stopped it, with how to go on.
    """
    from napari_medseg import processes
    from napari_medseg.training import RunFolder
    from napari_medseg.training.scored import ScoredResult

    with processes.joined():
        if processes.rank() > 0:
            pass
        elif create is not None:
            create()
        elif given:
            raise ConfigError(f"{folder} goes on with the settings it began with.", "Leave out all but --out.")
        elif (kind := RunFolder(folder).task) != task:
            raise ConfigError(f"{folder} holds a run of another task.", f"Go on with `train {kind}`.")
        processes.wait()
        result = trained(folder, task)
    if isinstance(result, ScoredResult):
        scores = f"on held-out images: {scores_text(result.scores)}" if result.scores else "not validated"
        out().print(f"{result.bundle}\n{result.step} steps in {duration(result.seconds)}; {scores}", markup=False)


def replay_scored(source: Path, folder: Path, task: str, given: bool) -> None:
    """Train in a new folder on the images of a run, with its settings.

    Parameters
    ----------
    source : Path
        Folder of the run.
    folder : Path
        Of the new run.
    task : str
        What is trained.
    given : bool
        Whether the user said anything else, too.

    Raises
    ------
    ConfigError
        If there is no such run, or the images have changed.
    """
    from napari_medseg.training import RunFolder
    from napari_medseg.training.scored.request import create_again

    if given:
        raise ConfigError("A replay takes everything from its run.", "Leave out all but --replay and --out.")
    if (kind := RunFolder(source).task) != task:
        raise ConfigError(f"{source} holds a run of another task.", f"Take `train {kind}`.")
    control = Control()
    train_scored(folder, task, partial(follow, create_again(RunFolder(source), folder, control), control), False)


def trained(folder: Path, task: str) -> object:
    """Train in a run's folder, from its last checkpoint if it has one.

    Returns
    -------
    object
        What the training ends with; None in all processes but the first, which speaks for all.

    Raises
    ------
    Cancelled
        If the user stopped it, with how to go on.
    """
    from napari_medseg import processes
    from napari_medseg.training import RunFolder, train

    run, control = RunFolder(folder), Control()
    events = train(run, control, resume=run.last.exists())
    if processes.rank() > 0:
        follow((event for event in events if isinstance(event, Finished)), control)
        return None
    try:
        return follow(events, control)
    except Cancelled:
        kept = f"Stopped. The best weights so far are in {run.bundle}." if run.bundle.is_dir() else "Stopped."
        again = f"napari-medseg train {task} --out {shlex.quote(str(folder))} --resume"
        raise Cancelled(kept, f"Go on with: {again}") from None
