"""What is in the folder of a detection's training."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from napari_medseg.models.spec import ModelSpec
from napari_medseg.training.detection.config import DetectionConfig


class DetectionRun(BaseModel):
    """What is trained, on what, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    spec: ModelSpec
    """The model to be made."""
    images: Path
    """Folder of images."""
    boxes: Path
    """As for `napari_medseg.data.boxes.read_boxes`."""
    fingerprint: str
    """SHA-256 of all images and boxes: a run goes on with what it began with."""
    train: DetectionConfig = DetectionConfig()
    init: Path | None = None
    """Folder of the bundle to start from."""


@dataclass(frozen=True)
class DetectionResult:
    """What training a detection ends with."""

    bundle: Path
    """The model's folder."""
    step: int
    """Step of the weights in it."""
    steps: int
    """Steps that were planned."""
    stopped: bool
    """Whether it ended before the plan, as asked or as nothing got better."""
    scores: dict[str, float]
    """On the images that were kept out of training: ``map50`` and ``map``; empty where none were."""
    seconds: float
    """Training time, over all resumptions."""
