"""Opening files and folders in napari: the reader command of the manifest.

napari waits for a reader and adds the layers that it returns: scripts get their layers so. What a user drops on the
window or opens from a menu is read in the background instead, unless it is over in a moment, and of several series the
user picks: then the reader returns no layers, and the series browser adds them.
"""

from os import fspath
from pathlib import Path
from typing import TYPE_CHECKING

import napari
from napari.utils.notifications import show_warning

from napari_medseg.io import formats, read
from napari_medseg.progress import Control
from napari_medseg.ui.layers import Frame, LayerTuple, frame_of, place, widen_contrast_range
from napari_medseg.ui.opening import finding, is_quick, series_of, slices_by_folder
from napari_medseg.ui.settings import memory_share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from napari.utils.events import Event

    from napari_medseg.volume import Volume

Paths = str | Path | list[str]
NoLayers = tuple[None]
"""What stands for no layer in a reader's answer."""


def get_reader(path: Paths) -> "Callable[[Paths], list[LayerTuple] | list[NoLayers]] | None":
    """Return the function that opens `path`, or None if no format of ours knows it by its name or its content.

    A file that has the name of a known format is always taken, so that a damaged one is reported for what it is.
    """
    paths = _as_paths(path)
    known = formats()
    for each in paths:
        named = not each.is_dir() and any(form.matches(each) for form in known)
        if not named and not any(form.can_read(each) for form in known):
            return None
    return open_paths


def open_paths(path: Paths) -> "list[LayerTuple] | list[NoLayers]":
    """Read all volumes in a file, a folder, or several of them, and return the layers that show them.

    DICOM files of one folder that are opened together are slices: the whole series that they belong to are read.

    Returns
    -------
    list of (array, dict, str), or [(None,)]
        No layers if they come later.

    Raises
    ------
    ReadError
        What is wrong with the file, and what to do; napari shows it to the user.
    """
    paths = _as_paths(path)
    viewer = napari.current_viewer()
    if viewer is None:
        return layers_of(_volumes(paths), None)
    # Here, so that files open without a window where no Qt is installed.
    from napari_medseg.ui.dropping import is_by_hand, open_later, window_is_shown
    from napari_medseg.ui.widgets.series_browser import browser_of

    if is_by_hand() and not _is_a_moment(paths):
        open_later(viewer, paths)
        return [(None,)]
    volumes = _volumes(paths)
    if len(volumes) > 1 and window_is_shown():
        browser_of(viewer).show_found(finding(paths)(Control(), _ignore).entries, "Loaded")
    return layers_for_viewer(volumes)


def layers_for_viewer(volumes: "Iterable[Volume]") -> "list[LayerTuple]":
    """Return the layers of volumes for the viewer in use; npe2 tells neither readers nor samples which one that is."""
    viewer = napari.current_viewer()
    if viewer is None:
        return layers_of(volumes, None)
    # What a reader returns cannot say how far the contrast slider reaches. Connected twice is connected once.
    viewer.layers.events.inserted.connect(_on_inserted)
    return layers_of(volumes, frame_of(viewer.layers))


def layers_of(volumes: "Iterable[Volume]", frame: Frame | None) -> "list[LayerTuple]":
    """Return the layers of several volumes in one world, and show the user what their readers had to decide.

    Parameters
    ----------
    volumes : iterable of Volume
        The first with a geometry sets the world's axes if there are none yet.
    frame : Frame or None
        The world's axes.
    """
    placed = place(volumes, frame)
    if placed.notes:
        show_warning("\n".join(placed.notes))
    return placed.tuples


def _volumes(paths: "Sequence[Path]") -> "list[Volume]":
    slices, others = slices_by_folder(paths)
    found = [
        volume
        for folder, files in slices.items()
        for series in sorted(series_of(files, Control()))
        for volume in read(folder, series=series, suv=True, memory_share=memory_share())
    ]
    return found + [volume for other in others for volume in read(other, suv=True, memory_share=memory_share())]


def _is_a_moment(paths: "Sequence[Path]") -> bool:
    """Return whether this is a small file of one image, unlike DICOM, of which many may come one by one."""
    (dicom,) = (form for form in formats() if form.name == "dicom")
    return len(paths) == 1 and paths[0].is_file() and not dicom.can_read(paths[0]) and is_quick(paths)


def _on_inserted(event: "Event") -> None:
    widen_contrast_range(event.value)


def _as_paths(path: Paths) -> list[Path]:
    return [Path(fspath(each)) for each in (path if isinstance(path, list) else [path])]


def _ignore(_event: object) -> None:
    """Tell nobody."""
