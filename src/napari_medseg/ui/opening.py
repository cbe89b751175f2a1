"""Finding images, reading them, and working out their layers, away from the window: nothing here touches Qt.

`finding` and `opening` return functions for `napari_medseg.jobs.ThreadJob`.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.transforms import Affine

from napari_medseg.errors import Cancelled, MedsegError, ReadError
from napari_medseg.io import SeriesInfo, read, survey
from napari_medseg.io.dicom.files import is_dicom
from napari_medseg.jobs import Tell
from napari_medseg.progress import Control, Event, Progress, with_time_left
from napari_medseg.ui.layers import LayerTuple, place
from napari_medseg.ui.settings import memory_share

if TYPE_CHECKING:
    from napari_medseg.ui.layers import Frame
    from napari_medseg.volume import Volume

QUICK_FILES = 200
QUICK_BYTES = 8_000_000
"""What is smaller is read while the user waits: a fraction of a second."""


@dataclass(frozen=True)
class Entry:
    """One volume that can be opened."""

    info: SeriesInfo
    rank: int = 0
    """Place among the volumes that `read` returns for its path and identifier."""
    peers: int = 1
    """Number of those volumes."""

    @property
    def source(self) -> tuple[Path, str]:
        """What `read` is told."""
        return self.info.path, self.info.series_id


@dataclass(frozen=True)
class Found:
    """What a search came to."""

    entries: tuple[Entry, ...]
    problems: tuple[ReadError, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Opened(Event):
    """A volume was read, and its layers are ready."""

    entry: Entry
    volumes: "tuple[Volume, ...]"
    layers: tuple[LayerTuple, ...]
    notes: tuple[str, ...]
    """What the user should know of them."""
    frame: "Frame | None"
    """The world's axes that the layers were made for; None if they set their own."""


@dataclass(frozen=True, slots=True, eq=False)
class Refused(Event):
    """A volume could not be opened."""

    entry: Entry
    error: MedsegError


def is_quick(paths: Iterable[Path]) -> bool:
    """Return whether reading is over in a moment, judged by the number and the size of the files."""
    size = count = 0
    for path in paths:
        for file in [path] if path.is_file() else (entry for entry in path.rglob("*") if entry.is_file()):
            size, count = size + file.stat().st_size, count + 1
            if count > QUICK_FILES or size > QUICK_BYTES:
                return False
    return True


def finding(paths: Sequence[Path]) -> Callable[[Control, Tell], Found]:
    """Return the work that lists what can be opened at some paths.

    DICOM files of one folder that come together are slices: the whole series that they belong to are found.
    """

    def work(control: Control, tell: Tell) -> Found:
        infos: list[SeriesInfo] = []
        problems: list[ReadError] = []
        slices, others = slices_by_folder(paths)
        places = [(folder, series_of(files, control)) for folder, files in slices.items()]
        for path, wanted in [*places, *((other, None) for other in others)]:
            try:
                listing = survey(path, control, report=_Counted(tell, 1))
            except ReadError as error:
                problems.append(error)
                continue
            infos += [info for info in listing.found if wanted is None or _series(info) in wanted]
            problems += listing.problems
        return Found(_entries(infos), tuple(problems))

    return work


def opening(entries: Sequence[Entry], frame: "Frame | None") -> Callable[[Control, Tell], None]:
    """Return the work that reads some volumes, and tells of each as `Opened` or `Refused`.

    Parameters
    ----------
    entries : sequence of Entry
        From `finding`.
    frame : Frame or None
        The world's axes, if layers in the viewer set them.
    """

    def work(control: Control, tell: Tell) -> None:
        # The first layer with a unit makes napari parse the definitions of all units: here, the window need not wait.
        Affine(units=("mm", "mm"))
        axes = frame
        groups: dict[tuple[Path, str], list[Entry]] = defaultdict(list)
        for entry in entries:
            groups[entry.source].append(entry)
        counted = _Counted(tell, sum(_voxels(group) for group in groups.values()))
        for group in groups.values():
            try:
                for entry, volumes in _read(group, control, counted):
                    counted.say(f"Placing {entry.info.name}")
                    placed = place(volumes, axes)
                    tell(Opened(entry, tuple(volumes), tuple(placed.tuples), tuple(placed.notes), axes))
                    axes = placed.frame
            except Cancelled:
                raise
            except MedsegError as error:
                for entry in group:
                    tell(Refused(entry, error))
            counted.next(_voxels(group))

    return work


def _read(group: Sequence[Entry], control: Control, counted: "_Counted") -> "list[tuple[Entry, list[Volume]]]":
    """Return the volumes of each entry of one source, which is read once."""
    path, series = group[0].source
    counted.share = _voxels(group)
    volumes = read(path, control, series=series, report=counted, suv=True, memory_share=memory_share())
    if len(volumes) == group[0].peers:
        return [(entry, [volumes[entry.rank]]) for entry in group]
    # Overlapping segments are one entry, but several label maps.
    return [(group[0], volumes), *((entry, []) for entry in group[1:])]


def _voxels(group: Sequence[Entry]) -> int:
    return sum(prod(entry.info.shape) for entry in group)


def _entries(infos: Sequence[SeriesInfo]) -> tuple[Entry, ...]:
    peers = Counter((info.path, info.series_id) for info in infos)
    seen: Counter[tuple[Path, str]] = Counter()
    found = []
    for info in infos:
        source = (info.path, info.series_id)
        found.append(Entry(info, seen[source], peers[source]))
        seen[source] += 1
    return tuple(found)


def slices_by_folder(paths: Sequence[Path]) -> tuple[dict[Path, list[Path]], list[Path]]:
    """Return the DICOM files that lie together, by their folder, and all other paths."""
    slices: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        if is_dicom(path) and path.name.upper() != "DICOMDIR":
            slices[path.parent].append(path)
    together = {folder: files for folder, files in slices.items() if len(files) > 1}
    return together, [path for path in dict.fromkeys(paths) if path not in together.get(path.parent, ())]


def series_of(files: Sequence[Path], control: Control) -> frozenset[str]:
    """Return the identifiers of the series that DICOM files belong to."""
    return frozenset(_series(info) for file in files for info in survey(file, control).found)


def _series(info: SeriesInfo) -> str:
    """Return the identifier of the whole series, of which the volume may be one of several."""
    return info.series_id.partition("-")[0]


class _Counted:
    """Turns the progress of one volume into that of all, with words and the time left.

    Parameters
    ----------
    tell : callable
        Who is told.
    total : int
        Amount of work in all.
    """

    def __init__(self, tell: Tell, total: int) -> None:
        self._tell = tell
        self._total = total
        self._done, self._now = 0, 0.0
        self._begun = time.monotonic()
        self.share = total
        """Amount of work in the part that reports now."""

    def __call__(self, part: Progress) -> None:
        self._now = self._done + self.share * part.done / max(part.total, 1)
        self.say(f"{part.stage}: {part.done} of {part.total}")

    def say(self, words: str) -> None:
        """Tell what is being done, at the same progress."""
        permille = round(1000 * self._now / max(self._total, 1))
        self._tell(with_time_left(words, 1000, self._begun, permille))

    def next(self, amount: int) -> None:
        """Note that a part of this amount is over."""
        self._done += amount
