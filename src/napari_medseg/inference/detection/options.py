"""The settings of a detection's prediction."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from napari_medseg.device import Precision
from napari_medseg.inference.detection.merging import Merge


class DetectOptions(BaseModel):
    """How to find boxes; the defaults serve."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Boxes below this score are left out. Low, as scores like mAP ask for unsure boxes, too."""
    most: Annotated[int, Field(ge=1, le=100_000)] = 300
    """Boxes of an image that are kept, the surest ones."""
    merge: Merge = "nms"
    """What becomes of several boxes around the same thing: the surest one stays, or their weighted mean does."""
    iou: Annotated[float, Field(gt=0, lt=1)] = 0.6
    """Overlap over union from which on two boxes of a class are around the same thing."""
    tile: Annotated[int, Field(ge=32, le=8192)] | None = None
    """Edge in voxels of the tiles that large images are cut into; None for the model's own."""
    flips: bool = False
    """Look at mirrored images, too, and merge what is found; takes as many times longer."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
    precision: Precision = "auto"
    """Number format of the network's arithmetic."""
