"""Finding the format of a path, and reading it with one kind of error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from napari_medseg.errors import Cancelled, MedsegError, ReadError
from napari_medseg.io.folders import images_in
from napari_medseg.io.format import Format, ReadOptions, SeriesInfo, formats
from napari_medseg.io.limits import MEMORY_SHARE
from napari_medseg.progress import Control, Progress
from napari_medseg.volume import Volume
from napari_medseg.volume.suv import in_suv


def read(
    path: str | Path,
    control: Control | None = None,
    *,
    series: str | None = None,
    report: Callable[[Progress], None] | None = None,
    memory_share: float = MEMORY_SHARE,
    suv: bool = False,
) -> list[Volume]:
    """Read all images and label maps in a file or folder.

    Parameters
    ----------
    path : str or Path
        A file of any format in `formats`, a folder with DICOM files, or a folder of other image files.
    control : Control, optional
        Cancels the reading between two files.
    series : str, optional
        Only volumes of this series: a `Volume.series_id` or a DICOM series instance UID.
    report : callable, optional
        Called with a `Progress` now and then, from the calling thread.
    memory_share : float
        A volume that would take more than this share of the free memory is opened lazily where its format allows: its
        data is then a dask array of the same values. 0 opens lazily whatever can be, infinity nothing.
    suv : bool
        Whether PET comes as SUVbw where its header allows, as the viewer and the commands have it; otherwise in the
        unit of the file, with `Volume.suv_factor`.

    Returns
    -------
    list of Volume
        Never empty. Arrays are (..., z, y, x[, colour]) in the transposed view nearest to (z, y, x).

    Raises
    ------
    ReadError
        If the path holds no image, or one that cannot be read whole and right.
    Cancelled
        If `control` was cancelled.
    """
    path, options = Path(path), replace(_options(control, series, report), memory_share=memory_share)
    volumes: list[Volume] = []
    for place in _places(path, options):
        form = format_of(place)
        with clear_errors(place):
            volumes += [replace(volume, path=place) for volume in form.read(place, options)]
    if not volumes:
        raise _nothing_found(path, series)
    return [in_suv(volume) for volume in volumes] if suv else volumes


def scan(
    path: str | Path, control: Control | None = None, *, report: Callable[[Progress], None] | None = None
) -> list[SeriesInfo]:
    """List what `read` would return, from the headers alone where the format allows.

    Parameters
    ----------
    path : str or Path
        As in `read`.
    control : Control, optional
        Cancels the scan between two files.
    report : callable, optional
        Called with a `Progress` now and then, from the calling thread.

    Returns
    -------
    list of SeriesInfo
        One entry per volume, in the order of `read`; never empty.

    Raises
    ------
    ReadError
        If the path holds no image.
    """
    listing = survey(path, control, report=report)
    for problem in listing.problems:
        raise problem
    return list(listing.found)


@dataclass(frozen=True)
class Listing:
    """What can be read at a path, and what cannot."""

    found: tuple[SeriesInfo, ...]
    """In the order of `read`."""
    problems: tuple[ReadError, ...] = ()
    """One for each file in a folder of image files that cannot be read."""


def survey(
    path: str | Path, control: Control | None = None, *, report: Callable[[Progress], None] | None = None
) -> Listing:
    """List as `scan` does, but go on where one of several image files is damaged.

    Parameters
    ----------
    path, control, report
        As in `scan`.

    Raises
    ------
    ReadError
        If nothing at the path can be read.
    """
    path, options = Path(path), _options(control, None, report)
    found: list[SeriesInfo] = []
    problems: list[ReadError] = []
    places = images_in(path) or [path]
    for number, place in enumerate(places):
        if len(places) > 1:
            options.step("Reading headers", number, len(places))
        try:
            form = format_of(place)
            with clear_errors(place):
                # Both halves of an image in two files name the same volume.
                found += [info for info in form.scan(place, options) if place == path or info not in found]
        except ReadError as error:
            problems.append(error)
    if not found:
        raise problems[0] if problems else _nothing_found(path, None)
    return Listing(tuple(found), tuple(problems))


def format_of(path: Path) -> Format:
    """Return the format whose content, or else whose name pattern, fits an existing path."""
    if not path.exists():
        raise ReadError(f"There is no file or folder {path}.", "Check the path.")
    with clear_errors(path):
        by_content = [form for form in formats() if form.can_read(path)]
    named = [form for form in by_content or formats() if form.matches(path)]
    if not (found := named or by_content):
        known = ", ".join(form.title for form in formats())
        raise ReadError(f"{path.name} is not an image of a known format.", f"Readable are {known}.")
    return found[0]


@contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises on a damaged file into one `ReadError` that says which file and why."""
    try:
        yield
    except (ReadError, Cancelled):
        raise
    except MedsegError as error:
        raise ReadError(f"{path.name}: {error.problem}", error.remedy) from error
    except MemoryError as error:
        raise ReadError(
            f"{path.name} claims more data than fits in memory.", "Check that the file is not damaged."
        ) from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".replace("\n", " ")[:300]
        raise ReadError(f"{path.name} could not be decoded ({reason}).", "The file may be damaged.") from error


def _places(path: Path, options: ReadOptions) -> list[Path]:
    """Return the path itself, or what to read one by one of a folder of images."""
    if not images_in(path):
        return [path]
    listing = survey(path, options.control)
    if options.series is None and listing.problems:
        raise listing.problems[0]
    return list(dict.fromkeys(info.path for info in listing.found if options.wants(info.series_id)))


def _options(control: Control | None, series: str | None, report: Callable[[Progress], None] | None) -> ReadOptions:
    defaults = ReadOptions()
    return ReadOptions(
        control=control or defaults.control,
        series=None if series is None else frozenset({series}),
        report=report or defaults.report,
    )


def _nothing_found(path: Path, series: str | None) -> ReadError:
    if series is not None:
        return ReadError(f"{path.name} has no series {series!r}.", "List its series with `napari-medseg info`.")
    return ReadError(f"{path.name} holds no image.", "Choose a file or folder with images.")
