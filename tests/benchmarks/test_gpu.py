import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_gpu", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tf32_as_before() -> object:
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    yield None
    torch.backends.cudnn.allow_tf32 = before[0]
    torch.set_float32_matmul_precision(before[1])


def test_without_cuda_it_says_so_and_succeeds(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main(["--json", str(tmp_path / "gpu.json")]) == 0
    assert "no CUDA device" in json.loads((tmp_path / "gpu.json").read_text())["skipped"]
    assert capsys.readouterr().out.count("\n") == 1


def test_a_failed_check_fails_the_report(gpu: ModuleType) -> None:
    report = gpu.Report("x")
    report.add("good", True, figure=1.0)
    assert report.passed
    report.add("bad", False, figure=2.0)
    assert not report.passed
    assert report.checks["bad"] == {"passed": False, "figure": 2.0}


def test_the_phantom_is_labelled_on_some_slices(gpu: ModuleType) -> None:
    image, labels = gpu.make_volumes(32)
    assert image.geometry == labels.geometry
    annotated = labels.data.any(axis=(1, 2))
    np.testing.assert_array_equal(np.flatnonzero(annotated), [4, 12, 20, 28])
    assert set(np.unique(labels.data[12])) == {1, 2, 255}


@pytest.mark.usefixtures("tf32_as_before")
def test_the_checks_hold_between_the_cpu_and_itself(gpu: ModuleType) -> None:
    report = gpu.run_checks("cpu", edge=16, features=4, steps=4)
    assert report.checks["float32 logits, CPU and GPU"]["largest_difference"] == 0
    assert report.checks["float32 gradient, CPU and GPU"]["relative_difference"] == 0
    assert {"bfloat16 labels", "bfloat16 gradient", "prediction time", "training step"} <= report.checks.keys()


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.usefixtures("tf32_as_before")
def test_all_checks_pass_on_the_gpu(gpu: ModuleType) -> None:
    report = gpu.run_checks("cuda:0", edge=96, features=16, steps=40)
    failed = {name: check for name, check in report.checks.items() if not check["passed"]}
    assert failed.keys() <= {"prediction time"}, failed
