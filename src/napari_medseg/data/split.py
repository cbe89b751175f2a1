"""Keeping a part of the annotation out of training, so that scores mean something."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_medseg.data.sample import Sample
from napari_medseg.tasks import UNLABELLED

Box3 = tuple[slice, slice, slice]
GAP = 2
"""Voxels between the held-out and the training part: neighbours of a held-out voxel would give its answer away."""
CELLS_PER_AXIS = 5
"""A sparsely annotated region is divided into so many blocks along each axis."""
CELLS_PER_AXIS_DENSE = 3
"""A densely annotated region is divided into fewer and larger blocks, as the gap costs annotation."""
SMALLEST_CELL = 4
MIN_GROUPS = 3
"""With so many patients, whole patients are held out instead of blocks."""
MIN_PAINTED_GROUPS = 5
"""The same where images are not annotated completely: there strokes are few, and one patient holds many of them."""
ENOUGH_UNITS = 3
"""Patients or blocks that are held out, where there are several times as many: fewer have no interval."""
MIN_FOREGROUND = 10
"""With fewer held-out foreground voxels a score would be noise."""
NOT_VALIDATED = (
    "Too little is annotated to keep a part of it for validation: all of it is used for training, and the "
    "model is not validated."
)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Which annotated voxels are kept out of training."""

    masks: dict[str, NDArray[np.bool_]]
    """(z, y, x) per sample identifier, on the network's grid; samples without held-out voxels are absent."""
    note: str
    """One sentence for the user: what was held out, or that nothing could be."""
    blocks: dict[str, tuple[Box3, ...]] = field(default_factory=dict)
    """Per sample identifier, the parts of the grid whose annotation is held out; absent where a whole patient is."""
    patients: dict[str, str] = field(default_factory=dict)
    """Per identifier of a sample of a patient that is held out, the patient."""

    @property
    def unit(self) -> str:
        """What is held out, in a word."""
        return "patient" if self.patients else "block"

    def units(self, sample: Sample) -> list[tuple[str, Box3]]:
        """Return the parts of a sample that tell something of their own about a model, each with its name.

        Parts of one name, in all samples, belong together.
        """
        whole = (slice(None), slice(None), slice(None))
        if sample.id not in self.masks:
            return []
        if sample.id not in self.blocks:
            return [(self.patients.get(sample.id, sample.group), whole)]
        return [(f"{sample.id} {number}", box) for number, box in enumerate(self.blocks[sample.id])]

    def training_target(self, sample: Sample) -> NDArray[np.int16]:
        """Return the sample's target without the held-out voxels and their near neighbours."""
        excluded = self._excluded.get(sample.id)
        return sample.target if excluded is None else np.where(excluded, np.int16(UNLABELLED), sample.target)

    @cached_property
    def _excluded(self) -> dict[str, NDArray[np.bool_]]:
        return {name: near(mask) for name, mask in self.masks.items()}

    def validation_target(self, sample: Sample) -> NDArray[np.int16] | None:
        """Return the sample's target at the held-out voxels alone, or None if it has none."""
        mask = self.masks.get(sample.id)
        return None if mask is None else np.where(mask, sample.target, np.int16(UNLABELLED))


def hold_out(samples: Sequence[Sample], share: float, seed: int) -> HeldOut:
    """Choose annotated voxels to validate on.

    With several patients these are whole patients; otherwise contiguous blocks of the grid, with a gap to what is
    trained on, so that no slice beside a held-out one is trained on there. Every class keeps voxels to train on, and
    has held-out voxels where it has enough.

    Parameters
    ----------
    samples : sequence of Sample
        What is trained on.
    share : float
        Part of the annotated voxels of each class to hold out, in [0, 0.5]; 0 holds out nothing.
    seed : int
        The same samples and seed give the same choice.

    Returns
    -------
    HeldOut
        Empty, with a note that says so, if too little is annotated.
    """
    if share == 0:
        return HeldOut({}, "All annotation is used for training, as set; the model is not validated.")
    patients = patients_of(samples)
    painted = any(sample.scheme == "sparse" for sample in samples)
    if len(set(patients.values())) >= (MIN_PAINTED_GROUPS if painted else MIN_GROUPS):
        # Whoever paints looks at the first image, and wants it learnt.
        held_out = _hold_out_groups(samples, patients, share, seed, patients[samples[0].id] if painted else None)
        if held_out.masks:
            return held_out
    return _hold_out_blocks(samples, share, seed)


def patients_of(samples: Sequence[Sample]) -> dict[str, str]:
    """Return the patient of each sample, by its identifier: equal images are of one patient, whatever is said of them.

    The patient that is named first stands for all that belong together.
    """
    images: dict[bytes, str] = {}
    same: dict[str, str] = {}
    for sample in samples:
        first = images.setdefault(_fingerprint(sample.image), sample.group)
        one, other = sorted((_leader(same, first), _leader(same, sample.group)))
        same[other] = one
    return {sample.id: _leader(same, sample.group) for sample in samples}


def _leader(same: dict[str, str], group: str) -> str:
    while same.setdefault(group, group) != group:
        group = same[group]
    return group


def _fingerprint(image: NDArray[np.float32]) -> bytes:
    return hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()).digest()


def _hold_out_groups(
    samples: Sequence[Sample], patients: dict[str, str], share: float, seed: int, kept: str | None
) -> HeldOut:
    classes, groups = len(samples[0].classes), sorted(set(patients.values()))
    counts = {group: np.zeros(classes, np.int64) for group in groups}
    for sample in samples:
        counts[patients[sample.id]] += _class_counts(sample.target, classes)
    total = sum(counts.values(), np.zeros(classes, np.int64))
    wanted = max(1, round(share * len(groups)), min(ENOUGH_UNITS, len(groups) // ENOUGH_UNITS))
    chosen: list[str] = []
    for group in np.random.default_rng(seed).permutation(groups).tolist():
        left = total - sum((counts[other] for other in (*chosen, group)), np.zeros(classes, np.int64))
        if group != kept and len(chosen) < wanted and not ((left == 0) & (total > 0)).any():
            chosen.append(group)
    held = sum((counts[group] for group in chosen), np.zeros(classes, np.int64))
    masks = {s.id: s.target != UNLABELLED for s in samples if patients[s.id] in chosen}
    if held[1:].sum() < MIN_FOREGROUND:
        return HeldOut({}, NOT_VALIDATED)
    note = f"{len(chosen)} of {len(groups)} patients are kept out of training for validation."
    return HeldOut(masks, note, patients={name: patients[name] for name in masks})


@dataclass(frozen=True, eq=False)
class _Cell:
    """A block of one sample's grid that holds annotation."""

    sample: int
    box: Box3
    voxels: NDArray[np.intp]
    """Flat indices of its annotated voxels."""
    counts: NDArray[np.int64]
    """Annotated voxels per class."""


def _hold_out_blocks(samples: Sequence[Sample], share: float, seed: int) -> HeldOut:
    classes = len(samples[0].classes)
    cells = [cell for number, sample in enumerate(samples) for cell in _cells(number, sample.target, classes)]
    chosen = _choose(cells, share, np.random.default_rng(seed), classes)
    held = sum((cell.counts for cell in chosen), np.zeros(classes, np.int64))
    if held[1:].sum() < MIN_FOREGROUND:
        return HeldOut({}, NOT_VALIDATED)
    masks: dict[str, NDArray[np.bool_]] = {}
    blocks: dict[str, tuple[Box3, ...]] = {}
    for cell in chosen:
        sample = samples[cell.sample]
        blocks[sample.id] = (*blocks.get(sample.id, ()), cell.box)
        mask = masks.setdefault(sample.id, np.zeros(sample.target.shape, bool))
        mask.reshape(-1)[cell.voxels] = True
    annotated = sum(int(cell.counts.sum()) for cell in cells)
    return HeldOut(
        masks,
        f"{int(held.sum())} of {annotated} annotated voxels, in {len(chosen)} of {len(cells)} blocks, are kept out of "
        "training for validation.",
        blocks,
    )


def _choose(cells: Sequence[_Cell], share: float, rng: np.random.Generator, classes: int) -> list[_Cell]:
    """Return cells so that each class comes near its share, and none loses more than twice that."""
    total = sum((cell.counts for cell in cells), np.zeros(classes, np.int64))
    goal, most = share * total, np.minimum(2 * share, 0.6) * total
    held = np.zeros(classes, np.int64)
    chosen: set[int] = set()
    order = rng.permutation(len(cells)).tolist()
    rarest_first = sorted(range(classes), key=lambda k: sum(cell.counts[k] > 0 for cell in cells))
    for k in rarest_first:
        for number in order:
            counts = cells[number].counts
            if held[k] >= goal[k]:
                break
            if counts[k] and number not in chosen and (held + counts <= most).all():
                chosen.add(number)
                held = held + counts
    return [cells[number] for number in sorted(chosen)]


def _cells(number: int, target: NDArray[np.int16], classes: int) -> list[_Cell]:
    flat = np.flatnonzero(target != UNLABELLED)
    if not flat.size:
        return []
    index = np.stack(np.unravel_index(flat, target.shape), axis=1)
    low, extent = index.min(axis=0), np.ptp(index, axis=0) + 1
    dense = flat.size > 0.5 * extent.prod()
    edge = np.maximum(-(-extent // (CELLS_PER_AXIS_DENSE if dense else CELLS_PER_AXIS)), SMALLEST_CELL)
    block = (index - low) // edge
    key = np.ravel_multi_index(tuple(block.T), tuple(block.max(axis=0) + 1))
    order = np.argsort(key, kind="stable")
    parts = np.split(flat[order], np.flatnonzero(np.diff(key[order])) + 1)
    cells = []
    for voxels in parts:
        first = low + block[np.searchsorted(flat, voxels[0])] * edge
        z, y, x = (slice(int(a), int(a + n)) for a, n in zip(first, edge, strict=True))
        cells.append(_Cell(number, (z, y, x), voxels, _class_counts(target.reshape(-1)[voxels], classes)))
    return cells


def _class_counts(target: NDArray[np.int16], classes: int) -> NDArray[np.int64]:
    return np.bincount(target.reshape(-1).astype(np.int64) + 1, minlength=classes + 1)[1:].astype(np.int64)


def near(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the voxels within `GAP` voxels of a mask along every axis, itself included."""
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    box = tuple(slice(max(part.start - GAP, 0), part.stop + GAP) for part in box)
    grown = np.zeros_like(mask)
    grown[box] = ndimage.binary_dilation(mask[box], np.ones((3,) * mask.ndim, bool), iterations=GAP)
    return grown
