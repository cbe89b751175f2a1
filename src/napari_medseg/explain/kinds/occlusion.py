"""Occlusion."""

from math import ceil, prod
from typing import TYPE_CHECKING

from napari_medseg.explain.registry import Method, register

if TYPE_CHECKING:
    import torch

    from napari_medseg.explain.question import Question


def occlusion(question: "Question") -> "torch.Tensor":
    """Return how much the score falls when a window hides a voxel, the mean over all windows that do."""
    from captum.attr import Occlusion

    from napari_medseg.explain.question import summed

    channels = 1 if question.options.per_channel else question.image.shape[1]
    windows, strides = _windows(question), _strides(question)
    found = Occlusion(question.score).attribute(
        question.image,
        sliding_window_shapes=(channels, *windows),
        strides=(channels, *strides),
        baselines=question.baseline,
        perturbations_per_eval=question.batch,
    )
    # Every channel of a window that hides all of them got the whole fall.
    return summed(found / channels, question.options.per_channel)


def _windows(question: "Question") -> tuple[int, ...]:
    size = question.options.window
    return tuple(max(1, min(n, n // 8 if size is None else size)) for n in question.image.shape[2:])


def _strides(question: "Question") -> tuple[int, ...]:
    stride = question.options.stride
    if stride is None:
        return tuple(max(1, n // 2) if question.dims == 2 else n for n in _windows(question))
    return tuple(min(stride, n) for n in _windows(question))


def _passes(question: "Question") -> int:
    places = zip(question.image.shape[2:], _windows(question), _strides(question), strict=True)
    count = prod(1 + ceil(max(n - window, 0) / stride) for n, window, stride in places)
    return 1 + count * (question.image.shape[1] if question.options.per_channel else 1)


register(
    Method(
        "occlusion",
        "Occlusion",
        "How much the score falls when a window over the voxel shows the baseline instead of the image.",
        occlusion,
        _passes,
        signed=True,
        hides=True,
        uses=("baseline", "window", "stride", "per_channel"),
    )
)
