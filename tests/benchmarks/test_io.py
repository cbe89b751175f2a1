"""What the reading benchmark makes of its measurements."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "io.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_io", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def timed(seconds: float, peak: int = 100, checksum: int | None = 7) -> dict[str, float | None]:
    return {"seconds": seconds, "peak": peak, "bytes": 100, "checksum": checksum}


def test_the_best_peer_and_the_worst_peak_count(benchmark: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    results = {
        "nii": {"napari-medseg": timed(0.5, 120), "SimpleITK": timed(2), "nibabel": timed(3), "raw bytes": timed(0.1)},
        "dicom_rle": {"napari-medseg": timed(1, 110), "pydicom": timed(4), "dcm2niix": timed(2, checksum=None)},
    }
    figures = benchmark.report(results)
    assert figures["speedup_over_best_peer"] == {"nii": 4.0, "dicom_rle": 2.0}
    assert figures["peak_over_array"] == 1.2
    json.dumps(figures)
    assert "| nii | 0.50 | 2.00 |" in capsys.readouterr().out


def test_readers_that_disagree_are_an_error(benchmark: ModuleType) -> None:
    with pytest.raises(SystemExit, match="disagree"):
        benchmark.report({"nii": {"napari-medseg": timed(1), "SimpleITK": timed(2, checksum=8)}})
