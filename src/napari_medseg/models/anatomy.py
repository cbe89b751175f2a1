"""Which parts of a network do what: its encoder, its decoder, and the output layers that know the classes."""

from typing import TYPE_CHECKING, Literal

from napari_medseg.models.registry import build
from napari_medseg.models.spec import ModelSpec
from napari_medseg.volume import LabelClass

if TYPE_CHECKING:
    from torch import nn

Part = Literal["encoder", "decoder", "head"]


def head_axes(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """Return the tensors that depend on the number of classes, with the axes that do.

    Those of outputs at coarser resolutions, by which some networks learn, are among them.
    """
    extra = LabelClass(value=max(c.value for c in spec.classes) + 1, name="one more")
    now = skeleton(spec).state_dict()
    then = skeleton(spec.model_copy(update={"classes": (*spec.classes, extra)})).state_dict()
    return {
        name: tuple(axis for axis in range(tensor.ndim) if tensor.shape[axis] != then[name].shape[axis])
        for name, tensor in now.items()
        if tensor.shape != then[name].shape
    }


def parts(spec: ModelSpec) -> dict[str, Part]:
    """Return what each parameter of a network belongs to.

    The head are the layers that know the classes. The encoder is what runs up to the last layer at the coarsest
    resolution, the decoder what runs after it; a network that keeps one resolution has no decoder.

    Parameters
    ----------
    spec : ModelSpec
        Of a network that is built here.

    Returns
    -------
    dict of str to {"encoder", "decoder", "head"}
        By the name of the parameter, as in ``build(spec).named_parameters()``.
    """
    import torch

    network = skeleton(spec).eval()
    ran: list[tuple[str, int]] = []

    def note(name: str, output: object) -> None:
        if isinstance(output, torch.Tensor):
            ran.append((name, output.shape[2:].numel() if output.ndim == spec.dims + 2 else 0))

    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: note(name, output))
        for name, module in network.named_modules()
        if next(module.parameters(recurse=False), None) is not None
    ]
    with torch.inference_mode():
        network(torch.empty((1, spec.channels, *spec.patch_size), device="meta"))
    for hook in hooks:
        hook.remove()
    coarsest = min((size for _, size in ran if size), default=0)
    last = max(position for position, (_, size) in enumerate(ran) if size == coarsest)
    # Layers whose output is no image, such as those of a transformer, belong to what ran before.
    finer = next((position for position, (_, size) in enumerate(ran) if position > last and size), len(ran))
    after = {name for name, _ in ran[finer:]} - {name for name, _ in ran[:finer]}
    head = head_axes(spec)
    return {
        name: "head" if name in head else "decoder" if name.rpartition(".")[0] in after else "encoder"
        for name, _ in network.named_parameters()
    }


def skeleton(spec: ModelSpec) -> "nn.Module":
    """Return the network without numbers in its weights, on PyTorch's device ``meta``."""
    import torch

    try:
        with torch.device("meta"):
            return build(spec)
    except RuntimeError:
        # A constructor that computes needs numbers.
        return build(spec).to("meta")
