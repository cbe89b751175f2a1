"""How a network computes its tiles: as the options say, or the fastest way that a short measurement found."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, cast

import psutil
import torch
from platformdirs import user_cache_path
from torch import nn

from napari_medseg.device import Precision, describe, has_bf16, release_memory
from napari_medseg.inference.network import Runner, is_out_of_memory
from napari_medseg.inference.options import PredictOptions

HOME_VARIABLE = "NAPARI_MEDSEG_HOME"
WORTH_MEASURING = 1 << 25
"""Voxels of all tiles from which a measurement pays, and so precision ``auto`` is more than float32."""
SHARE_OF_JOB = 0.1
"""Share of the job, as estimated from one tile, that a measurement may take."""
AGREEMENT = 0.999
"""Least share of voxels with the same label as in float32."""
TOLERANCE = 1e-4
"""Largest difference of a float32 logit, as a share of the largest logit."""
WORTH_CHANGING = 0.95
"""Share of the best time so far that another way may take at most."""
COMPILE_SECONDS = 60.0
"""What compiling is expected to take."""
LARGEST_BATCH = 8
Layout = Literal["contiguous", "channels_last"]


@dataclass(frozen=True)
class Recipe:
    """How a network computes."""

    precision: Precision = "float32"
    memory_format: Layout = "contiguous"
    compiled: bool = False
    batch_size: int = 1
    threads: int | None = None
    """Threads of the CPU; None for PyTorch's choice."""
    source: Literal["options", "measured", "remembered"] = "options"
    """Where it comes from."""
    seconds_per_tile: float | None = None
    """As measured; None without a measurement."""
    agreement: float | None = None
    """Share of voxels of the measured tile with the label of float32."""

    def __str__(self) -> str:
        words = [self.precision, self.memory_format.replace("_", " ")]
        words += ["compiled"] if self.compiled else []
        words.append(f"{self.batch_size} tile{'s' if self.batch_size > 1 else ''} at once")
        words += [f"{self.threads} threads"] if self.threads else []
        text = f"Computing in {', '.join(words)}"
        if self.seconds_per_tile is None or self.agreement is None:
            return f"{text}, as the options say."
        how = "measured" if self.source == "measured" else "as measured before"
        return f"{text} ({how}: {self.seconds_per_tile:.3g} s per tile, {self.agreement:.2%} of labels as in float32)."


@dataclass(frozen=True, eq=False)
class Job:
    """What is to be computed."""

    run: Runner
    """The network; its precision does not matter."""
    tiles: int
    """How many there are."""
    sample: Callable[[], torch.Tensor]
    """Reads (1, channel, z, y, x), one of the tiles."""
    voxels: int
    """Of one tile."""
    batch_size: int
    """Tiles at once if nothing else is said."""


@contextmanager
def cooked(job: Job, recipe: Recipe) -> Iterator[Runner]:
    """Give a runner that computes by a recipe; afterwards the network and the threads are as before."""
    before = torch.get_num_threads()
    network, planar = job.run.network, job.run.planar
    try:
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        _lay_out(network, recipe.memory_format, planar)
        computing = cast("nn.Module", torch.compile(network)) if recipe.compiled else network
        yield replace(job.run, network=computing, precision=recipe.precision)
    finally:
        _lay_out(network, "contiguous", planar)
        torch.set_num_threads(before)


def _lay_out(network: nn.Module, memory_format: str, planar: bool) -> None:
    """Order the weights of convolutions in memory; their inputs and outputs follow."""
    channels_last = torch.channels_last if planar else torch.channels_last_3d
    for weight in network.parameters():
        if weight.ndim == (4 if planar else 5):
            wanted = channels_last if memory_format == "channels_last" else torch.contiguous_format
            weight.data = weight.data.contiguous(memory_format=wanted)


def choose(job: Job, options: PredictOptions) -> Recipe:
    """Return how to compute: as the options say or, where they leave it open and it is worth it, as measured.

    Parameters
    ----------
    job : Job
        What is to be computed.
    options : PredictOptions
        Precision ``auto`` asks for a measurement.
    """
    said = Recipe(
        precision="float32" if options.precision == "auto" else options.precision,
        memory_format="contiguous" if options.memory_format == "auto" else options.memory_format,
        compiled=options.compile == "on",
        batch_size=options.batch_size or job.batch_size,
        threads=options.threads,
    )
    if options.precision != "auto" or job.tiles * job.voxels < WORTH_MEASURING:
        return said
    key = _key(job, options)
    known = _remembered(key)
    if known is None:
        known = Measurement(job, options, said).best()
        if known.source == "measured":
            _remember(key, known)
    return known


class Measurement:
    """Times one tile in several ways, as long as that is a small part of the job.

    Parameters
    ----------
    job, options
        As for `choose`.
    said : Recipe
        What is tried first, in float32.
    share : float
        Share of the job's time that may be spent.
    """

    def __init__(self, job: Job, options: PredictOptions, said: Recipe, share: float = SHARE_OF_JOB) -> None:
        self._job, self._options, self._said, self._share = job, options, said, share
        self._tile = job.sample()
        self._exact: torch.Tensor
        self._deadline = 0.0

    def best(self) -> Recipe:
        """Return the fastest recipe; the one that the options say if not even that fits into memory."""
        plain = replace(self._said, memory_format="contiguous", compiled=False, batch_size=1)
        started = time.monotonic()
        first = self._timed(plain)
        if first is None:
            return self._said
        best = replace(self._said, source="measured", seconds_per_tile=first, agreement=1.0)
        total = first * self._job.tiles
        self._deadline = started + self._share * total
        for recipe in self._ways(plain):
            best = self._better(best, recipe)
        if self._options.batch_size is None and self._job.run.device.type != "cpu":
            while best.batch_size < min(LARGEST_BATCH, self._job.tiles):
                larger = self._better(best, replace(best, batch_size=2 * best.batch_size))
                if larger is best:
                    break
                best = larger
        if self._options.compile == "auto" and (best.seconds_per_tile or 0) * self._job.tiles > 20 * COMPILE_SECONDS:
            best = self._better(best, replace(best, compiled=True))
        return best

    def _ways(self, plain: Recipe) -> Iterator[Recipe]:
        """Yield what to try, the most promising first."""
        device = self._job.run.device
        formats: list[Precision] = ["bfloat16"] if has_bf16(device) else []
        formats += ["float16"] if device.type in ("cuda", "mps") else []
        chosen = self._options.memory_format
        layouts: list[Layout] = ["channels_last", "contiguous"] if chosen == "auto" else [chosen]
        compiled = self._options.compile == "on"
        for precision in (*formats, "float32"):
            for layout in layouts:
                yield replace(plain, precision=precision, memory_format=layout, compiled=compiled)
        cores = psutil.cpu_count(logical=False) or 1
        if device.type == "cpu" and self._options.threads is None and cores < torch.get_num_threads():
            yield replace(plain, threads=cores)

    def _better(self, best: Recipe, recipe: Recipe) -> Recipe:
        """Return the recipe, with its figures, if it is clearly faster and its labels are right; else the best."""
        assert best.seconds_per_tile is not None
        if time.monotonic() + 2 * best.seconds_per_tile * recipe.batch_size > self._deadline:
            return best
        seconds = self._timed(recipe)
        if seconds is None or seconds > WORTH_CHANGING * best.seconds_per_tile:
            return best
        agreement = self._agreement(recipe)
        if agreement < AGREEMENT:
            return best
        return replace(recipe, source="measured", seconds_per_tile=seconds, agreement=agreement)

    def _timed(self, recipe: Recipe) -> float | None:
        """Return the seconds per tile, after a first time that does not count; None if memory is too small."""
        tiles = self._tile.expand(recipe.batch_size, *self._tile.shape[1:]).contiguous()
        try:
            with cooked(self._job, recipe) as run:
                self._logits = run(tiles)[:1]
                _wait(run.device)
                started = time.monotonic()
                run(tiles)
                _wait(run.device)
                seconds = (time.monotonic() - started) / recipe.batch_size
        except (RuntimeError, MemoryError) as error:
            # Compilers and rare number formats fail in many ways; what fails is not used.
            if not is_out_of_memory(error) and recipe == self._said:
                raise
            release_memory(self._job.run.device)
            return None
        if not hasattr(self, "_exact"):
            self._exact = self._logits.cpu()
        return seconds

    def _agreement(self, recipe: Recipe) -> float:
        """Return the share of voxels with the same label as in float32; 0 if float32 logits differ by too much."""
        logits = self._logits.cpu()
        if recipe.precision == "float32":
            allowed = TOLERANCE * max(1.0, float(self._exact.abs().max()))
            if float((logits - self._exact).abs().max()) > allowed:
                return 0.0
        return float((logits.argmax(dim=1) == self._exact.argmax(dim=1)).float().mean())


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _key(job: Job, options: PredictOptions) -> str:
    """Return what a measurement is valid for: device, PyTorch, network, tile, and what the options fix."""
    network = hashlib.sha256(repr(job.run.network).encode())
    for weight in job.run.network.parameters():
        network.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    device = describe(str(job.run.device))
    fixed = [options.memory_format, options.compile, options.batch_size, options.threads]
    views = [list(job.run.flip_axes), job.run.planar]
    tile = list(job.sample().shape[1:])
    parts = [device.name, torch.__version__, network.hexdigest(), tile, torch.get_num_threads(), views, fixed]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def cache_file() -> Path:
    """Return the file that remembers measurements, below the user's cache or ``NAPARI_MEDSEG_HOME``."""
    home = os.environ.get(HOME_VARIABLE)
    folder = Path(home).expanduser() / "cache" if home else user_cache_path("napari-medseg", appauthor=False)
    return folder / "recipes.json"


def _all_remembered() -> dict[str, dict[str, object]]:
    try:
        found = json.loads(cache_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remembered(key: str) -> Recipe | None:
    try:
        fields = _all_remembered()[key]
        return replace(Recipe(**fields), source="remembered")  # type: ignore[arg-type]
    except (KeyError, TypeError):
        return None


def _remember(key: str, recipe: Recipe) -> None:
    """Write a measurement down; where that is not possible, the next job measures again."""
    path = cache_file()
    temporary = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(_all_remembered() | {key: asdict(recipe)}, indent=1), encoding="utf-8")
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
