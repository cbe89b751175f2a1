"""What is in the folder of a classification's training."""

from pathlib import Path

from napari_medseg.training.classification.config import ClassificationConfig
from napari_medseg.training.scored import ScoredRun

HELD_OUT = "held_out.csv"
"""Table in a run's folder of what the model says of images that were kept out of training, and what they are."""


class ClassificationRun(ScoredRun):
    """What is trained, on what, and how."""

    images: Path
    """Folder of images, or npz file."""
    labels: Path | None = None
    """Table of labels; None where folders or the npz file say them."""
    alike: tuple[tuple[int, int], ...] = ()
    """Numbers of images that are nearly the same, in pairs; they stay on one side of every split."""
    fold: tuple[int, int] | None = None
    """Which fold of how many of a cross-validation is kept out, counted from 0; None for none."""
    looked: float = 0.0
    """Seconds that were spent on looking at the images before, which count as training time."""
    train: ClassificationConfig = ClassificationConfig()
