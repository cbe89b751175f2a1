"""What a model says about an image."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from napari_medseg.volume import Geometry

PALETTE = (
    "#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#911eb4", "#46f0f0", "#f032e6", "#bcf60c", "#fabebe",
    "#008080", "#e6beff", "#9a6324", "#fffac8", "#800000", "#aaffc3", "#808000", "#ffd8b1", "#000075", "#a9a9a9",
)  # fmt: skip
"""Twenty distinct colours (S. Trubetskoy), class value 1 first; repeats after twenty."""


class LabelClass(BaseModel):
    """One class of a label map.

    Examples
    --------
    >>> LabelClass(value=1, name="liver").color
    '#e6194b'
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    value: Annotated[int, Field(ge=0, le=65535)]
    """Number in the label map; 0 is background."""
    name: Annotated[str, Field(min_length=1)]
    """As shown to the user."""
    color: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] = ""
    """``#rrggbb``; by default from the palette."""

    def model_post_init(self, _context: object) -> None:
        """Fill in the palette's colour."""
        if not self.color:
            object.__setattr__(self, "color", PALETTE[(self.value - 1) % len(PALETTE)] if self.value else "#000000")


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


Output = LabelMap | ProbabilityMap


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
