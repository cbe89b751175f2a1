"""Whole label maps taken from a layer, and written back to it with a log that undoes what was written."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from napari_medseg.data import BACKGROUND_VALUE
from napari_medseg.errors import GeometryError
from napari_medseg.results.history import Change, Entry, History
from napari_medseg.ui.layers.annotations import annotation_of
from napari_medseg.ui.layers.classes import PAINTED_BACKGROUND, classes_of, set_classes
from napari_medseg.ui.layers.labels import labels_volume, placed_labels
from napari_medseg.ui.layers.regrid import pull
from napari_medseg.ui.layers.tag import KEY, Tag, tag_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari.layers import Labels, Layer
    from numpy.typing import NDArray

    from napari_medseg.volume import LabelClass, Volume

HISTORY = "napari_medseg_history"
"""Where a layer's log is in ``layer.metadata``."""


@dataclass(frozen=True, eq=False)
class Rewrite:
    """A label map that takes the place of what a layer holds."""

    labels: "NDArray[np.integer]"
    """On the grid of `own_labels`."""
    what: str
    """What was done, in a few words."""
    classes: "tuple[LabelClass, ...] | None" = None
    """New names and colours; None keeps those of the layer."""
    taken: "NDArray[np.integer] | None" = None
    """The labels that the new ones were made from: voxels that hold something else by now stay as they are."""


@dataclass(frozen=True, eq=False)
class Patch:
    """A box of labels that takes the place of what a layer holds there, with what is known of each voxel."""

    box: "tuple[slice, ...]"
    """Of the grid of `own_labels`, with a start and a stop along each axis."""
    labels: "NDArray[np.integer]"
    """The box."""
    what: str
    """What was done, in a few words."""
    carried: "tuple[tuple[NDArray[np.integer], NDArray[np.integer]], ...]" = ()
    """Arrays as large as the labels that say more about each voxel, and the box of each; to be in the order of
    `carried_of`."""
    classes: "tuple[LabelClass, ...] | None" = None
    """New names and colours; None keeps those of the layer."""


def own_labels(layer: "Labels", layers: "Iterable[Layer]" = ()) -> "Volume":
    """Return what a labels layer holds on its own grid, which `rewrite` takes.

    Parameters
    ----------
    layer : Labels
        Ours: the exact grid of its image. Any other: the grid of its array, from its scale and position.
    layers : iterable of Layer
        Usually ``viewer.layers``: they say how the world lies in the patient.
    """
    if tag_of(layer) is not None:
        return labels_volume(layer)
    return placed_labels(layer, [other for other in layers if other is not layer])


def painted_background(layer: "Labels") -> int:
    """Return the value that means "none of the classes" in this layer, beside 0; 0 if there is no such value."""
    features = layer.features
    if "index" not in features or "name" not in features:
        return 0
    names = features["name"][features["index"] == BACKGROUND_VALUE]
    return BACKGROUND_VALUE if PAINTED_BACKGROUND.name in set(names) else 0


def history_of(layer: "Labels") -> History:
    """Return the log of a layer, which is begun on first use."""
    return cast("History", layer.metadata.setdefault(HISTORY, History()))


def rewrite(layer: "Labels", new: Rewrite) -> None:
    """Write a label map to a layer, in place, and log it; the user's own strokes can be undone as before.

    A prediction that was rewritten is the user's: the next prediction gets a layer of its own.

    Raises
    ------
    GeometryError
        If the layer's grid is another than when the label map was taken from it.
    """
    before = [array.copy() for array in _arrays(layer)]
    if before[0].shape != new.labels.shape:
        raise GeometryError(f"{layer.name} was changed meanwhile.", "Do it again.")
    tag, old = tag_of(layer), classes_of(layer)
    resampled = tag is not None and tag.shown_on is not None
    if resampled:
        before[0] = np.asarray(labels_volume(layer).data)
    labels = new.labels if new.taken is None else np.where(before[0] == new.taken, new.labels, before[0])
    after = [labels, _shown(cast("Tag", tag), labels)] if resampled else [labels]
    _widen(layer, int(labels.max(initial=0)))
    for target, values in zip(_arrays(layer), after, strict=True):
        target[...] = values
    keep_for_user(layer)
    log(layer, new.what, list(zip(before, after, strict=True)), (old, old if new.classes is None else new.classes))
    _show(layer, new.classes)


def patch(layer: "Labels", new: Patch) -> int:
    """Write a box of labels to a layer, in place, log it, and return how many voxels it changed.

    Raises
    ------
    GeometryError
        If the box is not one of the layer's.
    """
    own = _arrays(layer)[0]
    if len(new.box) != own.ndim or any(part.stop > n for part, n in zip(new.box, own.shape, strict=True)):
        raise GeometryError(f"{layer.name} was changed meanwhile.", "Do it again.")
    _widen(layer, int(new.labels.max(initial=0)))
    arrays = _arrays(layer)
    tag, old = tag_of(layer), classes_of(layer)
    resampled = tag is not None and tag.shown_on is not None
    if resampled:
        # what the hand painted on the copy that is shown
        arrays[0][...] = labels_volume(layer).data
    parts = [(arrays[0][new.box].copy(), new.labels), *((whole[new.box].copy(), part) for whole, part in new.carried)]
    changes = [Change.at(arrays[0].shape, new.box, parts)]
    shown_before = _shown(cast("Tag", tag), arrays[0]) if resampled else arrays[0][:0]
    for target, part in ((arrays[0], new.labels), *new.carried):
        target[new.box] = part
    if resampled:
        changes.append(_patch_shown(cast("Tag", tag), arrays, shown_before))
    keep_for_user(layer)
    classes = (old, old if new.classes is None else new.classes)
    history_of(layer).add(Entry(new.what, tuple(changes), classes))
    _show(layer, new.classes)
    return changes[0].voxels


def _patch_shown(tag: Tag, arrays: "Sequence[NDArray[np.integer]]", before: "NDArray[np.integer]") -> Change:
    """Bring what was written to a volume's own array to the copy that is shown, except where a hand painted on that."""
    own, shown = arrays
    after = _shown(tag, own)
    was = shown.copy()
    shown[...] = np.where((after != before) & (shown == before), after, shown)
    return Change.between(was, shown)


def log(
    layer: "Labels",
    what: str,
    changes: "Sequence[tuple[NDArray[np.integer], NDArray[np.integer]]]",
    classes: "tuple[tuple[LabelClass, ...], tuple[LabelClass, ...]]",
    carried: "Sequence[tuple[NDArray[np.integer], NDArray[np.integer]]]" = (),
) -> None:
    """Note what was written to a layer.

    Parameters
    ----------
    layer : Labels
        Already rewritten.
    what : str
        In a few words.
    changes : sequence of (before, after)
        One pair for a layer that shows its volume's own array; for one that shows a resampled copy, the volume's
        array and the copy.
    classes : (before, after)
        Names and colours.
    carried : sequence of (before, after)
        What is known of each voxel, in the order of `carried_of`.
    """
    pairs = tuple(Change.between(*pair, () if number else carried) for number, pair in enumerate(changes))
    history_of(layer).add(Entry(what, pairs, classes))


def undo(layer: "Labels") -> str:
    """Undo what was last written to a layer, except where the user painted since, and return what it was."""
    entry = history_of(layer).undo(*_arrays(layer), carried=carried_of(layer))
    _show(layer, entry.classes[0] if entry.classes[0] != entry.classes[1] else None)
    return entry.what


def redo(layer: "Labels") -> str:
    """Do again what was undone last, except where the user painted since, and return what it was."""
    entry = history_of(layer).redo(*_arrays(layer), carried=carried_of(layer))
    _show(layer, entry.classes[1] if entry.classes[0] != entry.classes[1] else None)
    return entry.what


def carried_of(layer: "Labels") -> "tuple[NDArray[np.integer], ...]":
    """Return what is known of each voxel of a layer, which comes and goes with its label."""
    annotation = annotation_of(layer)
    if annotation.source is None or annotation.written is None:
        return ()
    return annotation.source, annotation.written


def announce(layer: "Labels") -> None:
    """Say to others, such as a training on these labels, that voxels changed, or what they mean."""
    layer.events.data(value=layer.data)


def keep_for_user(layer: "Labels") -> None:
    """Note that the user corrected a prediction, so that no later prediction overwrites it."""
    tag = layer.metadata.get(KEY)
    if isinstance(tag, Tag) and tag.role == "prediction":
        layer.metadata[KEY] = replace(tag, role="painted")


def _arrays(layer: "Labels") -> "list[NDArray[np.integer]]":
    """Return the arrays behind a layer: its own, after that of its volume where the layer shows a resampled copy."""
    if layer.multiscale or not isinstance(layer.data, np.ndarray) or not layer.data.flags.writeable:
        layer.data = np.array(layer.data[0] if layer.multiscale else layer.data)
    tag = tag_of(layer)
    if tag is None or tag.shown_on is None:
        return [layer.data]
    if tag.volume.kind != "labels" or not np.asarray(tag.volume.data).flags.writeable:
        own = np.array(labels_volume(layer).data)
        tag = replace(tag, volume=replace(tag.volume, data=own, kind="labels"))
        layer.metadata[KEY] = tag
    return [np.asarray(tag.volume.data), layer.data]


def _shown(tag: Tag, labels: "NDArray[np.integer]") -> "NDArray[np.integer]":
    if tag.shown_on is None or tag.geometry is None:
        return labels
    return pull(labels, tag.geometry, tag.shown_on, linear=False)


def _widen(layer: "Labels", highest: int) -> None:
    """Give the arrays behind a layer a type that holds `highest`."""
    arrays = _arrays(layer)
    if highest <= np.iinfo(arrays[-1].dtype).max:
        return
    dtype = np.promote_types(arrays[-1].dtype, np.min_scalar_type(highest))
    tag = tag_of(layer)
    wide: list[Any] = [array.astype(dtype) for array in arrays]
    if tag is not None:
        layer.metadata[KEY] = replace(tag, volume=replace(tag.volume, data=wide[0]))
    layer.data = wide[-1]


def _show(layer: "Labels", classes: "tuple[LabelClass, ...] | None") -> None:
    if classes is not None:
        marks = (PAINTED_BACKGROUND,) if painted_background(layer) else ()
        set_classes(layer, (*classes, *marks))
    announce(layer)
    layer.refresh(extent=False)
