"""Tiles on their way to the network: the next ones are read and sent while the device computes."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import torch

from napari_medseg.inference.tiling import Shape3

Starts = Sequence[Shape3]


class Sender(Protocol):
    """A way to a device."""

    def send(self, tiles: torch.Tensor) -> object:
        """Begin to copy tiles; returns a ticket for `receive`."""
        ...

    def receive(self, ticket: object) -> torch.Tensor:
        """Return the tiles on the device, for use by what is computed from now on."""
        ...


class PlainSender:
    """Copies when asked."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def send(self, tiles: torch.Tensor) -> torch.Tensor:
        """Return the tiles on the device."""
        return tiles.to(self._device)

    def receive(self, ticket: object) -> torch.Tensor:
        """Return what was sent."""
        assert isinstance(ticket, torch.Tensor)
        return ticket


class CudaSender:
    """Copies from pinned memory in a stream of its own, while another computes."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._stream = device, torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def send(self, tiles: torch.Tensor) -> "tuple[torch.Tensor, torch.Tensor, torch.cuda.Event]":
        """Begin to copy; the pinned memory has to live until the copy has arrived."""
        pinned = tiles.pin_memory()
        with torch.cuda.stream(self._stream):
            moved = pinned.to(self._device, non_blocking=True)
            return pinned, moved, self._stream.record_event()

    def receive(self, ticket: object) -> torch.Tensor:
        """Let the computing stream wait for the copy."""
        assert isinstance(ticket, tuple)
        _, moved, arrived = ticket
        current = torch.cuda.current_stream(self._device)
        current.wait_event(arrived)
        # Or the memory could be given away while the computing stream still reads it.
        moved.record_stream(current)
        return torch.as_tensor(moved)


def sender_for(device: torch.device) -> Sender:
    """Return the fastest way to a device."""
    return CudaSender(device) if device.type == "cuda" else PlainSender(device)


def tiles_for(
    starts: Starts, size: Callable[[], int], load: Callable[[Starts], torch.Tensor], device: torch.device
) -> Iterator[tuple[Starts, torch.Tensor]]:
    """Yield batches of tiles on the device; the next is on its way while one is used, if the device is not the CPU.

    Parameters
    ----------
    starts : sequence of (z, y, x)
        All tiles, in order.
    size : callable
        Returns how many make the next batch.
    load : callable
        Returns the (tile, channel, z, y, x) tiles on the CPU.
    device : torch.device
        Where they go.
    """
    if device.type == "cpu":
        done = 0
        while done < len(starts):
            part = starts[done : done + size()]
            done += len(part)
            yield part, load(part)
        return
    yield from _ahead(starts, size, load, sender_for(device))


def _ahead(
    starts: Starts, size: Callable[[], int], load: Callable[[Starts], torch.Tensor], sender: Sender
) -> Iterator[tuple[Starts, torch.Tensor]]:
    with ThreadPoolExecutor(1, "tiles") as thread:
        part, done = starts[: size()], 0
        coming = thread.submit(lambda part: sender.send(load(part)), part)
        while part:
            tiles = sender.receive(coming.result())
            done += len(part)
            following = starts[done : done + size()]
            if following:
                coming = thread.submit(lambda part: sender.send(load(part)), following)
            yield part, tiles
            part = following
