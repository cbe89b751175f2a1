"""Opening files and folders in napari: the reader command of the manifest."""

from os import fspath
from pathlib import Path
from typing import TYPE_CHECKING

import napari
from napari.utils.notifications import show_warning

from napari_medseg.io import formats, read, scan
from napari_medseg.ui.layers import KEY, Frame, LayerTuple, Tag, frame_of, to_layer_tuples, widen_contrast_range

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari.utils.events import Event

    from napari_medseg.volume import Volume

Paths = str | Path | list[str]


def get_reader(path: Paths) -> "Callable[[Paths], list[LayerTuple]] | None":
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


def open_paths(path: Paths) -> "list[LayerTuple]":
    """Read all volumes in a file, a folder, or several of them, and return the layers that show them.

    DICOM files of one folder that are opened together are slices: the whole series that they belong to are read.

    Raises
    ------
    ReadError
        What is wrong with the file, and what to do; napari shows it to the user.
    """
    paths = _as_paths(path)
    series = _series_of_slices(paths)
    if series:
        volumes = [volume for each in series for volume in read(paths[0].parent, series=each)]
    else:
        volumes = [volume for each in paths for volume in read(each)]
    return layers_for_viewer(volumes)


def layers_for_viewer(volumes: "Iterable[Volume]") -> "list[LayerTuple]":
    """Return the layers of volumes for the viewer in use; npe2 tells neither readers nor samples which one that is."""
    viewer = napari.current_viewer()
    if viewer is None:
        return layers_of(volumes, None)
    # What a reader returns cannot say how far the contrast slider reaches. Connected twice is connected once.
    viewer.layers.events.inserted.connect(_on_inserted)
    return layers_of(volumes, frame_of(viewer.layers))


def layers_of(volumes: "Iterable[Volume]", frame: "Frame | None") -> "list[LayerTuple]":
    """Return the layers of several volumes in one world, and show the user what their readers had to decide.

    Parameters
    ----------
    volumes : iterable of Volume
        The first with a geometry sets the world's axes if there are none yet.
    frame : Frame or None
        The world's axes.
    """
    layers: list[LayerTuple] = []
    notes: list[str] = []
    for volume in volumes:
        for layer in to_layer_tuples(volume, frame):
            tag: Tag = layer[1]["metadata"][KEY]
            if frame is None and tag.sets_frame:
                frame = tag.frame
            notes += [f"{volume.name}: {warning}" for warning in tag.volume.warnings]
            layers.append(layer)
    if notes:
        show_warning("\n".join(notes))
    return layers


def _series_of_slices(paths: list[Path]) -> list[str]:
    """Return the series that several DICOM files of one folder belong to; none if the paths are anything else."""
    if len(paths) < 2 or {each.parent for each in paths if each.is_file()} != {paths[0].parent}:
        return []
    found = [info for each in paths for info in scan(each)]
    if any(info.format != "dicom" for info in found):
        return []
    return list(dict.fromkeys(info.series_id for info in found))


def _on_inserted(event: "Event") -> None:
    widen_contrast_range(event.value)


def _as_paths(path: Paths) -> list[Path]:
    return [Path(fspath(each)) for each in (path if isinstance(path, list) else [path])]
