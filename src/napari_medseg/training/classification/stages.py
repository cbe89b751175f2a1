"""The parts of a network that learn at rates of their own, or are freed one after the other."""

from collections import Counter
from itertools import pairwise

from torch import nn

from napari_medseg.models import ModelSpec
from napari_medseg.models.pretrained import head_names

MOST_STAGES = 6
"""With the last layer; finer parts are put together."""
WHOLE = 0.5
"""Share of all parameters from which a module's own modules are the stages."""
STAGED = 0.2
"""Share of the steps in which only the last layer learns, where stages are freed one after the other."""
ALL_FREE = 0.5
"""Share of the steps after which all learn."""


def stages_of(network: nn.Module, spec: ModelSpec) -> list[list[nn.Parameter]]:
    """Return the parameters of a network by stage, from the last layer to the first.

    The first stage is what depends on the classes, and what is told beside the image.
    """
    head = head_names(spec)
    named = list(network.named_parameters())
    body = [(name, p) for name, p in named if name not in head and not name.startswith("facts.")]
    inside = {id(p) for _name, p in body}
    last = [p for _name, p in named if id(p) not in inside]
    stages: dict[str, list[nn.Parameter]] = {}
    depth = _depth([name for name, _p in body])
    for name, parameter in body:
        stages.setdefault(".".join(name.split(".")[:depth]), []).append(parameter)
    found = list(stages.values())
    groups = min(MOST_STAGES - 1, len(found))
    edges = [round(k * len(found) / groups) for k in range(groups + 1)] if groups else []
    together = [[p for stage in found[low:high] for p in stage] for low, high in pairwise(edges)]
    return [last, *reversed(together)]


def free_stages(freeze: str, stages: int, done: float) -> int:
    """Return how many stages learn, counted from the last layer on.

    Parameters
    ----------
    freeze : str
        As `ClassificationConfig.freeze`.
    stages : int
        How many there are.
    done : float
        Share of the steps that were taken.

    Examples
    --------
    >>> [free_stages("staged", 6, done) for done in (0, 0.19, 0.2, 0.35, 0.49, 0.5, 1)]
    [1, 1, 2, 3, 5, 6, 6]
    """
    if freeze == "none":
        return stages
    if freeze == "head" or done < STAGED:
        return 1
    freed = 2 + int((stages - 2) * (done - STAGED) / (ALL_FREE - STAGED))
    return min(freed, stages)


def _depth(names: list[str]) -> int:
    """Return how many parts of a parameter's name tell the stage: more where one module holds most of the network."""
    depth = 1
    while names:
        counts = Counter(".".join(name.split(".")[:depth]) for name in names)
        longest = max(len(name.split(".")) for name in names)
        if depth >= longest - 1 or max(counts.values()) <= WHOLE * len(names):
            break
        depth += 1
    return depth
