"""What is in the folder of a detection's training."""

from pathlib import Path

from napari_medseg.training.detection.config import DetectionConfig
from napari_medseg.training.scored import ScoredRun


class DetectionRun(ScoredRun):
    """What is trained, on what, and how."""

    images: Path
    """Folder of images."""
    boxes: Path
    """As for `napari_medseg.data.boxes.read_boxes`."""
    train: DetectionConfig = DetectionConfig()
