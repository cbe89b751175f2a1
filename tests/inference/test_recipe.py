"""How a network computes: what the options say, or what a measurement found and remembers."""

import json
import time

import pytest
import torch
from torch import nn

from napari_medseg.inference import PredictOptions, recipe
from napari_medseg.inference.network import Runner
from napari_medseg.inference.recipe import Job, Recipe, cache_file, choose, cooked

CPU = torch.device("cpu")


class Slow(nn.Module):
    """A convolution whose time depends on number format and memory format; can be wrong in a format."""

    def __init__(self, seconds: dict[str, float], wrong: str = "") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.seconds, self.wrong, self.calls = nn.Conv3d(1, 2, 3, padding=1), seconds, wrong, []

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        dtype = str(torch.get_autocast_dtype("cpu")).split(".")[1] if torch.is_autocast_enabled("cpu") else "float32"
        last = self.layer.weight.is_contiguous(memory_format=torch.channels_last_3d) and self.layer.weight.shape[1] > 1
        name = f"{dtype} channels_last" if last else dtype
        self.calls.append(name)
        time.sleep(self.seconds.get(name, 0.05))
        logits = self.layer(tiles)
        return -logits if name == self.wrong else logits


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_MEDSEG_HOME", str(tmp_path))
    monkeypatch.setattr(recipe, "has_bf16", lambda device: True)


def job(network: nn.Module, tiles: int = 1000) -> Job:
    sample = torch.randn((1, 1, 8, 8, 8), generator=torch.Generator().manual_seed(1))
    return Job(Runner(network, CPU), tiles, lambda: sample, 1 << 16, batch_size=1)


AUTO = PredictOptions(precision="auto", compile="off")


def test_without_auto_the_options_decide_and_nothing_runs():
    network = Slow({})
    found = choose(job(network), PredictOptions(precision="bfloat16", memory_format="channels_last", batch_size=3))
    assert found == Recipe("bfloat16", "channels_last", batch_size=3)
    assert choose(job(network), PredictOptions()) == Recipe("float32", "contiguous", batch_size=1)
    assert str(Recipe()) == "Computing in float32, contiguous, 1 tile at once, as the options say."
    assert network.calls == []


def test_small_jobs_are_not_measured():
    network = Slow({})
    assert choose(job(network, tiles=3), AUTO) == Recipe()
    assert network.calls == []


def test_the_fastest_is_taken_said_and_remembered():
    network = Slow({"bfloat16": 0.005, "float32": 0.05})
    found = choose(job(network), AUTO)
    assert (found.precision, found.source) == ("bfloat16", "measured")
    assert found.agreement >= recipe.AGREEMENT
    assert "bfloat16" in str(found)
    assert "s per tile" in str(found)
    network.calls.clear()
    again = choose(job(network), AUTO)
    assert network.calls == []
    assert (again.precision, again.source, again.seconds_per_tile) == ("bfloat16", "remembered", found.seconds_per_tile)
    assert "as measured before" in str(again)
    assert len(json.loads(cache_file().read_text())) == 1
    other = Slow({"bfloat16": 0.005})
    with torch.no_grad():
        other.layer.weight += 1
    choose(job(other), AUTO)
    assert other.calls
    assert len(json.loads(cache_file().read_text())) == 2


def test_what_gives_other_labels_is_not_taken():
    found = choose(job(Slow({"bfloat16": 0.005, "float32": 0.05}, wrong="bfloat16")), AUTO)
    assert (found.precision, found.agreement) == ("float32", 1.0)


def test_a_measurement_takes_a_small_part_of_the_job():
    network = Slow({"bfloat16": 0.05})
    assert choose(job(network, tiles=600), AUTO).source == "measured"
    many = len(network.calls)
    cache_file().unlink()
    network.calls.clear()
    few = Job(Runner(network, CPU), 8, job(network).sample, 1 << 23, batch_size=1)
    choose(few, AUTO)
    assert network.calls == ["float32", "float32"]
    assert many > 2


def test_a_damaged_memory_is_measured_anew():
    for text in ("{", "[]", '{"a": 1}'):
        cache_file().parent.mkdir(exist_ok=True)
        cache_file().write_text(text)
        assert choose(job(Slow({"bfloat16": 0.005})), AUTO).source == "measured"


def test_too_little_memory_for_a_measurement_leaves_the_options():
    class Full(Slow):
        def forward(self, tiles: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    assert choose(job(Full({})), AUTO) == Recipe()


def test_errors_of_the_network_itself_pass_through():
    class Broken(Slow):
        def forward(self, tiles: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        choose(job(Broken({})), AUTO)


def test_afterwards_network_and_threads_are_as_before():
    network = nn.Sequential(nn.Conv3d(4, 6, 3, padding=1), nn.Conv3d(6, 2, 1))
    tile = torch.randn((1, 4, 8, 8, 8))
    before, threads = Runner(network, CPU)(tile), torch.get_num_threads()
    work = Job(Runner(network, CPU), 1, lambda: tile, 512, 1)
    with cooked(work, Recipe(memory_format="channels_last", threads=threads + 1)) as run:
        assert torch.get_num_threads() == threads + 1
        assert network[0].weight.is_contiguous(memory_format=torch.channels_last_3d)
        assert torch.allclose(run(tile), before, atol=1e-5)
    assert torch.get_num_threads() == threads
    assert network[0].weight.is_contiguous()
    assert torch.equal(Runner(network, CPU)(tile), before)
