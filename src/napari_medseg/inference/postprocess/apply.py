"""Doing the steps, one after the other."""

from collections.abc import Sequence

import numpy as np

from napari_medseg.errors import ConfigError, DataError
from napari_medseg.inference.postprocess.components import keep_largest, remove_small
from napari_medseg.inference.postprocess.holes import fill_holes
from napari_medseg.inference.postprocess.smoothing import smooth
from napari_medseg.inference.postprocess.steps import FillHoles, KeepLargest, Merge, PostProcessing, RemoveSmall, Step
from napari_medseg.prediction import LabelMap
from napari_medseg.volume import Geometry


def postprocess(label_map: LabelMap, processing: PostProcessing, geometry: Geometry | None = None) -> LabelMap:
    """Return a label map after some steps; the given one stays as it is.

    Parameters
    ----------
    label_map : LabelMap
        On the image's own grid.
    processing : PostProcessing
        The steps.
    geometry : Geometry, optional
        The grid of the label map, for sizes in mm.

    Raises
    ------
    ConfigError
        If a step names a class that the label map does not have by then.
    DataError
        If a step needs a volume in mm³ and the label map has none.

    Examples
    --------
    >>> from napari_medseg.volume import LabelClass
    >>> classes = (LabelClass(value=0, name="background"), LabelClass(value=1, name="cell"))
    >>> found = LabelMap(np.array([[1, 1, 0, 1], [1, 1, 0, 0]], np.uint8), classes)
    >>> postprocess(found, PostProcessing(steps=(KeepLargest(),))).labels
    array([[1, 1, 0, 0],
           [1, 1, 0, 0]], dtype=uint8)
    """
    for step in processing.steps:
        label_map = apply_step(label_map, step, geometry)
    return label_map


def apply_step(label_map: LabelMap, step: Step, geometry: Geometry | None = None) -> LabelMap:
    """Return a label map after one step; see `postprocess`."""
    values = _values(label_map, step)
    if isinstance(step, Merge):
        return _merge(label_map, values, step)
    labels = label_map.labels
    if isinstance(step, KeepLargest):
        labels = keep_largest(labels, values, step.components)
    elif isinstance(step, RemoveSmall):
        labels = remove_small(labels, values, _smallest_voxels(step, geometry))
    elif isinstance(step, FillHoles):
        labels = fill_holes(labels, values)
    else:
        spacing = geometry.spacing if geometry is not None else (1.0,) * labels.ndim
        labels = smooth(labels, values, [step.sigma_mm / s for s in spacing])
    return LabelMap(labels, label_map.classes)


def _values(label_map: LabelMap, step: Step) -> Sequence[int]:
    present = [c.value for c in label_map.classes if c.value]
    unknown = sorted(set(step.classes) - set(present))
    if unknown:
        raise ConfigError(
            f"The step {step.kind!r} after the network names class {unknown[0]}, which is not there.",
            f"There are {', '.join(map(str, present))}.",
        )
    return step.classes or present


def _smallest_voxels(step: RemoveSmall, geometry: Geometry | None) -> float:
    if step.below_mm3 is None:
        return float(step.below_voxels or 0)
    if geometry is None or geometry.ndim != 3:
        raise DataError("Objects below a size in mm³ cannot be removed: the image has no volume in mm³.", "Use voxels.")
    # Sizes that are equal but for rounding are not below.
    return step.below_mm3 / (geometry.voxel_volume_ml * 1000) - 1e-6


def _merge(label_map: LabelMap, values: Sequence[int], step: Merge) -> LabelMap:
    merged = {*values, step.into.value}
    kept = [c for c in label_map.classes if c.value == 0 or c.value not in merged]
    classes = tuple(sorted([*kept, *([step.into] if step.into.value else [])], key=lambda c: c.value))
    highest = max([c.value for c in label_map.classes] + [c.value for c in classes])
    table = np.arange(highest + 1, dtype=np.result_type(label_map.labels.dtype, np.min_scalar_type(highest)))
    table[list(values)] = step.into.value
    return LabelMap(table[label_map.labels], classes)
