"""The models of a project: the one in use under each name, its earlier versions, and why each came in or did not."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_medseg.errors import ReadError, WriteError
from napari_medseg.models import Bundle
from napari_medseg.models.library import folder_of
from napari_medseg.models.versions import replace, rollback
from napari_medseg.training.atomic import write_text
from napari_medseg.training.run import RunFolder

if TYPE_CHECKING:
    from napari_medseg.training.gate import Verdict

HISTORY = "history.json"
What = Literal["first", "accepted", "refused", "went back"]


class Entry(BaseModel):
    """What became of a model."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    when: str
    """Date and time in UTC, in ISO 8601."""
    name: str
    """Of the model."""
    hash: str
    """Of its content."""
    run: str
    """Folder of the training, within the project's folder of runs; empty where the user went back."""
    what: What
    """It was the first of its name, was accepted in place of the one before or refused, or the user went back to it."""
    why: str = ""
    """The verdict in words."""


class History(BaseModel):
    """What became of all models of a project, the first one first."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    version: Literal[1] = 1
    """Of this layout."""
    entries: tuple[Entry, ...] = ()


def load_history(models: Path) -> tuple[Entry, ...]:
    """Return what became of the models in a project's folder of models; `ReadError` if that is damaged."""
    try:
        return History.model_validate_json((models / HISTORY).read_text(encoding="utf-8")).entries
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError) as error:
        raise ReadError(
            f"{HISTORY} of the project's models is not understood.", "Restore it from a backup, or delete it."
        ) from error


def keep_model(models: Path, run: RunFolder, verdict: "Verdict | None") -> Bundle | None:
    """Put the model of a run among those of a project, if it was found no worse than the one of its name there.

    Parameters
    ----------
    models : Path
        The project's folder of models.
    run : RunFolder
        Finished; its model was compared with the one that is there.
    verdict : Verdict or None
        What came of that; None if there was none to compare with.

    Returns
    -------
    Bundle or None
        In its place; None if it was refused, and stays in the run's folder.

    Raises
    ------
    WriteError
        If the disk does not take it; the one before stays.
    """
    bundle = Bundle.load(run.bundle)
    place = models / folder_of(bundle.spec.name)
    refused = verdict is not None and not verdict.accepted
    what: What = "refused" if refused else "accepted" if place.is_dir() else "first"
    kept = None
    if not refused:
        kept = replace(bundle, place)
        if run.labelled.exists():
            # A later model is asked whether it forgot what was labelled by now.
            shutil.copy2(run.labelled, place / run.labelled.name)
    _note(
        models,
        Entry(
            when=_now(),
            name=bundle.spec.name,
            hash=bundle.hash,
            run=run.path.name,
            what=what,
            why="" if verdict is None else str(verdict),
        ),
    )
    return kept


def go_back(models: Path, place: Path) -> Bundle:
    """Put the version before in the place of one of a project's models, and return it; see `versions.rollback`."""
    bundle = rollback(place)
    _note(models, Entry(when=_now(), name=bundle.spec.name, hash=bundle.hash, run="", what="went back"))
    return bundle


def _note(models: Path, entry: Entry) -> None:
    history = History(entries=(*load_history(models), entry))
    try:
        models.mkdir(exist_ok=True)
        write_text(models / HISTORY, history.model_dump_json(indent=1))
    except OSError as error:
        remedy = "Check the free space and the folder's rights."
        raise WriteError(f"{HISTORY} cannot be written: {error.strerror or error}.", remedy) from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
