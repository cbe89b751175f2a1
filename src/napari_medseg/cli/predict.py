"""``predict``."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_medseg.cli.console import follow, out, print_json, say
from napari_medseg.errors import Cancelled, DataError, MedsegError
from napari_medseg.progress import Control, Event, Finished, Note

if TYPE_CHECKING:
    from napari_medseg.cli.paths import Input
    from napari_medseg.inference import PredictOptions
    from napari_medseg.models import Bundle


def predict(
    bundle: Annotated[Path, typer.Argument(help="Model folder, or the name of one of your models.")],
    sources: Annotated[list[Path], typer.Argument(metavar="IN...", help="Image files, or folders of them.")],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the label maps, named like their images.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting: device, precision, overlap, ...")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON and nothing else to standard output.")] = False,
) -> None:
    """Predict label maps, each on the exact grid of its image."""
    from napari_medseg.cli.paths import inputs
    from napari_medseg.cli.settings import build, parse
    from napari_medseg.inference import PredictOptions

    options = build(PredictOptions, parse(settings or []))
    model = find_model(bundle)
    cases, problems = inputs(sources)
    for problem in problems:
        say(f"Error: {problem}")
    control = Control()
    done = follow(predict_cases(model, cases, options, out_folder, control), control)
    assert isinstance(done, list)
    if as_json:
        print_json(done)
    else:
        _print(done)
    failed = len(problems) + len(cases) - len(done)
    if failed:
        raise DataError(f"{failed} of {failed + len(done)} images could not be predicted on.", "See the lines above.")


def find_model(name: Path) -> "Bundle":
    """Return a model by folder, or by the name it has in the user's collection.

    Raises
    ------
    BundleError
        If there is none.
    """
    from napari_medseg.models import Bundle, library

    if not name.exists():
        for bundle in library():
            if bundle.spec.name == str(name):
                return bundle
    return Bundle.load(name)


def predict_cases(
    bundle: "Bundle", cases: "list[Input]", options: "PredictOptions", folder: Path, control: Control
) -> Iterator[Event]:
    """Predict on many images, leaving out those that cannot be.

    Parameters
    ----------
    bundle : Bundle
        The model.
    cases : list of Input
        The images.
    options : PredictOptions
        How to predict.
    folder : Path
        For the label maps.
    control : Control
        Cancels and pauses.

    Yields
    ------
    Event
        Those of each prediction, and last `Finished` with one dictionary per label map that was written.
    """
    done = []
    for number, case in enumerate(cases, start=1):
        control.checkpoint()
        if len(cases) > 1:
            yield Note(f"{number}/{len(cases)} {case.name}")
        try:
            done.append((yield from _predict_one(bundle, case, options, folder / f"{case.name}.nii.gz", control)))
        except Cancelled:
            raise
        except MedsegError as error:
            yield Note(f"{case.path}: {error}", "warning")
    yield Finished(done)


def _predict_one(
    bundle: "Bundle", case: "Input", options: "PredictOptions", path: Path, control: Control
) -> Generator[Event, None, dict[str, Any]]:
    from napari_medseg.inference import predict as run
    from napari_medseg.inference import volumes_ml
    from napari_medseg.inference.jobs import write_maps
    from napari_medseg.io import read, write
    from napari_medseg.prediction import Prediction

    (volume,) = read(case.path, control, series=case.info.series_id)
    prediction: Any = None
    for event in run(volume, bundle, options, control):
        if isinstance(event, Finished):
            prediction = event.result
        else:
            yield event
    assert isinstance(prediction, Prediction)
    write(prediction, path)
    probabilities, uncertainty = write_maps(prediction, path)
    maps = {"probabilities": probabilities, "uncertainty": uncertainty}
    return {
        "image": str(case.path),
        "labels": str(path),
        **{what: str(place) for what, place in maps.items() if place is not None},
        "volumes_ml": volumes_ml(prediction),
        "seconds": prediction.seconds,
        "options": prediction.options,
    }


def _print(done: list[dict[str, Any]]) -> None:
    for case in done:
        volumes = case["volumes_ml"] or {}
        text = ", ".join(f"{name} {ml:.1f} ml" for name, ml in volumes.items())
        out().print(f"{case['labels']}  {text}", markup=False)
