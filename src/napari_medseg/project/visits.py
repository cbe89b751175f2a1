"""What was corrected at places that the user was sent to, kept in the project so that the comparison goes on."""

import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_medseg.data.suggest import Place, Trial
from napari_medseg.errors import ReadError, WriteError
from napari_medseg.training.atomic import write_text

FILE = "suggestions.json"
_writing = threading.Lock()


class Visit(BaseModel):
    """A place that was visited."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    case: str
    """Whose image; empty if it had no case yet."""
    when: str
    """Date and time in UTC, in ISO 8601."""
    kind: Literal["suggested", "random"]
    axis: int | None
    """That the slice is perpendicular to; None for a box."""
    start: tuple[int, ...]
    """First voxel along each axis."""
    stop: tuple[int, ...]
    """One past the last."""
    share: float
    """Of its voxels that were corrected."""

    @property
    def trial(self) -> Trial:
        """The same, to be counted."""
        return Trial(self.kind, Place(self.start, self.stop, self.axis), self.share)


class Visits(BaseModel):
    """All of a project."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    version: Literal[1] = 1
    """Of this layout."""
    visits: tuple[Visit, ...] = ()


def load_visits(folder: Path) -> tuple[Visit, ...]:
    """Return the visits that a project's folder tells of, the first one first; `ReadError` if they are damaged."""
    path = folder / FILE
    try:
        return Visits.model_validate_json(path.read_text(encoding="utf-8")).visits
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError) as error:
        raise ReadError(
            f"{FILE} in {folder.name} is not understood.", "Restore it from a backup, or delete it to count anew."
        ) from error


def copy(folder: Path, other: Path) -> None:
    """Copy the visits of a project's folder, if there are any, into another one; `OSError` if that fails."""
    if (folder / FILE).is_file():
        shutil.copy2(folder / FILE, other / FILE)


def add_visit(folder: Path, case: str, trial: Trial) -> None:
    """Add a visit to a project's folder.

    Raises
    ------
    ReadError
        If those that are there are damaged.
    WriteError
        If it cannot be written; those before stay.
    """
    visit = Visit(
        case=case,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        kind=trial.kind,
        axis=trial.place.axis,
        start=trial.place.start,
        stop=trial.place.stop,
        share=trial.share,
    )
    with _writing:
        visits = Visits(visits=(*load_visits(folder), visit))
        try:
            write_text(folder / FILE, visits.model_dump_json(indent=1))
        except OSError as error:
            remedy = "Check the free space and the folder's rights."
            raise WriteError(f"{FILE} cannot be written: {error.strerror or error}.", remedy) from error
