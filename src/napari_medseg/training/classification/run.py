"""What is in the folder of a classification's training."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from napari_medseg.models.spec import ModelSpec
from napari_medseg.training.classification.config import ClassificationConfig

HELD_OUT = "held_out.csv"
"""Table in a run's folder of what the model says of images that were kept out of training, and what they are."""


class ClassificationRun(BaseModel):
    """What is trained, on what, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    spec: ModelSpec
    """The model to be made."""
    images: Path
    """Folder of images, or npz file."""
    labels: Path | None = None
    """Table of labels; None where folders or the npz file say them."""
    fingerprint: str
    """SHA-256 of all images and labels: a run goes on with what it began with."""
    fold: tuple[int, int] | None = None
    """Which fold of how many of a cross-validation is kept out, counted from 0; None for none."""
    train: ClassificationConfig = ClassificationConfig()
    init: Path | None = None
    """Folder of the bundle to start from."""


@dataclass(frozen=True)
class ClassificationResult:
    """What training a classification ends with."""

    bundle: Path
    """The model's folder."""
    step: int
    """Step of the weights in it."""
    steps: int
    """Steps that were planned."""
    stopped: bool
    """Whether it ended before the plan, as asked or as nothing got better."""
    scores: dict[str, float]
    """On the images that were kept out of training: ``auc``, ``accuracy`` and ``cross_entropy``."""
    seconds: float
    """Training time, over all resumptions."""
