"""One explanation of several, each of a member of an ensemble."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_medseg.explain.result import Curve, Curves, Explanation, Sanity
from napari_medseg.explain.sanity import judge, mean_of
from napari_medseg.models.pipeline import Ensemble

if TYPE_CHECKING:
    from napari_medseg.models import Bundle


def averaged(bundle: "Bundle", found: Sequence[Explanation]) -> Explanation:
    """Return the mean of what explains the members: of maps, scores, and checks, each of a member's own map.

    In maps and scores each member counts as much as in the model's prediction.

    Parameters
    ----------
    bundle : Bundle
        The ensemble.
    found : sequence of Explanation
        Of one class, with one method.
    """
    assert isinstance(bundle.spec.pipeline, Ensemble)
    first, all_scores, shares = found[0], [one.scores for one in found], bundle.spec.pipeline.shares
    scores = replace(
        first.scores,
        model=bundle.spec.name,
        model_hash=bundle.hash,
        score=_mean([one.score for one in all_scores], shares),
        probability=_mean([one.probability for one in all_scores], shares),
        baseline_score=_mean([one.baseline_score for one in all_scores], shares),
        total=_mean([one.total for one in all_scores], shares),
        layer=None,
        sanity=_sanity([one.sanity for one in all_scores if one.sanity is not None]),
        curves=_curves([one.curves for one in all_scores if one.curves is not None]),
        seconds=sum(one.seconds for one in all_scores),
    )
    data = np.average(np.stack([np.asarray(one.map.data, np.float64) for one in found]), axis=0, weights=shares)
    words = f"{scores.method} of the class {scores.target} by the model {scores.model}, the mean over its members"
    name = f"{scores.method} of {scores.target} by {scores.model}"
    return Explanation(replace(first.map, data=np.asarray(data, np.float32), name=name, derivation=words), scores)


def _sanity(found: Sequence[Sanity]) -> Sanity | None:
    if not found:
        return None
    stages = zip(*(one.stages for one in found), strict=False)
    return judge([mean_of(stage) for stage in stages], found[0].draws)


def _curves(found: Sequence[Curves]) -> Curves | None:
    if not found:
        return None
    baselines = dict.fromkeys(one.baseline for one in found)
    deletion, insertion = _curve([one.deletion for one in found]), _curve([one.insertion for one in found])
    return Curves(deletion, insertion, " or ".join(baselines))


def _curve(found: Sequence[Curve]) -> Curve:
    probabilities = np.mean([one.probabilities for one in found], axis=0)
    area, chance = _mean([one.area for one in found]), _mean([one.by_chance for one in found])
    return Curve(tuple(probabilities.tolist()), area, chance)


def _mean(values: Sequence[float], shares: Sequence[float] | None = None) -> float:
    return float(np.average(values, weights=shares))
