"""What a model says about an image."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_medseg.errors import DataError
from napari_medseg.volume import PALETTE, Geometry, LabelClass

__all__ = [
    "PALETTE", "Boxes", "LabelClass", "LabelMap", "Output", "OutputKind", "Prediction", "ProbabilityMap",
    "UncertaintyMap",
]  # fmt: skip

OutputKind = Literal["classes", "regions", "several", "ordered"]
"""How a network's channels stand for classes; see `napari_medseg.models.ModelSpec.output`."""


@dataclass(frozen=True, eq=False)
class LabelMap:
    """One class per voxel."""

    labels: NDArray[np.unsignedinteger]
    """(z, y, x) or (y, x) label values; 0 is background."""
    classes: tuple[LabelClass, ...]
    """All values that may occur, background included."""


@dataclass(frozen=True, eq=False)
class ProbabilityMap:
    """A probability per class and voxel."""

    probabilities: NDArray[np.float32]
    """(class, z, y, x) or (class, y, x), in [0, 1], summing to 1 over the classes."""
    classes: tuple[LabelClass, ...]
    """In the order of the first axis."""


@dataclass(frozen=True, eq=False)
class UncertaintyMap:
    """How undecided the model is at each voxel."""

    uncertainty: NDArray[np.float32]
    """(z, y, x) or (y, x) entropy of the class probabilities over its largest value, the logarithm of the number of
    classes: 0 where one class is certain, 1 where all are equally likely."""


@dataclass(frozen=True, eq=False)
class Boxes:
    """Things on an image, each in a box along the axes of its grid.

    The voxel of index i reaches from i to i + 1 along its axis, so a box around the voxels a to b, both included, is
    from a to b + 1; its length is stop - start. This is the convention of COCO. The *centre* of a voxel is at i + 0.5
    here, and at i for `Geometry`.

    Examples
    --------
    >>> cell = LabelClass(value=1, name="cell")
    >>> boxes = Boxes(np.array([[[2, 4], [5, 10]]]), np.array([1]), np.array([0.9]), (cell,))
    >>> boxes.sizes.tolist(), boxes.centres.tolist(), boxes.names
    ([[3.0, 6.0]], [[3.5, 7.0]], ('cell',))
    """

    edges: NDArray[np.float64]
    """(n, 2, axes): start and stop of each box along the axes of the array, (z, y, x) or (y, x)."""
    labels: NDArray[np.int64]
    """(n,) class values."""
    scores: NDArray[np.float64]
    """(n,) how sure the model is, in [0, 1]; 1 for boxes that a person drew."""
    classes: tuple[LabelClass, ...]
    """All values that may occur; there is no background."""
    masks: NDArray[np.float32] | None = None
    """(n, rows, columns), planes only: how likely each part of a box belongs to the thing, in [0, 1], where a box is
    cut into so many rows and columns of equal size. None where the model gives boxes alone."""

    def __post_init__(self) -> None:
        edges = np.asarray(self.edges, np.float64)
        if edges.ndim != 3 or edges.shape[1] != 2 or edges.shape[2] not in (2, 3):
            raise DataError(f"Boxes need an array of (n, 2, 2 or 3) edges; got {edges.shape}.")
        labels, scores = np.asarray(self.labels, np.int64), np.asarray(self.scores, np.float64)
        if labels.shape != (len(edges),) or scores.shape != (len(edges),):
            raise DataError(f"{len(edges)} boxes with labels {labels.shape} and scores {scores.shape}.")
        if not np.isfinite(edges).all() or (edges[:, 1] < edges[:, 0]).any():
            raise DataError("A box ends before it starts, or its edges are no numbers.", "Correct its corners.")
        if self.masks is not None and (self.masks.ndim != 3 or len(self.masks) != len(edges) or edges.shape[2] != 2):
            raise DataError(f"{len(edges)} boxes of {edges.shape[2]} axes with masks of shape {self.masks.shape}.")
        unknown = set(labels.tolist()) - {c.value for c in self.classes}
        if unknown:
            raise DataError(f"The class values {sorted(unknown)} of boxes have no name.", "Name all classes.")
        for name, value in (("edges", edges), ("labels", labels), ("scores", scores)):
            object.__setattr__(self, name, value)

    @classmethod
    def none(cls, axes: int, classes: tuple[LabelClass, ...]) -> "Boxes":
        """Return no boxes at all."""
        return cls(np.empty((0, 2, axes)), np.empty(0, np.int64), np.empty(0), classes)

    def __len__(self) -> int:
        return len(self.edges)

    @property
    def axes(self) -> int:
        """Number of spatial axes, 2 or 3."""
        return int(self.edges.shape[2])

    @property
    def sizes(self) -> NDArray[np.float64]:
        """(n, axes) lengths in voxels."""
        return np.asarray(self.edges[:, 1] - self.edges[:, 0])

    @property
    def centres(self) -> NDArray[np.float64]:
        """(n, axes) middles, in the convention of `edges`."""
        return np.asarray(self.edges.mean(axis=1))

    @property
    def names(self) -> tuple[str, ...]:
        """(n,) names of the classes."""
        known = {c.value: c.name for c in self.classes}
        return tuple(known[label] for label in self.labels.tolist())

    def chosen(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> "Boxes":
        """Return some of the boxes, by a mask or by numbers."""
        masks = None if self.masks is None else self.masks[which]
        return Boxes(self.edges[which], self.labels[which], self.scores[which], self.classes, masks)

    def sizes_mm(self, geometry: Geometry) -> NDArray[np.float64]:
        """Return the (n, axes) lengths of the boxes' edges in mm, on the grid that they are drawn on.

        Boxes of a plane may be on a grid of a single slice.
        """
        return np.asarray(self.sizes * np.array(geometry.spacing)[-self.axes :])


Output = LabelMap | ProbabilityMap | UncertaintyMap | Boxes


@dataclass(frozen=True, eq=False)
class Prediction:
    """The outputs of one model on one image, on that image's own grid."""

    outputs: tuple[Output, ...]
    geometry: Geometry | None
    """Grid of the image that was predicted on; None when it has none."""
    bundle: str
    """Name of the model."""
    bundle_hash: str
    """SHA-256 of the model's weights and specification."""
    options: dict[str, Any] = field(default_factory=dict)
    """The options of the prediction, as JSON values."""
    seconds: float = 0.0

    @property
    def boxes(self) -> Boxes:
        """The first boxes among the outputs."""
        return next(output for output in self.outputs if isinstance(output, Boxes))

    @property
    def label_map(self) -> LabelMap:
        """The first label map among the outputs."""
        return next(output for output in self.outputs if isinstance(output, LabelMap))
