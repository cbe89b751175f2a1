"""Trainings that are scored as a whole on images kept out of them. Importing this package loads no torch."""

from napari_medseg.training.scored.run import ScoredConfig, ScoredResult, ScoredRun

__all__ = ["ScoredConfig", "ScoredResult", "ScoredRun"]
