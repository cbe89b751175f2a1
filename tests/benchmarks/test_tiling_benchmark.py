"""The comparison of tiled prediction runs, compares the same labels, and states the figures that count."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "tiling.py"


@pytest.fixture(scope="module")
def tiling() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tiling_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["tiling_benchmark"] = module
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)
        spec.loader.exec_module(module)
    return module


def test_all_that_are_compared_give_the_same_labels(tiling, monkeypatch):
    monkeypatch.setattr(sys.modules["tiling_scene"], "CLASSES", 9)
    # What nnU-Net says of plans is not ours.
    monkeypatch.setattr(tiling.Scene, "nnunet", lambda scene, image: scene.monai())
    found = tiling.compare(tiling.Scene((36, 30, 20), features=4, edge=16, steps=1))
    assert found["tiles"] == 4
    assert found["network_grid"] == (24, 24, 16)
    assert found["labels_as_ours"]["monai"] > 0.9999
    assert found["peers_labels_equal_before_resampling"] == 1.0
    assert found["time_over_bound"] == pytest.approx(found["ours_seconds"] / found["bound_seconds"])
    slower = found | {"time_over_bound": 9.0}
    memories = {"memory": {"peak_gb_above_image": 1.0}, "memory-resampled": {"peak_gb_above_image": 2.0}}
    speeds = {"speed": {"float32": found}, "speed-trained": {"float32": slower, "measured": found}}
    figures = tiling.summary(speeds | memories)
    assert figures["time_over_bound"] == 9.0
    assert figures["time_over_bound_measured"] == found["time_over_bound"]
    assert figures["time_over_best_peer"] == found["time_over_best_peer"]
    assert figures["peak_gb_above_image_105_classes"] == 2.0


def test_the_phantom_is_always_the_same_body_in_air(tiling):
    one, two = (tiling.phantom((9, 20, 24), (1.0, 0.8, 0.8)) for _ in range(2))
    np.testing.assert_array_equal(one.data, two.data)
    assert one.data.dtype == np.int16
    assert one.data[:, 0].mean() == pytest.approx(-1000, abs=20)
    assert -300 < one.data[:, 10, 12].mean() < 400
