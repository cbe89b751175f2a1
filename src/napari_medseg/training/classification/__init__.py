"""Training of networks that give one class per image. Importing this package loads no torch."""

from napari_medseg.training.classification.config import ClassificationConfig
from napari_medseg.training.classification.request import create_classification
from napari_medseg.training.classification.run import ClassificationRun

__all__ = ["ClassificationConfig", "ClassificationRun", "create_classification"]
