"""The device is chosen, described, and its absence is told."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from napari_medseg import device
from napari_medseg.errors import DeviceError
from napari_medseg.progress import Control, Finished


@pytest.fixture
def only_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (7, 5))


@pytest.mark.usefixtures("only_cpu")
def test_auto_falls_back_to_the_cpu():
    assert device.choose() == torch.device("cpu")
    assert device.available() == ("cpu",)


@pytest.mark.usefixtures("only_cpu")
@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_an_absent_device_is_an_error_with_a_remedy(name):
    with pytest.raises(DeviceError, match=f"'{name}' was asked for, but this machine offers cpu") as caught:
        device.choose(name)
    assert "auto" in caught.value.remedy


@pytest.mark.parametrize("name", ["gpu", "", "meta", "cuda:x"])
def test_names_that_mean_nothing(name):
    with pytest.raises(DeviceError, match="not the name of a device"):
        device.choose(name)


@pytest.mark.usefixtures("two_gpus")
def test_cuda_comes_first_and_has_a_number():
    assert device.choose() == device.choose("cuda") == torch.device("cuda:0")
    assert device.choose("cuda:1") == torch.device("cuda:1")
    with pytest.raises(DeviceError, match=r"offers cuda:0, cuda:1, .*cpu"):
        device.choose("cuda:2")


@pytest.mark.usefixtures("two_gpus")
def test_bfloat16_is_taken_only_where_it_is_fast():
    old_gpu = torch.device("cuda:0")
    assert not device.has_bf16(old_gpu)
    assert device.compute_dtype("auto", old_gpu) is torch.float32
    assert device.compute_dtype("bfloat16", old_gpu) is torch.bfloat16
    assert device.compute_dtype("float32", torch.device("cpu")) is torch.float32


def test_the_cpu_is_described():
    info = device.describe("cpu")
    assert info.id == "cpu"
    assert "cores" in info.name
    assert info.memory_bytes > 2**28
    assert str(info).startswith("cpu: ")
    assert device.memory_in_use("cpu") > 2**20


@pytest.mark.usefixtures("only_cpu")
def test_the_job_ends_with_all_devices():
    *_, last = device.describe_job(Control())
    assert isinstance(last, Finished)
    assert [info.id for info in last.result] == ["cpu"]


@pytest.mark.gpu
def test_a_gpu_is_described():
    info = device.describe("cuda:0")
    assert info.memory_bytes > 2**30
    before = device.memory_in_use("cuda:0")
    held = torch.zeros(2**20, device="cuda:0")
    assert device.memory_in_use("cuda:0") == before + 4 * held.numel()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc gives its heap back when asked")
def test_freed_memory_goes_back_to_the_system():
    # Too small to be returned at once, and what was asked for last keeps the heap from shrinking by itself.
    blocks = [np.ones(100_000, np.uint8) for _ in range(1000)]
    del blocks[:-1]
    before = device.memory_in_use("cpu")
    device.release_memory(torch.device("cpu"))
    assert before - device.memory_in_use("cpu") > 50_000_000


def test_importing_loads_no_torch():
    code = "import sys, napari_medseg.device; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
