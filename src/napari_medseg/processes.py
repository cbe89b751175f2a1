"""Several processes that train one network together, as ``torchrun`` starts them; alone, nothing here does anything."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import nn

Value = TypeVar("Value")


def count() -> int:
    """Return how many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Return the number of this process, from 0; the first one writes."""
    return int(os.environ.get("RANK", "0"))


@contextmanager
def joined() -> Iterator[None]:
    """Connect with the other processes while the context lasts; again inside of it, without effect."""
    if count() == 1:
        yield
        return
    import torch
    import torch.distributed as dist

    if dist.is_initialized():
        yield
        return
    # Numbers on the CPU go by gloo, those on GPUs by nccl.
    gpus = torch.cuda.is_available() and dist.is_nccl_available()
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def device_name(name: str) -> str:
    """Return the device of this process, where every process of a machine has a GPU of its own."""
    import torch

    if count() == 1 or name not in ("auto", "cuda") or not torch.cuda.is_available():
        return name
    return f"cuda:{os.environ.get('LOCAL_RANK', rank())}"


def wait() -> None:
    """Wait until all processes are here."""
    any_of(False)


def from_first(value: Value) -> Value:
    """Return what the first process has."""
    import torch.distributed as dist

    if count() == 1:
        return value
    box: list[Any] = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]  # type: ignore[no-any-return]


def gathered(value: Value) -> list[Value]:
    """Return what each process has, the first one's first."""
    import torch.distributed as dist

    if count() == 1:
        return [value]
    box: list[Any] = [None] * count()
    dist.all_gather_object(box, value)
    return box


def any_of(*flags: bool) -> tuple[bool, ...]:
    """Return for each flag whether it is raised in any of the processes."""
    import torch
    import torch.distributed as dist

    if count() == 1:
        return flags
    raised = torch.tensor(flags, dtype=torch.int32)
    dist.all_reduce(raised, dist.ReduceOp.MAX)
    return tuple(bool(flag) for flag in raised)


def total(values: "torch.Tensor") -> "torch.Tensor":
    """Return the sum of a tensor over all processes.

    Gradients pass, in the sense that their mean over the processes, as `average_gradients` takes it, is the gradient of
    what is computed from the sum.
    """
    import torch.distributed as dist

    if count() == 1:
        return values
    summed = values.detach().clone()
    dist.all_reduce(summed)
    # Adds nothing but the way for the gradient, which is the same in all processes and will be divided by their number.
    return summed + count() * (values - values.detach()) if values.requires_grad else summed


def average_gradients(parameters: "Iterable[nn.Parameter]") -> None:
    """Replace the gradients by their mean over the processes."""
    if count() > 1:
        _average([parameter.grad for parameter in parameters if parameter.grad is not None])


def average_statistics(modules: "Iterable[nn.Module]") -> None:
    """Replace what modules measure while they train by its mean over the processes."""
    if count() > 1:
        _average([b for module in modules for b in module.buffers(recurse=False) if b.is_floating_point()])


def _average(tensors: "list[torch.Tensor]") -> None:
    import torch
    import torch.distributed as dist

    if not tensors:
        return
    # One message: many small ones would take longer.
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= count()
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))
