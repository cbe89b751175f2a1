"""Tiles come to the device in order and ahead of time."""

import threading

import pytest
import torch

from napari_medseg.inference import feed
from napari_medseg.inference.feed import PlainSender, sender_for, tiles_for

STARTS = tuple((z, 0, 0) for z in range(7))
META = torch.device("meta")


def load(starts) -> torch.Tensor:
    return torch.tensor([start[0] for start in starts])


class Recorder:
    """Keeps what is sent, and where; the device is pretended."""

    def __init__(self) -> None:
        self.sent, self.threads = [], set()

    def send(self, tiles: torch.Tensor) -> list[int]:
        self.threads.add(threading.current_thread().name)
        self.sent.append(tiles.tolist())
        return tiles.tolist()

    def receive(self, ticket: object) -> torch.Tensor:
        return torch.tensor(ticket)


def test_on_the_cpu_tiles_are_read_when_they_are_needed():
    sizes = iter([3, 1, 1, 2])
    found = [
        (list(starts), tiles.tolist())
        for starts, tiles in tiles_for(STARTS, lambda: next(sizes), load, torch.device("cpu"))
    ]
    assert [tiles for _, tiles in found] == [[0, 1, 2], [3], [4], [5, 6]]
    assert [start for starts, _ in found for start in starts] == list(STARTS)


def test_elsewhere_the_next_are_sent_while_some_are_used(monkeypatch):
    recorder, sizes, seen = Recorder(), iter([3, 3, 2, 2]), []
    monkeypatch.setattr(feed, "sender_for", lambda device: recorder)
    for starts, tiles in tiles_for(STARTS, lambda: next(sizes), load, META):
        assert tiles.tolist() == [start[0] for start in starts]
        seen += tiles.tolist()
    assert seen == list(range(7))
    assert recorder.sent == [[0, 1, 2], [3, 4, 5], [6]]
    assert all(name.startswith("tiles") for name in recorder.threads)


def test_nothing_to_do_and_errors(monkeypatch):
    monkeypatch.setattr(feed, "sender_for", lambda device: Recorder())
    assert list(tiles_for((), lambda: 2, load, META)) == []

    def broken(starts) -> torch.Tensor:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk is gone"):
        list(tiles_for(STARTS, lambda: 2, broken, META))


def test_devices_without_streams_copy_when_asked():
    sender = sender_for(torch.device("mps"))
    assert isinstance(sender, PlainSender)
    tiles = torch.ones(3)
    assert torch.equal(PlainSender(torch.device("cpu")).receive(PlainSender(torch.device("cpu")).send(tiles)), tiles)


def test_the_copy_on_a_stream_of_its_own_is_waited_for(monkeypatch):
    """The order of calls on CUDA, with a pretended stream."""
    calls = []

    class Stream:
        def __init__(self, device) -> None:
            calls.append("stream")

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def record_event(self) -> str:
            calls.append("record")
            return "arrived"

        def wait_event(self, event: str) -> None:
            calls.append(f"wait {event}")

    class Tiles:
        def pin_memory(self):
            calls.append("pin")
            return self

        def to(self, device, non_blocking=False):
            calls.append(f"copy {non_blocking}")
            return torch.ones(2)

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream(device))
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: calls.append("keep"))
    sender = sender_for(torch.device("cuda:0"))
    assert sender.receive(sender.send(Tiles())).tolist() == [1, 1]
    assert [call for call in calls if call != "stream"] == ["pin", "copy True", "record", "wait arrived", "keep"]


@pytest.mark.gpu
def test_tiles_arrive_whole_on_a_gpu():
    big = torch.arange(4_000_000.0).view(4, -1)

    def read(starts) -> torch.Tensor:
        return torch.stack([big[start[0] % 4] for start in starts])

    for starts, tiles in tiles_for(STARTS * 5, lambda: 2, read, torch.device("cuda:0")):
        assert tiles.device.type == "cuda"
        assert torch.equal(tiles.cpu(), read(starts))
