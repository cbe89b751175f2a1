"""What a model says about an image."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_medseg.volume import PALETTE, Geometry, LabelClass

__all__ = ["PALETTE", "LabelClass", "LabelMap", "Output", "Prediction", "ProbabilityMap", "UncertaintyMap"]


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


Output = LabelMap | ProbabilityMap | UncertaintyMap


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
    def label_map(self) -> LabelMap:
        """The first label map among the outputs."""
        return next(output for output in self.outputs if isinstance(output, LabelMap))
