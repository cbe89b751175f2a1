"""``train superresolution``, ``train enhancement``, ``enhance``, and ``predict`` with their models."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_medseg.cli.console import follow, out, print_json, say
from napari_medseg.cli.scored import settings_of, train_scored
from napari_medseg.cli.settings import build, parse
from napari_medseg.errors import Cancelled, ConfigError, DataError, MedsegError
from napari_medseg.progress import Control

if TYPE_CHECKING:
    from napari_medseg.inference.restoration.options import EnhancedFiles
    from napari_medseg.models import Bundle
    from napari_medseg.training.restoration.config import EnhancementConfig, SuperResolutionConfig

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting; the documentation lists them."),
]
Images = Annotated[
    list[Path] | None,
    typer.Option(metavar="IN", help="Folder of images, image file, pattern or list; may be repeated."),
]
Init = Annotated[Path | None, typer.Option(help="Model folder to start from.")]
Minutes = Annotated[float | None, typer.Option(help="Most time to train.")]
Out = Annotated[Path, typer.Option("--out", help="Folder of the run; the model will be in its 'bundle'.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint of --out.")]


def superresolution(
    out_folder: Out,
    images: Images = None,
    factor: Annotated[
        tuple[int, int, int] | None,
        typer.Option(
            metavar="X Y Z",
            help="How many times finer along left-right, front-back and head-feet (x, y and z without geometry).",
        ),
    ] = None,
    init: Init = None,
    minutes: Minutes = None,
    settings: Settings = None,
    resume: Resume = False,
) -> None:
    """Train a model that makes images finer, on fine images that are made coarse."""
    from napari_medseg.training.restoration.config import SuperResolutionConfig

    values = settings_of(settings, minutes, "steps")
    if factor is not None:
        values["factor"] = factor[::-1]
    _train(out_folder, "superresolution", (images, init, resume), values, SuperResolutionConfig)


def enhancement(
    out_folder: Out,
    images: Images = None,
    init: Init = None,
    minutes: Minutes = None,
    settings: Settings = None,
    resume: Resume = False,
) -> None:
    """Train a model that removes noise, on noisy images alone, or one that undoes a blur, on sharp ones."""
    from napari_medseg.training.restoration.config import EnhancementConfig

    values = settings_of(settings, minutes, "steps")
    _train(out_folder, "enhancement", (images, init, resume), values, EnhancementConfig)


def _train(
    folder: Path,
    task: str,
    source: tuple[list[Path] | None, Path | None, bool],
    values: dict[str, Any],
    kind: "type[SuperResolutionConfig] | type[EnhancementConfig]",
) -> None:
    from napari_medseg.training import RunFolder

    images, init, resume = source
    begins = not (resume and RunFolder(folder).config.exists())
    create = partial(_create, folder, images, lambda: build(kind, values), init)
    train_scored(folder, task, create if begins else None, bool(values or init or images))


def _create(
    folder: Path,
    images: list[Path] | None,
    config: "Callable[[], SuperResolutionConfig | EnhancementConfig]",
    init: Path | None,
) -> None:
    from napari_medseg.training.restoration.request import create_restoration

    if not images:
        raise ConfigError("--images says what to train on.", "Give it, or --resume a run.")
    control = Control()
    follow(create_restoration(folder, images, config(), init, control), control)


def enhance(
    image: Annotated[Path, typer.Argument(help="Image file or folder of DICOM files.")],
    target: Annotated[
        Path, typer.Option("--out", help="File to write; without a suffix, a folder for a derived DICOM series.")
    ],
    method: Annotated[
        str, typer.Option(help="superresolution, denoise, nlm, tv, median, clahe, deblur or n4.")
    ] = "superresolution",
    settings: Settings = None,
    minutes: Annotated[float | None, typer.Option(help="Time for superresolution and denoise.")] = None,
    keep: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Keep the network that was learned.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON and nothing else to standard output.")] = False,
) -> None:
    """Enhance one image, with nothing but the image itself; the result is marked as synthesised."""
    from napari_medseg.training.restoration.jobs import enhance_file

    values = settings_of(settings, minutes, "steps")
    request = {"method": method, "settings": values}
    control = Control()
    _show(follow(enhance_file(control, image, request, target, keep=keep), control), as_json)


def predict_images(model: "Bundle", sources: list[Path], folder: Path, options: Mapping[str, Any]) -> None:
    """Apply a model for super-resolution or enhancement to images, and write what it makes.

    Parameters
    ----------
    model : Bundle
        The model.
    sources : list of Path
        Images, folders, patterns or lists.
    folder : Path
        For the results, named like their images.
    options : mapping
        ``settings`` (list of ``key=value``), ``format`` (suffix; ``"dicom"`` for derived series) and ``json``.

    Raises
    ------
    DataError
        If there is no image, or one could not be enhanced; the others are written.
    """
    from napari_medseg.inference.cases import find_cases
    from napari_medseg.io.writing import check_target
    from napari_medseg.training.restoration.jobs import by_model, saved
    from napari_medseg.training.restoration.material import read_one

    settings = parse(options["settings"])
    cases, problems = find_cases(sources)
    results, suffix = [], options["format"]
    for case in cases:
        control = Control()
        try:
            place = folder / (case.name if suffix == "dicom" else f"{case.name}.{suffix}")
            check_target(place)
            done = follow(by_model(read_one((case.path, case.series_id)), model, settings, control), control)
            assert isinstance(done, tuple)
            results.append((case.path, saved(done[0], None, place)))
        except (Cancelled, ConfigError):
            raise
        except MedsegError as error:
            problems.append(f"{case.name}: {error}")
    for problem in problems:
        say(f"Error: {problem}")
    if options["json"]:
        print_json([{"source": str(path), **_entry(files)} for path, files in results])
    for _path, files in () if options["json"] else results:
        _show(files, False)
    if problems:
        raise DataError(f"{len(problems)} of {len(problems) + len(results)} images could not be enhanced.")


def _entry(files: "EnhancedFiles") -> dict[str, Any]:
    return {
        "image": str(files.image),
        "uncertainty": None if files.spread is None else str(files.spread),
        "bundle": None if files.bundle is None else str(files.bundle),
        "derivation": files.derivation,
        "report": files.report,
    }


def _show(files: object, as_json: bool) -> None:
    from napari_medseg.inference.restoration.options import EnhancedFiles

    assert isinstance(files, EnhancedFiles)
    if as_json:
        print_json(_entry(files))
        return
    places = "".join(f"\n{place}" for place in (files.spread, files.bundle) if place is not None)
    out().print(f"{files.image}{places}\n{files.derivation}", markup=False)
