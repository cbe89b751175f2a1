"""A simulated annotator: short, shaky strokes per class on a few slices, drawn from a reference."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.ndimage import binary_dilation, binary_fill_holes, distance_transform_edt, label

from napari_medseg.data.sample import BACKGROUND_VALUE
from napari_medseg.errors import DataError

NEAR_VOXELS = 12
"""How close to a class a third of the background's strokes begin, where they matter; a third begins in background that
the classes enclose, such as the fluid in a brain, and the rest anywhere."""

SLIP_VOXELS = 2
"""How far a slip of the hand goes."""

Plane = NDArray[np.bool_]


class Annotator(BaseModel):
    """How a simulated user draws."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    strokes: Annotated[int, Field(ge=1)] = 6
    """Per class and slice, background included."""
    length: Annotated[int, Field(ge=1)] = 12
    """Voxels of a stroke, at most; it ends early where the structure does."""
    jitter: Annotated[float, Field(ge=0)] = 0.4
    """Standard deviation in radians of the turn from one voxel to the next."""
    error_rate: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the drawn voxels where the hand slips across a nearby border."""
    seed: Annotated[int, Field(ge=0)] = 0


def draw_strokes(
    reference: NDArray[np.integer], slices: Sequence[tuple[int, int]], annotator: Annotator | None = None
) -> NDArray[np.unsignedinteger]:
    """Return sparse labels as a user would draw them.

    Parameters
    ----------
    reference : (z, y, x) integer array
        Class value of every voxel; 0 is background.
    slices : sequence of (axis, index)
        Planes that are drawn on.
    annotator : Annotator, optional
        The hand.

    Returns
    -------
    (z, y, x) unsigned array
        0 unlabelled, `BACKGROUND_VALUE` background, else the class value. Without slips, all agree with the reference.

    Raises
    ------
    DataError
        If the reference uses the value that marks background, or a slice is outside.
    """
    annotator = annotator or Annotator()
    values = [int(value) for value in np.unique(reference)]
    if BACKGROUND_VALUE in values or values[0] < 0:
        raise DataError(
            f"The reference uses {BACKGROUND_VALUE} or a negative value as a class.", "Renumber its classes."
        )
    random = np.random.default_rng(annotator.seed)
    labels = np.zeros(reference.shape, np.min_scalar_type(max(values[-1], BACKGROUND_VALUE)))
    for axis, index in slices:
        if not (0 <= axis < reference.ndim and 0 <= index < reference.shape[axis]):
            raise DataError(f"Slice {index} of axis {axis} is outside of an array of shape {reference.shape}.")
        plane, drawn = np.moveaxis(reference, axis, 0)[index], np.moveaxis(labels, axis, 0)[index]
        for value in values:
            for voxel in _strokes(plane, value, annotator, random):
                drawn[voxel] = value or BACKGROUND_VALUE
    return labels


def draw_corrections(
    reference: NDArray[np.integer],
    predicted: NDArray[np.integer],
    labels: NDArray[np.unsignedinteger],
    annotator: Annotator | None = None,
) -> NDArray[np.unsignedinteger]:
    """Return sparse labels with strokes added where a prediction is most wrong, as a user would correct it.

    The user scrolls through the slices along the first axis and stops where much is wrong, the more often the more it
    is, and paints into the largest wrong region there.

    Parameters
    ----------
    reference, predicted : (z, y, x) integer arrays
        Class value of every voxel; 0 is background.
    labels : (z, y, x) unsigned array
        What is drawn so far: 0 unlabelled, `BACKGROUND_VALUE` background, else the class value. Not changed.
    annotator : Annotator, optional
        The hand; draws `strokes` strokes in all.

    Returns
    -------
    (z, y, x) unsigned array
        A copy with more voxels drawn; what was drawn before stays.
    """
    annotator = annotator or Annotator()
    random = np.random.default_rng(annotator.seed)
    labels = labels.copy()
    wrong = (reference != predicted) & (labels == 0)
    for _ in range(annotator.strokes):
        amount = np.count_nonzero(wrong, axis=(1, 2)).astype(float) ** 2
        if not amount.any():
            break
        index = int(random.choice(len(amount), p=amount / amount.sum()))
        region = _largest(wrong[index])
        value = int(np.bincount(reference[index][region]).argmax())
        allowed = region & (reference[index] == value)
        start = _start(allowed, random)
        if start is not None:
            for voxel in _walk(allowed, start, annotator, random):
                slips = random.random() < annotator.error_rate
                place = (index, *(_slip(allowed, voxel, random) if slips else voxel))
                labels[place] = labels[place] or value or BACKGROUND_VALUE
        wrong[index][region] = False
    return labels


def _largest(mask: Plane) -> Plane:
    """Return the largest connected region of a mask that is not empty."""
    parts, _count = label(mask)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(parts == sizes.argmax())


def _strokes(
    plane: NDArray[np.integer], value: int, annotator: Annotator, random: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """Yield the (row, column) of every voxel that is drawn for one class on one plane."""
    allowed = np.asarray(plane == value)
    for number in range(annotator.strokes):
        start = _start(_where_to_begin(plane, allowed, value, number), random)
        if start is None:
            return
        for voxel in _walk(allowed, start, annotator, random):
            slips = random.random() < annotator.error_rate
            yield _slip(allowed, voxel, random) if slips else voxel


def _where_to_begin(plane: NDArray[np.integer], allowed: Plane, value: int, number: int) -> Plane:
    if value or number % 3 == 2:
        return allowed
    classes = plane != 0
    wanted = binary_dilation(classes, iterations=NEAR_VOXELS) if number % 3 else binary_fill_holes(classes)
    found = np.asarray(wanted) & allowed
    return found if found.any() else allowed


def _start(allowed: Plane, random: np.random.Generator) -> tuple[int, int] | None:
    """Return a voxel, the likelier the deeper inside the structure; None if there is none."""
    depth = np.asarray(distance_transform_edt(np.pad(allowed, 1)))[1:-1, 1:-1].ravel()
    total = depth.sum()
    if not total:
        return None
    row, column = np.unravel_index(random.choice(depth.size, p=depth / total), allowed.shape)
    return int(row), int(column)


def _walk(
    allowed: Plane, start: tuple[int, int], annotator: Annotator, random: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """Yield distinct voxels of a shaky line that stays inside and turns away from borders."""
    place, angle, seen = np.array(start, float), random.uniform(0, 2 * np.pi), {start}
    yield start
    for _step in range(annotator.length - 1):
        angle += random.normal(0, annotator.jitter)
        for turn in (0.0, 0.5, -0.5, 1.0, -1.0, 1.6, -1.6):
            ahead = place + np.array([np.sin(angle + turn), np.cos(angle + turn)])
            voxel = (round(ahead[0]), round(ahead[1]))
            if _inside(voxel, allowed) and allowed[voxel]:
                break
        else:
            return
        place, angle = ahead, angle + turn
        if voxel not in seen:
            seen.add(voxel)
            yield voxel


def _slip(allowed: Plane, voxel: tuple[int, int], random: np.random.Generator) -> tuple[int, int]:
    """Return a voxel across the border near `voxel`, or itself if there is none within `SLIP_VOXELS`."""
    reach = range(-SLIP_VOXELS, SLIP_VOXELS + 1)
    around = [(voxel[0] + row, voxel[1] + column) for row in reach for column in reach]
    wrong = [place for place in around if _inside(place, allowed) and not allowed[place]]
    return wrong[random.integers(len(wrong))] if wrong else voxel


def _inside(voxel: tuple[int, int], plane: Plane) -> bool:
    rows, columns = int(plane.shape[0]), int(plane.shape[1])
    return 0 <= voxel[0] < rows and 0 <= voxel[1] < columns
