"""What an evaluation says, ready for JSON."""

from math import isfinite, nan
from statistics import fmean

from pydantic import BaseModel, ConfigDict, field_validator


class ClassScores(BaseModel):
    """How well one class was found in one case, or on average over cases. None is undefined."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    dice: float | None = None
    """Overlap, in [0, 1]; undefined where the class is in neither."""
    hd95: float | None = None
    """95th percentile of the surface distance, in mm (or voxels, see the report); undefined where one is empty."""
    nsd: float | None = None
    """Share of the surfaces within the tolerance, in [0, 1]; undefined where the class is in neither."""
    predicted_ml: float | None = None
    """Volume in the prediction; undefined without geometry."""
    reference_ml: float | None = None
    """Volume in the reference; undefined without geometry."""
    volume_error_ml: float | None = None
    """Predicted minus reference volume."""

    @field_validator("*")
    @classmethod
    def _finite(cls, value: float | None) -> float | None:
        return value if value is not None and isfinite(value) else None


class SegmentationReport(BaseModel):
    """Scores of predicted label maps against references."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    cases: dict[str, dict[str, ClassScores]]
    """Scores by case and class name."""
    mean: dict[str, ClassScores]
    """Mean over the cases where a score is defined, by class name."""
    tolerance: float
    """Distance that counts as agreement of surfaces, in the same unit as the distances."""
    unit: str
    """``"mm"``, or ``"voxels"`` where images have no geometry."""

    @property
    def mean_dice(self) -> float:
        """Mean Dice over the classes; nan if undefined for all."""
        defined = [scores.dice for scores in self.mean.values() if scores.dice is not None]
        return fmean(defined) if defined else nan


def mean_scores(cases: dict[str, dict[str, ClassScores]]) -> dict[str, ClassScores]:
    """Return the mean of each score over the cases where it is defined, by class name in order of appearance."""
    names = dict.fromkeys(name for scores in cases.values() for name in scores)
    return {name: _mean([scores[name] for scores in cases.values() if name in scores]) for name in names}


def _mean(scores: list[ClassScores]) -> ClassScores:
    means = {}
    for field in ClassScores.model_fields:
        defined = [value for score in scores if (value := getattr(score, field)) is not None]
        means[field] = fmean(defined) if defined else None
    return ClassScores(**means)
