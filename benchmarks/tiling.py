"""Time and memory of tiled prediction, side by side with MONAI's and nnU-Net's own, and against the bare network.

    python benchmarks/tiling.py                     a quarter of an hour on two cores
    python benchmarks/tiling.py --json tiling.json  also write the figures
    python benchmarks/tiling.py --parts speed       one part only: speed, memory, linear

Every part runs in a process of its own, on two threads, or one where the process may use only one core (`taskset`).
With `--clock processor` seconds are those that the processor works, over all threads, and there is one thread: so other
programs do not count. The image is a phantom, so no data is needed.

speed: one network with 105 classes on an image that is resampled to the network's spacing. Same network, tiles, weights
of overlapping tiles (nnU-Net: its own), and number format for all; each ends with labels on the image's own grid. The
bound is the time of one forward pass times the number of tiles: as PyTorch computes by itself (`time_over_bound`), and
with freed memory kept for the next layer, as we do (`time_over_bound_kept`). nnU-Net is given the image on the
network's grid and is left out where `nnunetv2` is not installed; it takes both grids to have the same edges, where
MONAI and we take them to have the same first voxel, so its labels are shifted by a part of a voxel.
Weights are random at first: then nearly every class has to be compared everywhere, which is the worst case. Then the
network is trained for a while on the phantom, which is what trained networks are like: few classes can win somewhere.
The figures are the worse of the two. What the measurement of `precision=auto` takes for the trained network, such as
bfloat16, is compared as well, unless that is float32 as before.
memory: 105 classes on 512 x 512 x 400 voxels, with and without resampling to 1.5 mm; the most memory that the process
ever held, Python and PyTorch included and the image excluded. What the others would need is computed.
linear: a tiny network from 128 x 128 x 100 to 512 x 512 x 600 voxels.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tiling_scene import CLASSES, CLOCKS, OVERLAP, Clock, Json, Scene, labels_of, phantom, say, seconds_of, spec_of
from torch import nn

from napari_medseg.heap import kept_memory
from napari_medseg.inference import blend, unblock
from napari_medseg.inference.options import PredictOptions
from napari_medseg.inference.preprocess import to_model_grid
from napari_medseg.inference.recipe import Recipe, cooked
from napari_medseg.inference.tiled import Image
from napari_medseg.inference.tiling import TilingRule, cut
from napari_medseg.volume import Geometry, Volume

STEPS = 60
"""How long the trained network is trained."""
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """Return how many threads everybody has."""
    return min(2, CORES) if Clock.name == "wall" else 1


# speed ----------------------------------------------------------------------------------------------------------------


def compile_ahead() -> None:
    """Run our compiled code once on little; it is compiled once per installation, and then kept on disk."""
    worth = blend.WORTH_COMPILING
    blend.WORTH_COMPILING = unblock.WORTH_COMPILING = 0
    Scene((36, 30, 20), 4, 16).ours(Recipe())
    blend.WORTH_COMPILING = unblock.WORTH_COMPILING = worth


def compare(scene: Scene, measure: bool = False) -> Json:
    """Time everybody once, after a warm-up of the network: in float32, or as a measurement says."""
    grid = to_model_grid(scene.volume, scene.spec)
    image = Image.of(grid, scene.spec, scene.network, scene.options, TilingRule())
    plan = image.plan(scene.spec.patch_size)
    job = image.job(plan)
    recipe = scene.measured(job) if measure else Recipe()
    if measure and (recipe.precision, recipe.memory_format) == ("float32", "contiguous"):
        say(f"nothing is faster: {recipe}")
        return {"recipe": str(recipe)}
    scene.precision = recipe.precision
    tile = cut(grid.read, plan, plan.starts[:1])

    def forwards(memory: Callable[[], contextlib.AbstractContextManager[None]]) -> list[float]:
        with memory(), cooked(job, recipe) as run:
            run(tile)
            return [seconds_of(lambda: run(tile))[0] for _ in range(2)]

    bare, kept = forwards(contextlib.nullcontext), forwards(kept_memory)
    ours, labels = seconds_of(lambda: scene.ours(recipe))
    bare, kept = bare + forwards(contextlib.nullcontext), kept + forwards(kept_memory)
    bound, bound_kept = (statistics.median(times) * len(plan.starts) for times in (bare, kept))
    say(f"bound {bound:.1f} s, with memory kept {bound_kept:.1f} s; ours {ours:.1f} s; {recipe}")
    peers, agreement = {}, {}
    for name, work in (("monai", scene.monai), ("nnunet", lambda: scene.nnunet(grid.image))):
        try:
            peers[name], theirs = seconds_of(work)
        except ImportError:
            say(f"{name} is not installed")
            continue
        agreement[name] = float((theirs == labels).mean())
        say(f"{name} {peers[name]:.1f} s, {agreement[name]:.3%} of voxels with our label")
    coarse = [logits.argmax(dim=0) for logits in scene.on_network_grid.values()]
    return {
        "tiles": len(plan.starts),
        "image": scene.volume.data.shape,
        "network_grid": grid.shape,
        "recipe": str(recipe),
        "bound_seconds": bound,
        "bound_kept_seconds": bound_kept,
        "ours_seconds": ours,
        "peers_seconds": peers,
        "labels_as_ours": agreement,
        "peers_labels_equal_before_resampling": float((coarse[0] == coarse[-1]).float().mean()) if coarse else None,
        "time_over_bound": ours / bound,
        "time_over_bound_kept": ours / bound_kept,
        "time_over_best_peer": ours / min(peers.values()),
    }


def speed(steps: int) -> Json:
    """Compare on four tiles of 96 voxels; with a trained network also in the number format that is measured best."""
    torch.set_num_threads(threads())
    compile_ahead()
    scene = Scene((216, 180, 120), 32, 96, steps)
    found = {"float32": compare(scene)}
    if steps:
        found["measured"] = compare(scene, measure=True)
    return found


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
    torch.set_num_threads(threads())
    shape = (400, 512, 512)
    with tempfile.TemporaryDirectory() as folder:
        # Made in another process, so that what making it takes is not counted; it is read into memory here.
        made = f"tiling_scene.phantom({shape}, (1, 0.8, 0.8)).data"
        code = f"import numpy, tiling_scene; numpy.save({folder + '/i.npy'!r}, {made})"
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
    torch.set_num_threads(threads())
    found: Json = {}
    spec, network = spec_of(3, patch_size=(96, 96, 96)), light_network(2, 3)
    options = PredictOptions(device="cpu", overlap=OVERLAP)
    # What is imported and compiled at the first use is not counted.
    compile_ahead()
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
    return {"sizes": found}


# ----------------------------------------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[], Json]] = {
    "speed": lambda: speed(0),
    "speed-trained": lambda: speed(STEPS),
    "memory": lambda: memory(None),
    "memory-resampled": lambda: memory(1.5),
    "linear": linear,
}


def run_part(name: str) -> Json:
    """Run a part in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads())}
    command = [sys.executable, __file__, "--part", name, "--clock", Clock.name]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def summary(parts: Json) -> Json:
    """Return the figures that count."""
    found: Json = {}
    speeds = [part for name, part in parts.items() if name.startswith("speed")]
    for figure in ("time_over_bound", "time_over_bound_kept", "time_over_best_peer") if speeds else ():
        found[figure] = max(part["float32"][figure] for part in speeds)
        measured = [part.get("measured", {}) for part in speeds]
        found |= {f"{figure}_measured": part[figure] for part in measured if figure in part}
    memories = [part for name, part in parts.items() if name.startswith("memory")]
    if memories:
        found["peak_gb_above_image_105_classes"] = max(part["peak_gb_above_image"] for part in memories)
    if "linear" in parts:
        times = [size["seconds_per_tile"] for size in parts["linear"]["sizes"].values()]
        found["largest_over_smallest_time_per_tile"] = max(times) / min(times)
    return found


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument(
        "--parts", nargs="+", choices=["speed", "memory", "linear"], default=["speed", "memory", "linear"]
    )
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="what seconds are of")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    Clock.name = chosen.clock
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
        started = time.monotonic()
        parts[name] = run_part(name) | {"seconds_of_part": time.monotonic() - started}
    figures = {"torch": torch.__version__, "clock": Clock.name, "threads": threads()} | summary(parts) | parts
    print(json.dumps(figures, indent=1))
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
