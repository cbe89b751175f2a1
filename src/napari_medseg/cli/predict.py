"""``predict``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_medseg.cli.console import follow, out, print_json
from napari_medseg.errors import ConfigError, DataError
from napari_medseg.progress import Control, Note, Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_medseg.inference.cases import CaseRecord, PredictRequest
    from napari_medseg.models import Bundle
    from napari_medseg.progress import Event


def predict(
    bundle: Annotated[Path, typer.Argument(help="Model folder, or the name of one of your models.")],
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="IN...", help="Images, folders of them, DICOM folders, patterns, or .csv/.txt lists."),
    ],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the label maps, named like their images.")],
    file_format: Annotated[
        str, typer.Option("--format", metavar="SUFFIX", help="Format of what is written, such as nii.gz or nrrd.")
    ] = "nii.gz",
    ensemble: Annotated[
        list[Path] | None,
        typer.Option(metavar="BUNDLE", help="Another model, to average probabilities with; may be repeated."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting: device, precision, overlap, ...")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Dask scheduler whose workers do it, such as tcp://host:8786.")
    ] = None,
    tls: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML file with ca, cert and key for a cluster with encryption.")
    ] = None,
    cases: Annotated[
        str | None, typer.Option(metavar="FILE[:PART]", help="Only these cases: names.txt, split.json:val, ...")
    ] = None,
    regions: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Classify each region of these label maps, named like their images."),
    ] = None,
    redo: Annotated[bool, typer.Option("--redo", help="Predict again on images that are done already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON and nothing else to standard output.")] = False,
) -> None:
    """Predict label maps, each on the exact grid of its image; goes on where it was interrupted.

    A model for classification or detection writes predictions.csv instead.
    """
    from napari_medseg.cli.settings import build, parse
    from napari_medseg.inference import PredictOptions
    from napari_medseg.inference.cases import CasesResult, PredictRequest

    model = find_model(bundle) if not ensemble else find_ensemble([bundle, *ensemble])
    if model.spec.task != "segmentation":
        if cluster or cases or ensemble:
            refused = "--cluster, --cases and --ensemble are for segmentation"
            raise ConfigError(f"{refused}; {model.spec.name} is for {model.spec.task}.", "Leave them out.")
        told = {"settings": settings or [], "format": file_format, "json": as_json}
        _predict_otherwise(model, sources, out_folder, told, regions)
        return
    if regions is not None:
        raise ConfigError(f"--regions is for a classification; {model.spec.name} is not one.", "Leave it out.")
    options = build(PredictOptions, parse(settings or []))
    control = Control()
    request = PredictRequest.of(model, out_folder, options=options, format=file_format, redo=redo)
    problems: list[str] = []
    place = None if cluster is None else (cluster, tls)
    result = follow(_run((sources, cases), request, place, control, problems), control)
    assert isinstance(result, CasesResult)
    done = [_entry(record, out_folder) for record in result.done]
    if as_json:
        print_json(done)
    else:
        _print(done)
    failed = len(problems) + len(result.failed)
    if failed:
        raise DataError(f"{failed} of {failed + len(done)} images could not be predicted on.", "See the lines above.")


def _predict_otherwise(
    model: "Bundle", sources: list[Path], folder: Path, told: dict[str, Any], regions: Path | None
) -> None:
    """Predict with a model that gives no label map."""
    from napari_medseg.cli.classification import predict_classes
    from napari_medseg.cli.detection import predict_boxes
    from napari_medseg.cli.restoration import predict_images

    if model.spec.task == "classification":
        predict_classes(model, sources, folder, told["settings"], told["json"], regions)
        return
    if regions is not None:
        raise ConfigError(f"--regions is for a classification; {model.spec.name} is not one.", "Leave it out.")
    if model.spec.task == "detection":
        predict_boxes(model, sources, folder, told["settings"], told["json"])
    else:
        predict_images(model, sources, folder, told)


def _run(
    wanted: tuple[list[Path], str | None],
    request: "PredictRequest",
    cluster: tuple[str, Path | None] | None,
    control: Control,
    problems: list[str],
) -> "Iterator[Event]":
    """Find the images and predict on them, here or on a cluster; what holds no image is added to `problems`."""
    from napari_medseg.cli.case_names import chosen
    from napari_medseg.inference.cases import find_cases, predict_cases

    yield Progress("Looking for images", 0, 1)
    sources, names = wanted
    everything, found = find_cases(sources, control)
    cases = list(chosen({case.name: case for case in everything}, names, "these images").values())
    problems += found
    yield from (Note(problem, "warning") for problem in problems)
    if cluster is None:
        yield from predict_cases(cases, request, control)
    else:
        from napari_medseg.jobs.cluster import predict_on_cluster

        yield from predict_on_cluster(cases, request, *cluster, control)


def find_ensemble(names: list[Path]) -> "Bundle":
    """Return several models as one, by folders or names; it is kept, so that a run that broke off goes on with it.

    Raises
    ------
    BundleError
        If one of them is not there, or they are for different classes.
    """
    from napari_medseg.models.ensemble import ensemble, keep

    members = [find_model(name) for name in names]
    return keep(ensemble(" + ".join(member.spec.name for member in members), members))


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
            if bundle.path is not None and str(name) in (bundle.spec.name, bundle.path.name):
                return bundle
    return Bundle.load(name)


def _entry(record: "CaseRecord", folder: Path) -> dict[str, Any]:
    return {
        "image": str(record.image),
        **{what: str(folder / output.path) for what, output in record.outputs.items()},
        "volumes_ml": record.volumes_ml,
        "seconds": record.seconds,
        "options": record.options | {"device": record.device},
    }


def _print(done: list[dict[str, Any]]) -> None:
    for case in done:
        volumes = case["volumes_ml"] or {}
        text = ", ".join(f"{name} {ml:.1f} ml" for name, ml in volumes.items())
        out().print(f"{case['labels']}  {text}", markup=False)
