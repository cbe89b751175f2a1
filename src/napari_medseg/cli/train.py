"""``train segmentation``."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from napari_medseg.cli import rate
from napari_medseg.cli.console import duration, follow, out, say, scores_text
from napari_medseg.cli.scored import trained
from napari_medseg.errors import ConfigError

if TYPE_CHECKING:
    from napari_medseg.cli.request import Request
    from napari_medseg.training import TrainResult

commands = typer.Typer(no_args_is_help=True, help="Train a model on a folder of images and labels.")
commands.command(name="find-rate")(rate.find_rate)


@commands.command()
def segmentation(
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the run; the model will be in its 'bundle'.")],
    images: Annotated[Path | None, typer.Option(help="Folder of images.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Folder of label maps with the names of their images.")] = None,
    init: Annotated[Path | None, typer.Option(help="Model folder to start from.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Time to train.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of training or of the network.")
    ] = None,
    names: Annotated[
        list[str] | None, typer.Option("--class", metavar="VALUE=NAME", help="Name of a class, such as 1=liver.")
    ] = None,
    scheme: Annotated[
        Literal["auto", "dense", "sparse", "foreground"],
        typer.Option(
            help="dense: 0 is background. sparse: 0 is unlabelled, 255 background (strokes). foreground: all nonzero "
            "values are one class. auto: dense, or foreground where the maps number their objects."
        ),
    ] = "auto",
    cases: Annotated[
        str | None,
        typer.Option(
            metavar="FILE[:PART]", help="Only these cases, such as names.txt, split.json:train, table.csv:split=train."
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            "--patients", metavar="CSV", help="Columns image,patient: no patient is trained on and validated on."
        ),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Put the model into your collection, if it is no worse than one there."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint of --out.")] = False,
    again: Annotated[
        Path | None,
        typer.Option("--replay", metavar="RUN", help="Do this run again, with every edit of its labels at its step."),
    ] = None,
) -> None:
    """Train a segmentation model; the settings are listed in the documentation of training."""
    from napari_medseg import processes
    from napari_medseg.cli.request import Request

    request = Request(init, minutes, tuple(settings or ()), tuple(names or ()), scheme, cases, table, keep)
    if again is not None:
        if request != Request() or resume or images is not None or labels is not None:
            raise ConfigError("A replay takes everything from its run.", "Leave out all but --replay and --out.")
        replay_run(again, out_folder)
        return
    with processes.joined():
        if processes.rank() == 0:
            _set_up(request, out_folder, (images, labels), resume)
        processes.wait()
        train_run(out_folder)


def _set_up(request: "Request", folder: Path, sources: tuple[Path | None, Path | None], resume: bool) -> None:
    """Lay out a run, unless one that is there goes on."""
    from napari_medseg.cli.request import Request
    from napari_medseg.training import RunFolder

    images, labels = sources
    if resume and RunFolder(folder).config.exists():
        if request != Request():
            raise ConfigError(f"{folder} goes on with the settings it began with.", "Leave out all but --out.")
    elif images is None or labels is None:
        raise ConfigError("--images and --labels say what to train on.", "Give both, or --resume a run.")
    else:
        for note in request.create(folder, images, labels):
            say(note)


@commands.command()
def classification(
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the run; the model will be in its 'bundle'.")],
    images: Annotated[
        Path | None, typer.Option(help="Folder with one folder per class, folder of images, or .npz file.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="CSV with columns image,label[,split][,patient], or a column of 0/1 per class.")
    ] = None,
    init: Annotated[Path | None, typer.Option(help="Model folder to start from.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Most time to train.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of training or of the network.")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(help="Cross-validation: so many models, each judged on images that it never saw.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint of --out.")] = False,
    again: Annotated[
        Path | None, typer.Option("--replay", metavar="RUN", help="Train on the images of this run with its settings.")
    ] = None,
) -> None:
    """Train a model that tells the class of whole images; the settings are listed in its documentation."""
    from napari_medseg.cli.classification import create_classes, cross_validate
    from napari_medseg.cli.scored import replay_scored, settings_of, train_scored
    from napari_medseg.training import RunFolder

    values, begins = settings_of(settings, minutes), not (resume and RunFolder(out_folder).config.exists())
    if again is not None:
        replay_scored(again, out_folder, "classification", bool(values or init or labels or images or folds or resume))
    elif folds is None or not begins:
        create = partial(create_classes, out_folder, images, labels, init, values)
        train_scored(out_folder, "classification", create if begins else None, bool(values or init or labels))
    elif init is not None:
        raise ConfigError("A model that saw the images cannot be judged on them.", "Leave out --init or --folds.")
    elif images is None:
        raise ConfigError("--images says what to train on.", "Give it.")
    else:
        cross_validate(out_folder, (images, labels), values, folds)


@commands.command()
def detection(
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the run; the model will be in its 'bundle'.")],
    images: Annotated[Path | None, typer.Option(help="Folder of images.")] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Boxes: COCO JSON, folder of Pascal VOC XML, CSV with corners, or CSV as of LUNA16."),
    ] = None,
    init: Annotated[Path | None, typer.Option(help="Model folder to start from.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Most time to train.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of training or of the network.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint of --out.")] = False,
    again: Annotated[
        Path | None, typer.Option("--replay", metavar="RUN", help="Train on the images of this run with its settings.")
    ] = None,
) -> None:
    """Train a model that finds boxes; the settings are listed in its documentation."""
    from napari_medseg.cli.detection import create_boxes
    from napari_medseg.cli.scored import replay_scored, settings_of, train_scored
    from napari_medseg.training import RunFolder

    values, begins = settings_of(settings, minutes), not (resume and RunFolder(out_folder).config.exists())
    if again is not None:
        replay_scored(again, out_folder, "detection", bool(values or init or labels or images or resume))
        return
    create = partial(create_boxes, out_folder, images, labels, init, values)
    train_scored(out_folder, "detection", create if begins else None, bool(values or init or labels))


def train_run(folder: Path) -> None:
    """Train in a run's folder, from its last checkpoint if it has one, and print where the model is.

    Raises
    ------
    Cancelled
        If the user stopped it, with how to go on.
    """
    from napari_medseg.training import RunFolder, TrainResult

    result = trained(folder, "segmentation")
    if isinstance(result, TrainResult):
        _say_result(result)
        if (place := RunFolder(folder).load().replaces) is not None:
            _keep(result, place)


def _keep(result: "TrainResult", place: Path) -> None:
    """Put a model into the user's collection, unless it is worse than the one there."""
    from napari_medseg.models import Bundle
    from napari_medseg.models.versions import replace

    if result.verdict is not None and not result.verdict.accepted:
        say(f"Warning: {place.name} stays as it is; the new model is in {result.bundle}.")
        return
    kept = replace(Bundle.load(result.bundle), place)
    out().print(f"Kept as {kept.spec.name} in {kept.path}.", markup=False)


def replay_run(source: Path, folder: Path) -> None:
    """Do a run again in a new folder, and print where the model is."""
    from napari_medseg.training import RunFolder, TrainResult
    from napari_medseg.training.replay import Script, replay

    script = Script()
    result = follow(replay(RunFolder(source), folder, script), script)
    assert isinstance(result, TrainResult)
    _say_result(result)


def _say_result(result: "TrainResult") -> None:
    known = "" if result.dice is None else f"Dice on held-out voxels: {scores_text(result.dice)}."
    text = str(result.measured) if result.measured is not None else known or "Not validated."
    out().print(f"{result.bundle}\n{result.step} steps in {duration(result.seconds)}. {text}", markup=False)
    if result.verdict is not None:
        out().print(str(result.verdict), markup=False)
