"""Scores of predictions against references. Importing this package loads no torch."""

from napari_medseg.evaluate.metrics import dice, hausdorff95, surface_dice
from napari_medseg.evaluate.report import ClassScores, SegmentationReport
from napari_medseg.evaluate.segmentation import evaluate_segmentation, score_case, score_segmentation

__all__ = [
    "ClassScores",
    "SegmentationReport",
    "dice",
    "evaluate_segmentation",
    "hausdorff95",
    "score_case",
    "score_segmentation",
    "surface_dice",
]
