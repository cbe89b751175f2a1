"""The benchmark on MedMNIST runs as a user would, and means its runs."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "medmnist.py"


@pytest.fixture(scope="module")
def medmnist() -> ModuleType:
    spec = importlib.util.spec_from_file_location("medmnist_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["medmnist_benchmark"] = module
    spec.loader.exec_module(module)
    return module


def test_runs_are_scored_on_the_test_part_and_averaged(medmnist, tmp_path):
    rng = np.random.default_rng(0)
    parts = {}
    for part, count in (("train", 24), ("val", 8), ("test", 8)):
        labels = np.arange(count) % 2
        parts[f"{part}_images"] = (rng.integers(0, 50, (count, 28, 28)) + 150 * labels[:, None, None]).astype(np.uint8)
        parts[f"{part}_labels"] = labels[:, None]
    np.savez(tmp_path / "pneumoniamnist.npz", **parts)
    words = ["--minutes", "0.1", "--seeds", "2", "--device", "cpu", "--json", str(tmp_path / "out.json")]
    medmnist.main([str(tmp_path / "pneumoniamnist.npz"), *words])
    found = json.loads((tmp_path / "out.json").read_text())
    assert len(found["runs"]) == 2
    assert found["mean"]["roc_auc"] == pytest.approx(np.mean([run["roc_auc"] for run in found["runs"]]))
    assert found["published"]["accuracy"] == 0.854


def test_the_protocol_is_the_published_network(medmnist):
    import argparse

    wanted = argparse.Namespace(protocol=True, device="cpu", minutes=None, epochs=100, set=None)
    config = medmnist.settings(wanted, 2)
    assert (config.architecture, config.width, config.epochs, config.seed) == ("resnet18_small", 64, 100, 2)
