"""Starting from the weights of another model."""

import re
from collections.abc import Sequence
from itertools import product
from typing import Any

from torch import nn

from napari_medseg.errors import ConfigError
from napari_medseg.models import Bundle, ModelSpec, NetworkDef
from napari_medseg.models.anatomy import head_axes
from napari_medseg.models.registry import network_def
from napari_medseg.volume import LabelClass

HEAD_ARGUMENTS = ("out_channels", "num_classes", "folds", "mirror_axes")
"""Arguments that may differ: the number of classes, and what is done with several networks of one architecture."""
UNNAMED = re.compile(r"(class|label|region|foreground)?[ _]*\d*", re.IGNORECASE)
"""Names that say no more than a value does."""


def load_weights(network: nn.Module, spec: ModelSpec, bundle: Bundle) -> str:
    """Copy a bundle's weights into a network of the same architecture.

    The output layers, those at coarser resolutions among them, are taken over for the classes of the same name, or of
    the same value where one of the names says nothing; those of new classes stay random.

    Parameters
    ----------
    network : nn.Module
        As built for `spec`; changed in place.
    spec : ModelSpec
        Of the network.
    bundle : Bundle
        Where to start from.

    Returns
    -------
    str
        A sentence for the user about what was taken over.

    Raises
    ------
    ConfigError
        If the bundle has another architecture or input.
    """
    _check_same_body(spec, bundle.spec)
    old, new = bundle.state_dict(), network.state_dict()
    heads, kept = head_axes(spec), _kept(spec, bundle.spec)
    for name, tensor in new.items():
        if name not in heads:
            tensor.copy_(old[name])
            continue
        axes = heads[name]
        for pairs in product(kept, repeat=len(axes)):
            source: list[int | slice] = [slice(None)] * tensor.ndim
            target = list(source)
            for axis, (before, after) in zip(axes, pairs, strict=True):
                source[axis], target[axis] = before, after
            tensor[tuple(target)] = old[name][tuple(source)]
    network.load_state_dict(new)
    return _note(spec, bundle.spec)


def fresh_parameters(spec: ModelSpec, other: ModelSpec) -> tuple[str, ...]:
    """Return the names of the parameters that hold something random after `load_weights`.

    These are the output layers if some class is new, and none otherwise.
    """
    return tuple(sorted(head_axes(spec))) if _new_classes(spec, other) else ()


def _note(spec: ModelSpec, other: ModelSpec) -> str:
    start, new = f"Training starts from the weights of {other.name}", _new_classes(spec, other)
    kept = [spec.classes[after].name for _, after in _kept(spec, other)]
    if not new:
        return f"{start}."
    if not kept:
        return f"{start}; its output is new for all classes."
    return f"{start}; its output is kept for {', '.join(kept)} and new for {', '.join(new)}."


def _check_same_body(spec: ModelSpec, other: ModelSpec) -> None:
    ours, theirs = network_def(spec), network_def(other)
    body, start = _body(ours), _body(theirs)
    different = sorted(key for key in body.keys() | start.keys() if body.get(key) != start.get(key))
    if ours.target != theirs.target or different:
        reason = f"its {', '.join(different)} differ" if different else f"it is a {other.architecture}"
        raise ConfigError(
            f"{other.name} cannot be the start of {spec.name}: {reason}.",
            "Take over the architecture, options, patch size and channels of the model you start from.",
        )


def _body(definition: NetworkDef) -> dict[str, Any]:
    """Return what makes a network, but for its number of classes."""
    own = _without_head(definition.arguments)
    return own | {f"layer {n}": (part.target, _body(part)) for n, part in enumerate(definition.parts)}


def _without_head(arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_head(value) if isinstance(value, dict) else value
        for key, value in arguments.items()
        if key not in HEAD_ARGUMENTS
    }


def _kept(spec: ModelSpec, other: ModelSpec) -> list[tuple[int, int]]:
    """Return the indices, before and after, of the classes in both models; those of background come first."""
    # Where classes overlap, a channel says something else than where they exclude each other.
    return common_classes(other.classes, spec.classes) if spec.output == other.output else []


def _new_classes(spec: ModelSpec, other: ModelSpec) -> list[str]:
    known = {after for _, after in _kept(spec, other)}
    return [c.name for index, c in enumerate(spec.classes) if index not in known]


def common_classes(old: Sequence[LabelClass], new: Sequence[LabelClass]) -> list[tuple[int, int]]:
    """Return the indices, in both, of classes that are the same: background, and those of the same name or value.

    The value counts only where one of the names says nothing.
    """
    names = {c.name.casefold(): index for index, c in enumerate(old) if index}
    values = {c.value: index for index, c in enumerate(old) if index}
    pairs = [(0, 0)]
    for index, c in enumerate(new):
        before = names.get(c.name.casefold())
        same_value = values.get(c.value)
        if before is None and same_value is not None and (_unnamed(c) or _unnamed(old[same_value])):
            before = same_value
        if index and before is not None and before not in {b for b, _ in pairs}:
            pairs.append((before, index))
    return pairs


def _unnamed(entry: LabelClass) -> bool:
    return UNNAMED.fullmatch(entry.name.strip()) is not None
