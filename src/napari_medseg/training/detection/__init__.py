"""Training of networks that find boxes. Importing this package loads no torch."""

from napari_medseg.training.detection.config import DetectionConfig
from napari_medseg.training.detection.request import create_detection
from napari_medseg.training.detection.run import DetectionRun

__all__ = ["DetectionConfig", "DetectionRun", "create_detection"]
