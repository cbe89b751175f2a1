"""From images and settings to the folder of a run."""

from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path

import numpy as np

from napari_medseg.errors import ConfigError, DataError
from napari_medseg.inference.cases import find_cases
from napari_medseg.inference.restoration.sharper import network_width
from napari_medseg.models import Bundle, Intensity, ModelSpec
from napari_medseg.models.registry import network_def
from napari_medseg.progress import Control, Event, Finished, Note, Progress
from napari_medseg.training.atomic import write_text
from napari_medseg.training.restoration.config import EnhancementConfig, RestorationConfig, SuperResolutionConfig
from napari_medseg.training.restoration.material import read_one
from napari_medseg.training.restoration.run import RestorationRun
from napari_medseg.training.run import RunFolder
from napari_medseg.volume import Volume
from napari_medseg.volume.plain import plain_values

PATCHES = {2: (48, 48), 3: (24, 24, 24)}
"""Voxels of the input in a patch, by the network's dimensions."""

AXCODES = "SPL"
"""How the axes of networks of volumes run."""


def create_restoration(
    folder: Path,
    images: Sequence[Path],
    config: SuperResolutionConfig | EnhancementConfig,
    init: Path | None = None,
    control: Control | None = None,
) -> Iterator[Event]:
    """Look at the images, and lay out the folder of a run.

    Parameters
    ----------
    folder : Path
        New or without a run in it.
    images : sequence of Path
        Image files, folders of them, DICOM folders, patterns or lists, as for `napari_medseg.inference.cases`.
    config : SuperResolutionConfig or EnhancementConfig
        How to train.
    init : Path, optional
        Bundle to start from, whose network is taken over.
    control : Control, optional
        Cancels and pauses.

    Yields
    ------
    Event
        `Progress`, `Note`, and last `Finished` with the `RunFolder`.

    Raises
    ------
    MedsegError
        If the folder holds a run, the images cannot be read, or the settings do not serve.
    """
    run = RunFolder(folder)
    if run.config.exists():
        raise ConfigError(f"{run.path} already holds a training run.", "Resume it, or choose another folder.")
    yield Progress("Looking for images", 0, 1)
    cases, problems = find_cases(images, control)
    yield from (Note(problem, "warning") for problem in problems)
    if not cases:
        raise DataError("There is no image to learn from.", "Choose a folder with images.")
    places = tuple((case.path.resolve(), case.series_id) for case in cases)
    volume = read_one(places[0])
    plain_values(volume)
    spec = spec_for(folder.resolve().name, volume, config)
    if init is not None:
        spec = _like(spec, Bundle.load(init).spec)
    network_def(spec)
    content = RestorationRun(
        spec=spec,
        images=places,
        held_out=_held_out(len(places), config),
        train=config,
        init=None if init is None else init.resolve(),
    )
    run.last.parent.mkdir(parents=True, exist_ok=True)
    write_text(run.config, content.model_dump_json(indent=1))
    yield Finished(run)


def spec_for(name: str, volume: Volume, config: SuperResolutionConfig | EnhancementConfig) -> ModelSpec:
    """Return the specification of a network.

    Parameters
    ----------
    name : str
        Of the model.
    volume : Volume
        One of the images.
    config : SuperResolutionConfig or EnhancementConfig
        Factor and size of the network.

    Raises
    ------
    ConfigError
        If the factor does not fit the images, or the width of a blur is missing.
    """
    dims = len(volume.spatial_shape)
    options: dict[str, object] = {"features": config.features, "blocks": config.blocks}
    channels, architecture = 1, "subpixel"
    if isinstance(config, SuperResolutionConfig):
        factor = list(config.factor[-dims:])
        if (dims == 2 and config.factor[0] != 1) or set(factor) == {1}:
            raise ConfigError(
                f"The factors {config.factor} do not make {'plane images' if dims == 2 else 'volumes'} finer.",
                "Give 2, 3 or 4 for the axes to refine, and 1 for the others.",
            )
        width = [f * config.thickness if f > 1 else 1.0 for f in factor]
        options |= {"factor": factor, "width": width, "profile": config.profile}
        task, net_dims = "superresolution", dims
    elif config.method == "deblur":
        if config.blur_mm is None:
            raise ConfigError("Deblurring needs the width of the blur.", "Give blur_mm, such as 1.5.")
        task, net_dims, architecture = "enhancement", dims, "unrolled"
        blur_mm = None if volume.geometry is None else config.blur_mm
        options = {"features": config.features, "rounds": config.blocks, "blur_mm": blur_mm}
        options["width"] = list(network_width(volume, config.blur_mm, AXCODES))
    else:
        # Planes with their neighbours see enough of a volume to clean it, and cost a tenth.
        task, net_dims = "enhancement", 2
        channels = 2 * config.neighbours + 1 if dims == 3 else 1
        options |= {"factor": [1, 1], "noise": config.noise}
    return ModelSpec(
        name=name,
        architecture=architecture,
        options=options,
        task=task,
        dims=net_dims,
        channels=channels,
        classes=(),
        axcodes=AXCODES if net_dims == 3 else None,
        intensity=Intensity(kind="zscore"),
        patch_size=config.patch_size or PATCHES[net_dims],
    )


def _like(spec: ModelSpec, start: ModelSpec) -> ModelSpec:
    """Return a specification with the network of another.

    Raises
    ------
    ConfigError
        If that does another thing.
    """
    same = ("task", "dims", "channels", "architecture")
    if any(getattr(spec, name) != getattr(start, name) for name in same):
        raise ConfigError(f"{start.name} is a model for other images or another task.", "Start from another model.")
    fixed = ("factor", "width", "profile", "blur_mm")
    if any(spec.options.get(name) != start.options.get(name) for name in fixed):
        raise ConfigError(f"{start.name} was made for another factor, slice profile or blur.", "Give the same ones.")
    return spec.model_copy(update={"options": start.options})


def _held_out(count: int, config: RestorationConfig) -> tuple[int, ...]:
    """Return the numbers of the images to score on; one image alone is learned from."""
    if count < 2 or not config.hold_out or (isinstance(config, EnhancementConfig) and config.method != "deblur"):
        return ()
    kept = min(max(1, ceil(count * config.hold_out)), count - 1)
    order = np.random.default_rng((config.seed, 7)).permutation(count)
    return tuple(sorted(int(number) for number in order[:kept]))
