"""Time and memory of tiled prediction, side by side with MONAI's and nnU-Net's own, and against the bare network.

    python benchmarks/tiling.py                     some minutes on two cores
    python benchmarks/tiling.py --json tiling.json  also write the figures
    python benchmarks/tiling.py --parts speed       one part only: speed, memory, linear

Every part runs in a process of its own. Weights are random and the image is a phantom, so no data is needed.

speed: one network with 105 classes on an image that is resampled to the network's spacing. Same network, tiles, weights
of overlapping tiles (nnU-Net: its own), and number format for all; each ends with labels on the image's own grid. The
bound is the time of one forward pass times the number of tiles. nnU-Net is given the image on the network's grid and
is left out where `nnunetv2` is not installed.
memory: 105 classes on 512 x 512 x 400 voxels, with and without resampling to 1.5 mm; the most memory that the process
ever held, Python and PyTorch included and the image excluded. What the others would need is computed.
linear: a tiny network from 128 x 128 x 100 to 512 x 512 x 600 voxels.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from napari_medseg.inference.engine import predict_grid
from napari_medseg.inference.options import PredictOptions
from napari_medseg.inference.preprocess import ModelGrid, to_model_grid
from napari_medseg.inference.recipe import Job, Measurement, Recipe, cooked
from napari_medseg.inference.tiled import Image
from napari_medseg.inference.tiling import TilingRule, cut
from napari_medseg.models import Intensity, ModelSpec, build
from napari_medseg.progress import Control
from napari_medseg.volume import Geometry, LabelClass, Volume

CLASSES = 105
OVERLAP = 0.25
Json = dict[str, Any]


def phantom(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Volume:
    """Return a CT of a lying cylinder with organs of random shape and the noise of a real scan, in int16 HU."""
    rng = np.random.default_rng(0)
    coarse = ndimage.zoom(rng.normal(0, 1, (8, 8, 8)), [n / 64 for n in shape], order=1)[..., : shape[2] // 8]
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape[1:])
    inside = (y[:, None] ** 2 / 0.5 + x**2 / 0.8) < 1
    data = np.empty(shape, np.int16)
    for plane in range(shape[0]):
        organs = ndimage.zoom(coarse[min(plane // 8, len(coarse) - 1)], 8, order=1, mode="nearest")
        organs = np.resize(organs, shape[1:])
        values = np.where(inside, 40 + 80 * organs, -1000) + rng.normal(0, 12, shape[1:])
        data[plane] = values
    affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])[:, [2, 1, 0, 3]]
    return Volume(data, Geometry(shape, affine), name="phantom")


def spec_of(classes: int, **fields: Any) -> ModelSpec:
    """Return a model for CT with so many classes."""
    entries = tuple(LabelClass(value=k, name=f"class {k}" if k else "background") for k in range(classes))
    window = Intensity(kind="window", low=-1000.0, high=1000.0)
    values = {"name": "benchmark", "architecture": "dynunet", "classes": entries, "intensity": window}
    return ModelSpec(**values | fields)


def labels_of(grid: ModelGrid, spec: ModelSpec, network: nn.Module, options: PredictOptions) -> np.ndarray:
    """Return the labels that we give."""
    work = predict_grid(grid, spec, network, options, Control())
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value[0].labels


def seconds_of(work: Callable[[], object]) -> tuple[float, object]:
    """Return how long some work took, and what it returned."""
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


def say(text: str) -> None:
    """Print at once."""
    print(text, file=sys.stderr, flush=True)


# speed ----------------------------------------------------------------------------------------------------------------


class Scene:
    """A network, an image, and how all of them compute."""

    def __init__(self, precision: str, shape: tuple[int, int, int], features: int, edge: int) -> None:
        self.precision = precision
        self.volume = phantom(shape, (1.0, 1.2, 1.2))
        options = {"features": features, "max_stages": 4}
        self.spec = spec_of(CLASSES, options=options, patch_size=(edge,) * 3, spacing=(1.5, 1.5, 1.5))
        torch.manual_seed(0)
        self.network = build(self.spec).eval()
        self.options = PredictOptions(device="cpu", overlap=OVERLAP)

    def autocast(self) -> torch.autocast:
        """Return the number format for those who do not choose it themselves."""
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.precision == "bfloat16")

    def recipe(self, job: Job) -> Recipe:
        """Return how we compute: in float32 as MONAI does; in bfloat16 as a measurement says."""
        if self.precision == "float32":
            return Recipe()
        measurement = Measurement(job, PredictOptions(precision="auto", compile="off"), Recipe(), share=1e9)
        return measurement.best()

    def ours(self, recipe: Recipe) -> np.ndarray:
        """Return our labels, from the image as it was read."""
        options = self.options.model_copy(update={"precision": recipe.precision, "memory_format": recipe.memory_format})
        return labels_of(to_model_grid(self.volume, self.spec), self.spec, self.network, options)

    def monai(self) -> np.ndarray:
        """Return MONAI's labels, by the steps of our bundle's configuration."""
        from monai.data.meta_tensor import MetaTensor
        from monai.inferers import SlidingWindowInferer
        from monai.transforms import Compose, ScaleIntensityRange, Spacing

        image = MetaTensor(
            torch.from_numpy(self.volume.data.astype(np.float32))[None],
            affine=torch.tensor(self.volume.geometry.affine),
        )
        before = Compose(
            [Spacing(self.spec.spacing, mode="bilinear"), ScaleIntensityRange(-1000, 1000, 0, 1, clip=True)]
        )
        inferer = SlidingWindowInferer(self.spec.patch_size, 1, OVERLAP, mode="gaussian")
        with torch.inference_mode(), self.autocast():
            seen = before(image)
            logits = inferer(seen[None], self.network)[0].float()
            back = before.inverse(MetaTensor(logits, meta=seen.meta, applied_operations=seen.applied_operations[:1]))
            return back.argmax(dim=0).numpy()

    def nnunet(self, image: torch.Tensor) -> np.ndarray:
        """Return the labels of nnU-Net's predictor, from the (channel, z, y, x) image on the network's grid."""
        from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        resampling = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
        configuration = {
            "patch_size": list(self.spec.patch_size),
            "spacing": list(self.spec.spacing),
            "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
            "resampling_fn_probabilities_kwargs": resampling,
            # Required, and not used for a network that is given.
            "architecture": {"network_class_name": "", "arch_kwargs": {}, "_kw_requires_import": []},
        }
        plans = {"configurations": {"3d": configuration}, "label_manager": "LabelManager"}
        plans |= {f"transpose_{way}": [0, 1, 2] for way in ("forward", "backward")}
        manager = PlansManager(plans)
        found = manager.get_configuration("3d")
        dataset = {"labels": {c.name: c.value for c in self.spec.classes}, "channel_names": {"0": "CT"}}
        predictor = nnUNetPredictor(1 - OVERLAP, True, False, False, torch.device("cpu"), allow_tqdm=False)
        predictor.manual_initialization(self.network, manager, found, None, dataset, "", None)
        shape = self.volume.data.shape
        properties = {
            "spacing": list(self.volume.geometry.spacing),
            "shape_before_cropping": shape,
            "shape_after_cropping_and_before_resampling": shape,
            "bbox_used_for_cropping": [[0, n] for n in shape],
        }
        with self.autocast():
            logits = predictor.predict_sliding_window_return_logits(image)
        return convert_predicted_logits_to_segmentation_with_correct_shape(
            logits, manager, found, predictor.label_manager, properties, num_threads_torch=torch.get_num_threads()
        )


def compare(precision: str, shape: tuple[int, int, int], features: int, edge: int) -> Json:
    """Time everybody once, after a warm-up of the network."""
    scene = Scene(precision, shape, features, edge)
    grid = to_model_grid(scene.volume, scene.spec)
    image = Image.of(grid, scene.spec, scene.network, scene.options, TilingRule())
    plan = image.plan(scene.spec.patch_size)
    job = image.job(plan)
    recipe = scene.recipe(job)
    tile = cut(grid.read, plan, plan.starts[:1])

    def forward() -> float:
        with cooked(job, recipe) as run:
            run(tile)
            return min(seconds_of(lambda: run(tile))[0] for _ in range(2))

    before = forward()
    ours, labels = seconds_of(lambda: scene.ours(recipe))
    bound = (before + forward()) / 2 * len(plan.starts)
    say(f"{precision}: bound {bound:.1f} s ({len(plan.starts)} tiles), ours {ours:.1f} s; {recipe}")
    peers, agreement = {}, {}
    for name, work in (("monai", scene.monai), ("nnunet", lambda: scene.nnunet(grid.image))):
        try:
            peers[name], theirs = seconds_of(work)
        except ImportError:
            say(f"{name} is not installed")
            continue
        agreement[name] = float((theirs == labels).mean())
        say(f"{precision}: {name} {peers[name]:.1f} s, {agreement[name]:.3%} of voxels with our label")
    return {
        "tiles": len(plan.starts),
        "image": shape,
        "network_grid": grid.shape,
        "recipe": str(recipe),
        "bound_seconds": bound,
        "ours_seconds": ours,
        "peers_seconds": peers,
        "labels_as_ours": agreement,
        "time_over_bound": ours / bound,
        "time_over_best_peer": ours / min(peers.values()),
    }


def speed(precision: str) -> Json:
    """Compare on four tiles of 96 voxels."""
    torch.set_num_threads(2)
    return compare(precision, (216, 180, 120), 32, 96)


# memory ---------------------------------------------------------------------------------------------------------------


def light_network(features: int, classes: int) -> nn.Module:
    """Return a network that itself takes little time and memory."""
    torch.manual_seed(0)
    layers = [nn.Conv3d(1, features, 3, padding=1), nn.ReLU(inplace=True), nn.Conv3d(features, classes, 1)]
    return nn.Sequential(*layers).eval()


def peak_bytes() -> int:
    """Return the most memory that this process ever held; on Linux and macOS."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def memory(spacing: float | None, edge: int = 128) -> Json:
    """Return the peak of a prediction of 105 classes, and what others would need for it."""
    torch.set_num_threads(2)
    shape = (400, 512, 512)
    with tempfile.TemporaryDirectory() as folder:
        # Made in another process, so that what making it takes is not counted; it is read into memory here.
        code = f"import tiling, numpy; numpy.save({folder + '/i.npy'!r}, tiling.phantom({shape}, (1, 0.8, 0.8)).data)"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
        data = np.load(Path(folder) / "i.npy")
    geometry = Geometry(shape, np.diag([-0.8, -0.8, 1.0, 1.0])[:, [2, 1, 0, 3]])
    spec = spec_of(CLASSES, patch_size=(edge,) * 3, spacing=None if spacing is None else (spacing,) * 3)
    grid = to_model_grid(Volume(data, geometry, name="phantom"), spec)
    options = PredictOptions(device="cpu", overlap=OVERLAP)
    seconds, _ = seconds_of(lambda: labels_of(grid, spec, light_network(8, CLASSES), options))
    inner, outer = float(np.prod(grid.shape)), float(np.prod(shape))
    resampled = spacing is not None
    return {
        "spacing_mm": spacing,
        "network_grid": grid.shape,
        "tile": edge,
        "seconds": seconds,
        "peak_gb_above_image": (peak_bytes() - data.nbytes) / 1e9,
        # Sums and counts in float32; then the logits of the image's grid beside them, in float64 while resampling.
        "monai_needs_gb": CLASSES * (8 * inner + 12 * outer if resampled else 8 * inner) / 1e9,
        # Sums in float16; then the logits of the image's grid in float16 beside them.
        "nnunet_needs_gb": CLASSES * (2 * inner + (2 * outer if resampled else 0)) / 1e9,
    }


# linear ---------------------------------------------------------------------------------------------------------------


def linear() -> Json:
    """Return seconds per million voxels for rising sizes."""
    torch.set_num_threads(2)
    found: Json = {}
    spec, network = spec_of(3, patch_size=(96, 96, 96)), light_network(2, 3)
    options = PredictOptions(device="cpu", overlap=OVERLAP)
    for shape in ((100, 128, 128), (200, 256, 256), (300, 512, 512), (600, 512, 512)):
        volume = phantom(shape, (1.0, 1.0, 1.0))
        seconds, _ = seconds_of(lambda v=volume: labels_of(to_model_grid(v, spec), spec, network, options))
        plan = TilingRule().plan(shape, spec.patch_size, OVERLAP)
        million = float(np.prod(shape)) / 1e6
        found[" x ".join(map(str, shape))] = {
            "seconds": seconds,
            "seconds_per_million_voxels": seconds / million,
            "seconds_per_tile": seconds / len(plan.starts),
        }
        say(f"{shape}: {seconds:.1f} s, {1000 * seconds / len(plan.starts):.0f} ms per tile, {len(plan.starts)} tiles")
    return found


# ----------------------------------------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[], Json]] = {
    "speed": lambda: speed("float32"),
    "speed-bfloat16": lambda: speed("bfloat16"),
    "memory": lambda: memory(None),
    "memory-resampled": lambda: memory(1.5),
    "linear": linear,
}


def run_part(name: str) -> Json:
    """Run a part in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    command = [sys.executable, __file__, "--part", name]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def summary(parts: Json) -> Json:
    """Return the figures that count."""
    found: Json = {}
    if "speed" in parts:
        found["time_over_bound"] = parts["speed"]["time_over_bound"]
        found["time_over_best_peer"] = parts["speed"]["time_over_best_peer"]
    memories = [part for name, part in parts.items() if name.startswith("memory")]
    if memories:
        found["peak_gb_above_image_105_classes"] = max(part["peak_gb_above_image"] for part in memories)
    if "linear" in parts:
        times = [size["seconds_per_tile"] for size in parts["linear"].values()]
        found["largest_over_smallest_time_per_tile"] = max(times) / min(times)
    return found


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument(
        "--parts", nargs="+", choices=["speed", "memory", "linear"], default=["speed", "memory", "linear"]
    )
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.part:
        with contextlib.redirect_stdout(sys.stderr):
            # Others print what is not JSON.
            found = PARTS[chosen.part]()
        print(json.dumps(found))
        return
    names = [name for name in PARTS if name.split("-")[0] in chosen.parts]
    parts = {}
    for name in names:
        say(f"-- {name}")
        parts[name] = run_part(name)
    figures = {"torch": torch.__version__, "cores": os.cpu_count()} | summary(parts) | parts
    print(json.dumps(figures, indent=1))
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
