"""Starting from the weights of another model."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
from torch import nn

from napari_medseg.errors import ConfigError
from napari_medseg.models import Bundle, ModelSpec, NetworkDef
from napari_medseg.models.registry import build, network_def
from napari_medseg.volume import LabelClass

HEAD_ARGUMENTS = ("out_channels",)


def load_weights(network: nn.Module, spec: ModelSpec, bundle: Bundle) -> str:
    """Copy a bundle's weights into a network of the same architecture.

    The output layers are taken over for the classes of the same name; those of new classes stay random.

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
    heads = _head_axes(spec)
    kept = _common(bundle.spec.classes, spec.classes)
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
    fresh = [c.name for index, c in enumerate(spec.classes) if index not in {after for _, after in kept}]
    if not fresh:
        return f"Training starts from the weights of {bundle.spec.name}."
    return f"Training starts from the weights of {bundle.spec.name}; its output is new for {', '.join(fresh)}."


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
    own = {key: value for key, value in definition.arguments.items() if key not in HEAD_ARGUMENTS}
    return own | {f"layer {n}": (part.target, _body(part)) for n, part in enumerate(definition.parts)}


def _head_axes(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """Return the tensors that depend on the number of classes, with the axes that do."""
    extra = LabelClass(value=max(c.value for c in spec.classes) + 1, name="one more")
    with torch.device("meta"):
        now = build(spec).state_dict()
        then = build(spec.model_copy(update={"classes": (*spec.classes, extra)})).state_dict()
    return {
        name: tuple(axis for axis in range(tensor.ndim) if tensor.shape[axis] != then[name].shape[axis])
        for name, tensor in now.items()
        if tensor.shape != then[name].shape
    }


def _common(old: Sequence[LabelClass], new: Sequence[LabelClass]) -> list[tuple[int, int]]:
    """Return the indices of classes in both, background always among them."""
    before = {c.name: index for index, c in enumerate(old)}
    return [(0, 0)] + [(before[c.name], k) for k, c in enumerate(new) if k and before.get(c.name, 0)]
