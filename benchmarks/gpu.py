"""Check and time training and prediction on a GPU. Needs no network and no data.

    python benchmarks/gpu.py --json gpu.json

On a phantom it checks that CPU and GPU agree in float32, that bfloat16 agrees with float32, that memory is back to its
start after a job, and that jobs recover when memory runs out; it times prediction against the bare forward passes, and
training against bare steps. Exit code 0 if all checks passed or there is no CUDA device (the JSON then says
``"skipped"``), 1 if one failed.
"""

import argparse
import gc
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_medseg import io
from napari_medseg.device import describe, memory_in_use, release_memory
from napari_medseg.inference.engine import predict_grid
from napari_medseg.inference.feed import tiles_for
from napari_medseg.inference.network import Runner
from napari_medseg.inference.options import PredictOptions
from napari_medseg.inference.preprocess import to_model_grid
from napari_medseg.inference.recipe import Job, Measurement, Recipe
from napari_medseg.inference.tiled import tile_of
from napari_medseg.inference.tiling import cut, plan_tiles
from napari_medseg.models import Bundle, ModelSpec
from napari_medseg.models.configs import tiles_at_once
from napari_medseg.models.spec import OVERLAP
from napari_medseg.prediction import LabelMap
from napari_medseg.progress import Control, Note, Step
from napari_medseg.tasks import task_named
from napari_medseg.training import Case, TrainConfig, create_run, train
from napari_medseg.training.learner import Batch, Learner, Pace
from napari_medseg.volume import Geometry, LabelClass, Volume

LOGITS_TOLERANCE = 2e-3
"""Largest difference of logits that are of the order of 10."""
GRADIENT_TOLERANCE = 2e-3
"""Largest difference of float32 gradients, as a share of their norm."""
BF16_AGREEMENT = 0.99
"""Least share of voxels with the same label in bfloat16 and float32."""
LEFT_OVER_BYTES = 16 * 2**20
"""What libraries may keep of the GPU's memory after a job, such as workspaces."""


@dataclass
class Report:
    """What is written as JSON."""

    device: str
    torch: str = torch.__version__
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether all checks passed."""
        return all(check["passed"] for check in self.checks.values())

    def add(self, name: str, passed: bool, **figures: float | str) -> None:
        """Note a check and say how it went."""
        self.checks[name] = {"passed": bool(passed), **figures}
        shown = ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in figures.items())
        print(f"{'ok  ' if passed else 'FAIL'} {name}: {shown}", flush=True)


@dataclass(frozen=True)
class Scene:
    """What the checks work on: a bundle trained for some steps, so that its labels are not decided by rounding."""

    folder: Path
    volume: Volume
    spec: ModelSpec
    bundle: Bundle
    device: str
    steps: int


def make_volumes(edge: int) -> tuple[Volume, Volume]:
    """Return a noisy phantom of a ball in a ball, and its labels on every eighth slice: 255 for background."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])[:, [2, 1, 0, 3]]
    geometry = Geometry((edge, edge, edge), affine)
    z, y, x = np.ogrid[:edge, :edge, :edge]
    radius = np.sqrt((z - edge / 2) ** 2 + (y - edge / 2) ** 2 + (x - edge / 2) ** 2) / edge
    truth = np.select([radius < 0.2, radius < 0.4], [2, 1], 255).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 10, truth.shape)
    image = (np.select([truth == 2, truth == 1], [200.0, 100.0], 0.0) + noise).astype(np.float32)
    labels = np.zeros_like(truth)
    labels[4::8] = truth[4::8]
    return Volume(image, geometry, name="phantom"), Volume(labels, geometry, name="labels", kind="labels")


def make_scene(folder: Path, device: str, edge: int, features: int, steps: int) -> Scene:
    """Write the phantom and train a network on it for a moment."""
    volume, labels = make_volumes(edge)
    io.write(volume, folder / "image.medvol")
    io.write(labels, folder / "labels.medvol")
    spec = ModelSpec(
        name="phantom",
        architecture="dynunet",
        options={"features": features, "max_stages": 4},
        classes=tuple(LabelClass(value=k, name=name) for k, name in enumerate(("background", "shell", "core"))),
        patch_size=(min(64, edge),) * 3,
    )
    *_, finished = run_training(folder, "scene", spec, device, steps=steps, precision="float32")
    return Scene(folder, volume, spec, Bundle.load(finished.result.bundle), device, steps)


def run_training(folder: Path, name: str, spec: ModelSpec, device: str, **settings: Any) -> list[Any]:
    """Train on the phantom; return all events."""
    case = Case(id="phantom", image=folder / "image.medvol", labels=folder / "labels.medvol")
    config = TrainConfig(**({"minutes": None, "device": device, "preview_hz": 0, "teacher": False} | settings))
    return list(train(create_run(folder / name, spec, [case], config)))


def predict_labels(scene: Scene, precision: str, batch_size: int | None = None) -> tuple[np.ndarray, list[Any]]:
    """Return the labels of the phantom, and all events."""
    options = PredictOptions(precision=precision, batch_size=batch_size)
    network = scene.bundle.network().to(scene.device)
    stream = predict_grid(to_model_grid(scene.volume, scene.spec), scene.spec, network, options, Control())
    events = []
    while True:
        try:
            events.append(next(stream))
        except StopIteration as end:
            (output,) = end.value
            assert isinstance(output, LabelMap)
            return output.labels, events


def cut_tiles(scene: Scene, count: int) -> torch.Tensor:
    """Return some tiles of the phantom."""
    grid = to_model_grid(scene.volume, scene.spec)
    plan = plan_tiles(grid.shape, tile_of(scene.spec, grid.shape), OVERLAP)
    starts = [plan.starts[k % len(plan.starts)] for k in range(count)]
    return cut(grid.read, plan, starts)


def check_parity(scene: Scene, report: Report) -> None:
    """Compare logits, labels, loss and gradient of CPU and GPU in float32."""
    tiles = cut_tiles(scene, 2)
    logits = [Runner(scene.bundle.network().to(d), torch.device(d))(tiles).cpu() for d in ("cpu", scene.device)]
    difference = float((logits[0] - logits[1]).abs().max())
    report.add("float32 logits, CPU and GPU", difference < LOGITS_TOLERANCE, largest_difference=difference)

    same = float((logits[0].argmax(1) == logits[1].argmax(1)).float().mean())
    report.add("float32 labels, CPU and GPU", same > 0.9999, agreement=same)

    gradients = [gradient_of(scene, d, "float32", tiles) for d in ("cpu", scene.device)]
    difference = float((gradients[0] - gradients[1]).norm() / gradients[0].norm())
    report.add("float32 gradient, CPU and GPU", difference < GRADIENT_TOLERANCE, relative_difference=difference)


def gradient_of(scene: Scene, device: str, precision: str, tiles: torch.Tensor) -> torch.Tensor:
    """Return the gradient of the loss on some tiles, as one vector on the CPU."""
    config = TrainConfig(precision=precision, device=device)
    learner = Learner(scene.spec, task_named("segmentation"), config, torch.device(device))
    learner.network.load_state_dict(scene.bundle.state_dict())
    target = (tiles[:, 0] > 0).long() + (tiles[:, 0] > 1).long()
    batch = Batch(tiles, target)
    learner._backward(learner._forward(batch), batch)
    return torch.cat([p.grad.flatten().cpu() for p in learner.network.parameters() if p.grad is not None])


def check_mixed_precision(scene: Scene, report: Report) -> None:
    """Compare labels and gradient in bfloat16 and float32 on the GPU, and train in bfloat16."""
    exact, _ = predict_labels(scene, "float32")
    mixed, _ = predict_labels(scene, "bfloat16")
    same = float((exact == mixed).mean())
    report.add("bfloat16 labels", same > BF16_AGREEMENT, agreement=same)

    tiles = cut_tiles(scene, 2)
    gradients = [gradient_of(scene, scene.device, p, tiles) for p in ("float32", "bfloat16")]
    cosine = float(torch.nn.functional.cosine_similarity(*gradients, dim=0))
    report.add("bfloat16 gradient", cosine > 0.95, cosine=cosine)

    events = run_training(scene.folder, "mixed", scene.spec, scene.device, steps=scene.steps, precision="bfloat16")
    losses = [event.loss for event in events if isinstance(event, Step)]
    report.add("bfloat16 training", losses[-1] < losses[0], first_loss=losses[0], last_loss=losses[-1])


def check_memory(scene: Scene, report: Report) -> None:
    """Compare the memory in use before and after a training and a prediction."""

    def used() -> int:
        gc.collect()
        release_memory(torch.device(scene.device))
        return memory_in_use(scene.device)

    before = used()
    run_training(scene.folder, "memory", scene.spec, scene.device, steps=5)
    predict_labels(scene, "auto")
    left = used() - before
    report.add("memory after a job", left <= LEFT_OVER_BYTES, left_over_mib=left / 2**20)


def check_out_of_memory(scene: Scene, report: Report, allowed_mib: float = 1500.0) -> None:
    """Train and predict with batches that cannot fit into a limited part of the GPU's memory."""
    total = torch.cuda.get_device_properties(scene.device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(allowed_mib * 2**20 / total, 1.0), scene.device)
    try:
        trained = run_training(scene.folder, "oom", scene.spec, scene.device, steps=3, batch_size=64)
        labels, predicted = predict_labels(scene, "float32", batch_size=512)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, scene.device)
        release_memory(torch.device(scene.device))
    notes = [[e.text for e in events if isinstance(e, Note) and "Memory" in e.text] for events in (trained, predicted)]
    report.add("training recovers from too little memory", len(notes[0]) > 0, notes=" ".join(notes[0]))
    whole, _ = predict_labels(scene, "float32")
    same = float((labels == whole).mean())
    report.add("prediction recovers from too little memory", same > 0.9999, agreement=same, notes=" ".join(notes[1]))


def check_feed(scene: Scene, report: Report) -> None:
    """Send tiles in a stream of their own while the device computes, and compare what arrived."""
    tiles = cut_tiles(scene, 4)
    starts = tuple((k, 0, 0) for k in range(24))
    busy, same = torch.randn((2048, 2048), device=scene.device), True
    for part, arrived in tiles_for(starts, lambda: 2, lambda some: tiles[[a % 4 for a, _, _ in some]], busy.device):
        for _ in range(20):
            busy = busy @ busy / busy.norm()
        same = same and torch.equal(arrived.cpu(), tiles[[a % 4 for a, _, _ in part]])
    report.add("tiles copied while computing", same)


def check_recipe(scene: Scene, report: Report) -> None:
    """Measure the ways of computing on the device."""
    grid, device = to_model_grid(scene.volume, scene.spec), torch.device(scene.device)
    plan = plan_tiles(grid.shape, tile_of(scene.spec, grid.shape), OVERLAP)
    run = Runner(scene.bundle.network().to(device), device)
    job = Job(run, 10_000, lambda: cut(grid.read, plan, plan.starts[:1]), math.prod(plan.tile), 1)
    found = Measurement(job, PredictOptions(precision="auto"), Recipe()).best()
    report.add("measured way of computing", found.source == "measured", recipe=str(found))


def check_throughput(scene: Scene, report: Report, goal: float = 1.25) -> None:
    """Time the prediction against its bare forward passes, and training steps against the bare network's."""
    device, size = torch.device(scene.device), tiles_at_once(scene.spec)
    run = Runner(scene.bundle.network().to(device), device, "auto")
    grid = to_model_grid(scene.volume, scene.spec)
    count = len(plan_tiles(grid.shape, tile_of(scene.spec, grid.shape), OVERLAP).starts)
    tiles = cut_tiles(scene, size).to(device)
    bound = seconds_of(lambda: run(tiles), device) * count / size
    took = seconds_of(lambda: predict_labels(scene, "auto"), device, repeats=3)
    report.add(
        "prediction time",
        took / bound < goal or device.type == "cpu",
        seconds=took,
        forward_bound=bound,
        over_bound=took / bound,
    )

    learner = Learner(scene.spec, task_named("segmentation"), TrainConfig(device=scene.device), device)
    batch = Batch(
        tiles.repeat(2, 1, 1, 1, 1), torch.zeros((2 * size, *tiles.shape[2:]), dtype=torch.long, device=device)
    )
    step = seconds_of(lambda: learner.step(batch, Pace(1e-4), 0), device)
    events = run_training(
        scene.folder, "speed", scene.spec, scene.device, steps=scene.steps, hold_out=0, batch_size=2 * size
    )
    steps = [event for event in events if isinstance(event, Step)]
    each = (steps[-1].seconds - steps[0].seconds) / max(steps[-1].step - steps[0].step, 1)
    report.add("training step", True, seconds=each, bare_step=step, over_bound=each / step)


def seconds_of(work: Callable[[], object], device: torch.device, repeats: int = 10) -> float:
    """Return the median time of some work that was done once before."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    work()
    times = []
    for _ in range(repeats):
        wait()
        started = time.perf_counter()
        work()
        wait()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def run_checks(device: str, edge: int = 160, features: int = 32, steps: int = 60) -> Report:
    """Run all checks on a device; what needs a GPU is left out on the CPU."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    report = Report(str(describe(device)))
    print(report.device, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        scene = make_scene(Path(folder), device, edge, features, steps)
        check_parity(scene, report)
        check_mixed_precision(scene, report)
        if torch.device(device).type == "cuda":
            check_memory(scene, report)
            check_out_of_memory(scene, report)
            check_feed(scene, report)
            check_recipe(scene, report)
        check_throughput(scene, report)
    return report


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    chosen = parser.parse_args(arguments)
    if torch.cuda.is_available():
        report = run_checks("cuda:0")
        content, code = asdict(report) | {"passed": report.passed}, 0 if report.passed else 1
    else:
        reason = f"no CUDA device (torch {torch.__version__})"
        print(f"skipped: {reason}")
        content, code = {"skipped": reason}, 0
    if chosen.json:
        chosen.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
