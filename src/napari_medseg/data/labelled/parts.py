"""Which images are learnt from and which are kept to score on, without the same patient or image on both sides."""

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_medseg.data.labelled.listing import LabelledImages
from napari_medseg.errors import DataError

FOLDS = 20
"""Finest share that can be held out: a twentieth."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Numbers of images."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    notes: tuple[str, ...]
    """What the user should know, one sentence each."""


def digest(image: NDArray[np.generic]) -> str:
    """Return a sum of an image's values that equal images share."""
    return hashlib.sha256(str(image.shape).encode() + np.ascontiguousarray(image).tobytes()).hexdigest()


def split_parts(
    found: LabelledImages,
    digests: Sequence[str],
    share: float,
    seed: int,
    leaks: Literal["auto", "refuse", "drop"] = "auto",
) -> Parts:
    """Choose what is learnt from and what is validated on; images of the part ``test`` are in neither.

    Without a part ``val`` in the source a share is held out: stratified by class, and patients and equal images stay
    together.

    Parameters
    ----------
    found : LabelledImages
        The images.
    digests : sequence of str
        Of each image, by `digest`; images that are nearly the same may share one.
    share : float
        To hold out, in (0, 0.5].
    seed : int
        Of the choice.
    leaks : {"auto", "refuse", "drop"}
        What to do with an image or a patient on both sides of a given split: refuse, or leave the images out of
        training. auto: drop for equal images of a published data set, refuse for all else.

    Raises
    ------
    DataError
        If the split leaks, or leaves a class without images.
    """
    parts = np.array(found.parts, dtype=object)
    pool = np.flatnonzero((parts == "") | (parts == "train"))
    held = np.flatnonzero(parts == "val")
    pool, notes = _without_leaks(found, digests, pool, np.flatnonzero((parts == "val") | (parts == "test")), leaks)
    if not len(held):
        pool, held = _hold_out(found, digests, pool, share, seed)
        notes.append(f"{len(held)} of {len(pool) + len(held)} images are kept out of training for validation.")
        if found.pictures.boxes and {found.groups[k] for k in held} & {found.groups[k] for k in pool}:
            notes.append("All are parts of one image, so scores on those kept out promise too much for other images.")
    for name, many in zip(found.classes, found.targets[pool].sum(axis=0), strict=True):
        if not many:
            raise DataError(f"No image of the class {name} is left to train on.", "Add images, or leave the class out.")
    return Parts(pool, held, tuple(notes))


def _without_leaks(
    found: LabelledImages,
    digests: Sequence[str],
    train: NDArray[np.int64],
    others: NDArray[np.int64],
    leaks: Literal["auto", "refuse", "drop"],
) -> tuple[NDArray[np.int64], list[str]]:
    groups = {found.groups[k] for k in others if found.groups[k]}
    images = {digests[k] for k in others}
    same_group = [k for k in train if found.groups[k] in groups]
    same_image = [k for k in train if digests[k] in images and found.groups[k] not in groups]
    if not same_group and not same_image:
        return train, []
    what = f"{len(same_image)} training images are also among those to validate or test on, or nearly so"
    remedy = "Mend the split, --set leaks=drop, or if they are different images, --set nearly_equal=false."
    if same_group:
        what = f"{len(same_group)} training images are of patients who are also validated or tested on"
        remedy = "Mend the split, or --set leaks=drop."
    if leaks == "refuse" or (leaks == "auto" and (same_group or not found.published)):
        first = found.pictures.names[(same_group or same_image)[0]]
        raise DataError(f"The split leaks: {what}, such as {first}.", remedy)
    kept = np.setdiff1d(train, [*same_group, *same_image])
    return kept, [f"{what}; they are left out of training."]


def _hold_out(
    found: LabelledImages, digests: Sequence[str], pool: NDArray[np.int64], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if found.pictures.boxes and len({found.groups[k] for k in pool}) == 1:
        # Parts of one image are all that there is; the caller is told what their scores are worth.
        found = replace(found, groups=("",) * len(found.groups))
    strata, targets = found.strata[pool], found.targets[pool]
    many = len(set(_kin(found, digests, pool).tolist()))
    folds = max(2, min(FOLDS, round(1 / share), int(np.bincount(strata).max()), many))
    for train, held in _folds(found, digests, pool, folds, seed):
        if (targets[train].any(axis=0) | ~targets.any(axis=0)).all():
            return pool[train], pool[held]
    raise DataError("No split leaves images of every class to train on.", "Add images of the rarest class.")


def split_folds(found: LabelledImages, digests: Sequence[str], folds: int, seed: int) -> list[NDArray[np.int64]]:
    """Return the numbers of the images of each fold of a cross-validation; those of the part ``test`` are in none.

    Each fold has about the same share of every class; patients and equal images stay together.

    Raises
    ------
    DataError
        If there are fewer patients or images of a class than folds.
    """
    pool = np.flatnonzero(np.array(found.parts, dtype=object) != "test")
    strata = found.strata[pool]
    together = _kin(found, digests, pool)
    for kind in np.unique(strata).tolist():
        many = len(set(together[strata == kind].tolist()))
        if many < folds and kind < len(found.classes):
            raise DataError(
                f"The class {found.classes[kind]} has {many} patients or images for {folds} folds.",
                "Take fewer folds, or add images.",
            )
    return [pool[held] for _train, held in _folds(found, digests, pool, folds, seed)]


def fold_of(found: LabelledImages, digests: Sequence[str], fold: tuple[int, int], seed: int) -> LabelledImages:
    """Return the images with one fold of a cross-validation as the part ``test``, beside those that were there before.

    Parameters
    ----------
    found : LabelledImages
        The images; whether they are to train or to validate on is forgotten.
    digests : sequence of str
        Of each image.
    fold : (int, int)
        Number of the fold, from 0 on, and how many there are.
    seed : int
        Of the folds.
    """
    number, folds = fold
    parts = np.array(["test" if part == "test" else "" for part in found.parts], dtype=object)
    parts[split_folds(found, digests, folds, seed)[number]] = "test"
    return replace(found, parts=tuple(parts.tolist()), published=False)


def _folds(
    found: LabelledImages, digests: Sequence[str], pool: NDArray[np.int64], folds: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield places in `pool` to train on and to hold out."""
    from sklearn.model_selection import StratifiedGroupKFold

    together = _kin(found, digests, pool)
    if len(set(together.tolist())) < 2:
        raise DataError(
            "All images are of one patient, or nearly equal, so nothing can be held out.",
            "Add images of another one; if they are different, --set nearly_equal=false.",
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A class with fewer images than folds is in some of them only, and callers see to that.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        chosen = list(splitter.split(np.zeros((len(pool), 1)), found.strata[pool], together))
    yield from chosen


def _kin(found: LabelledImages, digests: Sequence[str], pool: NDArray[np.int64]) -> NDArray[np.int64]:
    numbers = pool.tolist()
    return _together([found.groups[k] for k in numbers], [digests[k] for k in numbers])


def _together(groups: Sequence[str], digests: Sequence[str]) -> NDArray[np.int64]:
    """Return a number per image, the same for images that share a patient or all values, also by way of others."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    places: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for number, (group, image) in enumerate(zip(groups, digests, strict=True)):
        places["image", image].append(number)
        if group:
            places["group", group].append(number)
    pairs = [(members[0], other) for members in places.values() for other in members]
    rows, columns = np.array(pairs).T
    graph = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(len(groups), len(groups)))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)
