"""Finding the format of a path, and reading it with one kind of error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_medseg.errors import Cancelled, MedsegError, ReadError
from napari_medseg.io.format import Format, ReadOptions, SeriesInfo, formats
from napari_medseg.progress import Control, Progress
from napari_medseg.volume import Volume


def read(
    path: str | Path,
    control: Control | None = None,
    *,
    series: str | None = None,
    report: Callable[[Progress], None] | None = None,
) -> list[Volume]:
    """Read all images and label maps in a file or folder.

    Parameters
    ----------
    path : str or Path
        A file of any format in `formats`, or a folder with DICOM files.
    control : Control, optional
        Cancels the reading between two files.
    series : str, optional
        Only volumes of this series: a `Volume.series_id` or a DICOM series instance UID.
    report : callable, optional
        Called with a `Progress` now and then, from the calling thread.

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
    path, options = Path(path), _options(control, series, report)
    form = format_of(path)
    with clear_errors(path):
        volumes = form.read(path, options)
    if not volumes:
        raise _nothing_found(path, series)
    return volumes


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
    path = Path(path)
    form = format_of(path)
    with clear_errors(path):
        found = form.scan(path, _options(control, None, report))
    if not found:
        raise _nothing_found(path, None)
    return found


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
