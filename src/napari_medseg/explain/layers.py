"""The layers of a network: what they give for an image, and how the score depends on it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

import torch
from torch import nn

from napari_medseg.errors import ConfigError
from napari_medseg.explain.question import Question, Score

TOKENS = 3
"""Axes of what a transformer gives: (image, token, feature)."""
REMEDY = "Choose occlusion, LIME, integrated gradients, SmoothGrad or SHAP, which need no such layer."


@dataclass(frozen=True, eq=False)
class Grid:
    """What a layer gives at every place of a grid over the image."""

    name: str
    values: torch.Tensor
    """(1, feature, ...) over the axes of the image."""
    gradient: torch.Tensor
    """The same shape: how the score changes with each value."""
    score: torch.Tensor
    """(1,) of the image."""


def grid_of(question: Question, speaks: Callable[[Grid], bool] = lambda _grid: True) -> Grid:
    """Return the chosen layer's values, or those of the layer that suits the network; tokens are laid out as a grid.

    Parameters
    ----------
    question : Question
        What is asked.
    speaks : callable
        Whether a layer has anything to say; if it has not, others are tried where the user chose none.

    Raises
    ------
    ConfigError
        If there is no such layer, it has no grid over the image, or the score does not depend on it.
    """
    wanted = question.options.layer or question.shared.get("layer")
    with recorded(question.score.network) as calls:
        image = question.image.detach().requires_grad_()
        score = question.score(image)
        outputs = dict(calls)
    if not outputs:
        raise ConfigError("The network shows nothing of its layers, so this method cannot look into it.", REMEDY)
    if wanted is not None and wanted not in outputs:
        known = ", ".join(name for name, values in outputs.items() if _laid_out(values, question) is not None)
        raise ConfigError(f"The network has no layer {wanted!r}.", f"Layers with a grid: {known}.")
    names = [wanted] if wanted is not None else _candidates(outputs, question)
    silent: Grid | None = None
    for name in names:
        found = _grid(name, outputs[name], score, question)
        if found is not None and speaks(found):
            question.shared["layer"] = name
            return found
        silent = silent or found
    if silent is not None:
        question.shared["layer"] = silent.name
        return silent
    where = "The network" if wanted is None else f"The layer {wanted!r}"
    raise ConfigError(f"{where} has no grid over the image on which the score depends.", REMEDY)


@contextmanager
def recorded(network: nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    """Collect what the layers of a network give while it runs, by name, in the order in which they end."""
    outputs: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            # Some layers are passed more than once: the last time counts, and its place in the order.
            outputs.pop(name, None)
            if isinstance(output, torch.Tensor):
                outputs[name] = output

        return hook

    if isinstance(network, torch.jit.ScriptModule):
        yield outputs
        return
    beside = getattr(network, "beside", None)
    named = [(name, part) for name, part in network.named_modules() if name and not (beside and beside in name)]
    handles = [module.register_forward_hook(keep(name)) for name, module in named]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def prepared(network: nn.Module) -> nn.Module:
    """Return a network whose layers leave the values of others alone and whose weights need no gradient; in place."""
    for module in network.modules():
        # A script has its layers written into its code, and cannot be changed.
        if getattr(module, "inplace", False) is True and not isinstance(module, torch.jit.ScriptModule):
            module.inplace = False  # type: ignore[assignment]
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network.eval()


def _candidates(outputs: dict[str, torch.Tensor], question: Question) -> list[str]:
    """Return the layers to try, the best first."""
    dense = question.shared.get("dense", False)
    usable = []
    for name, values in outputs.items():
        shape = _laid_out(values, question)
        if shape is not None and max(shape) > 1 and not _is_pooling(question.score, name):
            usable.append((name, shape))
    # Between the blocks of a transformer tokens have one width; queries, keys and values are wider.
    width = min((outputs[name].shape[2] for name, _shape in usable if outputs[name].ndim == TOKENS), default=0)
    usable = [
        (name, shape) for name, shape in usable if outputs[name].ndim != TOKENS or outputs[name].shape[2] == width
    ]
    if dense:
        # The output itself says nothing about its reasons: the coarsest layer sees most of the image.
        last = None if hasattr(question.score.network, "beside") else next(reversed(outputs.values()))
        usable = [(name, shape) for name, shape in usable if outputs[name] is not last]
        usable.sort(key=lambda layer: -prod(layer[1]))
    return [name for name, _shape in usable][::-1]


def _is_pooling(score: Score, name: str) -> bool:
    """Return whether a layer only averages: it may make a grid from a single number."""
    kind = type(score.network.get_submodule(name)).__name__
    return kind.startswith("Adaptive")


def _grid(name: str, values: torch.Tensor, score: torch.Tensor, question: Question) -> Grid | None:
    """Return a layer as a grid; None if it has none, or the score does not depend on it."""
    shape = _laid_out(values, question)
    if shape is None or not values.requires_grad:
        return None
    (gradient,) = torch.autograd.grad(score.sum(), values, retain_graph=True, allow_unused=True)
    if gradient is None:
        return None
    laid, slope = _as_grid(values, shape, question.dims), _as_grid(gradient, shape, question.dims)
    if question.options.layer is None and not slope.any():
        return None
    return Grid(name, laid.detach(), slope.detach(), score.detach())


def _laid_out(values: torch.Tensor, question: Question) -> tuple[int, ...] | None:
    """Return the grid of a layer's output; None if it has none."""
    if len(values) != len(question.image):
        return None
    if values.ndim == question.dims + 2:
        return tuple(values.shape[2:])
    if values.ndim == TOKENS:
        return _token_grid(values.shape[1], question.image.shape[2:])
    return None


def _token_grid(tokens: int, size: Sequence[int]) -> tuple[int, ...] | None:
    """Return the grid of patches that tokens stand for, the first token for none if there is one too many.

    Examples
    --------
    >>> _token_grid(197, (224, 224)), _token_grid(8, (32, 32, 32)), _token_grid(7, (32, 32))
    ((14, 14), (2, 2, 2), None)
    """
    for edge in range(1, min(size) + 1):
        grid = tuple(n // edge for n in size)
        if all(n % edge == 0 for n in size) and prod(grid) in (tokens, tokens - 1) and prod(grid) > 1:
            return grid
    return None


def _as_grid(values: torch.Tensor, shape: tuple[int, ...], dims: int) -> torch.Tensor:
    if values.ndim == dims + 2:
        return values
    patches = values[:, values.shape[1] - prod(shape) :]
    return patches.transpose(1, 2).reshape(len(values), -1, *shape)
