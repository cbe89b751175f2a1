"""Which processor runs a network, what it is called, and how much of its memory is in use."""

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_medseg import heap
from napari_medseg.errors import DeviceError
from napari_medseg.progress import Control, Event, Finished

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "bfloat16", "float16", "auto"]


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A processor that networks can run on."""

    id: str
    """For `choose`: ``"cpu"``, ``"cuda:0"``, ``"mps"``."""
    name: str
    """As its maker calls it."""
    memory_bytes: int
    """All of its memory; 0 when it does not say."""
    bf16: bool
    """Whether it multiplies bfloat16 in hardware."""

    def __str__(self) -> str:
        memory = f", {self.memory_bytes / 2**30:.0f} GB" if self.memory_bytes else ""
        return f"{self.id}: {self.name}{memory}{', bfloat16' if self.bf16 else ''}"


def choose(name: str = "auto") -> "torch.device":
    """Return the device of a name.

    Parameters
    ----------
    name : str
        ``"auto"`` (the first CUDA device, else Apple's MPS, else the CPU), ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or
        ``"mps"``.

    Raises
    ------
    DeviceError
        If there is no such device here, or the name means nothing.

    Examples
    --------
    >>> choose("cpu")
    device(type='cpu')
    """
    import torch

    if name == "auto":
        return torch.device(available()[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"{name!r} is not the name of a device.", "Use auto, cpu, cuda, cuda:1 or mps.")
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda:0")
    if str(device) not in available():
        raise DeviceError(
            f"The device {name!r} was asked for, but this machine offers {', '.join(available())}.",
            "Set the device to auto, or check the driver and that PyTorch was built for this device.",
        )
    return device


def available() -> tuple[str, ...]:
    """Return the names of the devices here, best first; the CPU is always the last."""
    import torch

    cuda = tuple(f"cuda:{index}" for index in range(torch.cuda.device_count())) if torch.cuda.is_available() else ()
    mps = ("mps",) if torch.backends.mps.is_available() else ()
    return (*cuda, *mps, "cpu")


def describe(name: str = "auto") -> DeviceInfo:
    """Return what is known of the device that `choose` returns for `name`."""
    import torch

    device = choose(name)
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return DeviceInfo(str(device), properties.name, properties.total_memory, has_bf16(device))
    if device.type == "mps":
        return DeviceInfo("mps", "Apple GPU", torch.mps.recommended_max_memory(), has_bf16(device))
    return DeviceInfo("cpu", _cpu_name(), _host_memory(), has_bf16(device))


def has_bf16(device: "torch.device") -> bool:
    """Return whether a device multiplies bfloat16 in hardware, so that using it saves time."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type == "cpu":
        # Without these instructions oneDNN emulates bfloat16, slower than float32.
        tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(bool(getattr(torch.cpu, test, bool)()) for test in tests)
    return False


def compute_dtype(precision: Precision, device: "torch.device") -> "torch.dtype":
    """Return the number format for a network's arithmetic.

    Parameters
    ----------
    precision : {"float32", "bfloat16", "float16", "auto"}
        ``auto`` takes bfloat16 where `has_bf16`.
    device : torch.device
        Where the network runs.
    """
    import torch

    if precision == "float16":
        return torch.float16
    if precision == "bfloat16" or (precision == "auto" and has_bf16(device)):
        return torch.bfloat16
    return torch.float32


def memory_in_use(name: str = "auto") -> int:
    """Return the bytes that this process holds: tensors on a GPU, resident memory for the CPU."""
    import torch

    device = choose(name)
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    if device.type == "mps":
        return torch.mps.current_allocated_memory()
    import psutil

    return int(psutil.Process().memory_info().rss)


def release_memory(device: "torch.device") -> None:
    """Give memory that no tensor uses back to the system."""
    import torch

    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
    else:
        heap.release()


def describe_job(control: Control) -> Iterator[Event]:
    """Yield `Finished` with a tuple of `DeviceInfo`: the devices of the process that runs jobs, best first."""
    control.checkpoint()
    yield Finished(tuple(describe(name) for name in available()))


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()} ({os.cpu_count()} cores)"


def _host_memory() -> int:
    import psutil

    return int(psutil.virtual_memory().total)
