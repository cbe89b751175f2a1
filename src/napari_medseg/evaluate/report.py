"""What an evaluation says, ready for JSON."""

from math import isfinite, nan
from statistics import fmean

from pydantic import BaseModel, ConfigDict, field_validator

from napari_medseg.evaluate.statistics import Interval, PairedTest, bootstrap_interval, paired_tests

METRICS = ("dice", "hd95", "nsd", "volume_error_ml", "volume_error_percent")
"""Fields of `ClassScores` that say how good a prediction is."""

COMPARED = ("dice", "nsd", "hd95")
"""Those that two models are compared by."""


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
    volume_error_percent: float | None = None
    """The same in percent of the reference volume; undefined where the reference has none of the class."""

    @field_validator("*")
    @classmethod
    def _finite(cls, value: float | None) -> float | None:
        return value if value is not None and isfinite(value) else None


Scores = dict[str, dict[str, ClassScores]]
"""By case and class name."""


class Comparison(BaseModel):
    """A second model's predictions on the same cases, and whether the models differ."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    cases: Scores
    mean: dict[str, ClassScores]
    failures: dict[str, str]
    tests: dict[str, dict[str, PairedTest]]
    """By metric (``dice``, ``nsd``, ``hd95``) and class name; the first model minus the second."""


class SegmentationReport(BaseModel):
    """Scores of predicted label maps against references."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    cases: Scores
    """Scores by case and class name."""
    mean: dict[str, ClassScores]
    """Mean over the cases where a score is defined, by class name."""
    tolerance: float
    """Distance that counts as agreement of surfaces, in the same unit as the distances."""
    unit: str
    """``"mm"``, or ``"voxels"`` where images have no geometry."""
    failures: dict[str, str] = {}
    """Why a case has no prediction that can be scored, by name. It counts as one in which nothing was found."""
    intervals: dict[str, dict[str, Interval]] = {}
    """95 % bootstrap interval of the mean, by class name and metric."""
    comparison: Comparison | None = None
    """With a second model."""

    @property
    def mean_dice(self) -> float:
        """Mean Dice over the classes; nan if undefined for all."""
        defined = [scores.dice for scores in self.mean.values() if scores.dice is not None]
        return fmean(defined) if defined else nan


def intervals_of(cases: Scores, seed: int = 0) -> dict[str, dict[str, Interval]]:
    """Return the interval of the mean of each metric over the cases where it is defined, by class name and metric."""
    found: dict[str, dict[str, Interval]] = {}
    for name in class_names(cases):
        for metric in METRICS:
            values = [
                value
                for scores in cases.values()
                if name in scores
                if (value := getattr(scores[name], metric)) is not None
            ]
            if (interval := bootstrap_interval(values, seed=seed)) is not None:
                found.setdefault(name, {})[metric] = interval
    return found


def compare(first: Scores, second: Scores, failures: dict[str, str], seed: int = 0) -> Comparison:
    """Return a comparison of two models on the same cases.

    A case counts for a class and a metric where the metric is defined for both.
    """
    tests = {}
    for metric in COMPARED:
        pairs = {name: _paired(first, second, name, metric) for name in class_names(first | second)}
        tests[metric] = paired_tests(pairs, seed=seed)
    return Comparison(cases=second, mean=mean_scores(second), failures=failures, tests=tests)


def class_names(cases: Scores) -> list[str]:
    """Return the names of all classes that were scored, in order of appearance."""
    return list(dict.fromkeys(name for scores in cases.values() for name in scores))


def _paired(first: Scores, second: Scores, name: str, metric: str) -> tuple[list[float], list[float]]:
    both: tuple[list[float], list[float]] = ([], [])
    for case in first:
        values = [getattr(scores[case].get(name, ClassScores()), metric) for scores in (first, second)]
        if None not in values:
            for values_of_model, value in zip(both, values, strict=True):
                values_of_model.append(value)
    return both


def mean_scores(cases: Scores) -> dict[str, ClassScores]:
    """Return the mean of each score over the cases where it is defined, by class name in order of appearance."""
    return {name: _mean([scores[name] for scores in cases.values() if name in scores]) for name in class_names(cases)}


def _mean(scores: list[ClassScores]) -> ClassScores:
    means = {}
    for field in ClassScores.model_fields:
        defined = [value for score in scores if (value := getattr(score, field)) is not None]
        means[field] = fmean(defined) if defined else None
    return ClassScores(**means)
