"""Scores of predictions against references. Importing this package loads no torch."""

from napari_medseg.evaluate.metrics import dice, hausdorff95, surface_dice
from napari_medseg.evaluate.report import ClassScores, Comparison, SegmentationReport
from napari_medseg.evaluate.segmentation import ScoreOptions, evaluate_segmentation, score_case, score_segmentation

__all__ = [
    "ClassScores",
    "Comparison",
    "ScoreOptions",
    "SegmentationReport",
    "dice",
    "evaluate_segmentation",
    "hausdorff95",
    "score_case",
    "score_segmentation",
    "surface_dice",
]
