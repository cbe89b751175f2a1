"""``evaluate segmentation``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from napari_medseg.cli.console import follow, out, say, table
from napari_medseg.cli.image_scores import image_scores
from napari_medseg.errors import WriteError
from napari_medseg.progress import Control

if TYPE_CHECKING:
    from napari_medseg.evaluate import Comparison, SegmentationReport

commands = typer.Typer(no_args_is_help=True, help="Score predictions against references.")

SHOWN_FAILURES = 5
for task in ("superresolution", "enhancement"):
    commands.command(task)(image_scores)


@commands.command()
def segmentation(
    predictions: Annotated[Path, typer.Option(help="Folder of predicted label maps, or one of them.")],
    references: Annotated[
        Path, typer.Option(help="Folder of reference label maps of the same names, one of them, or a CSV of pairs.")
    ],
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all scores to FILE.")] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a report with plots to FILE.")
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Another model's predictions on the same cases.")
    ] = None,
    tolerance: Annotated[float, typer.Option(min=0, help="Surface distance in mm that counts as agreement.")] = 1.0,
    cases: Annotated[
        str | None, typer.Option(metavar="FILE[:PART]", help="Only these cases; see the documentation of `train`.")
    ] = None,
    scheme: Annotated[
        Literal["auto", "dense", "foreground"],
        typer.Option(help="dense: each value is a class. foreground: all nonzero values are one."),
    ] = "auto",
    resample: Annotated[
        bool, typer.Option("--resample", help="Bring predictions on other grids to the reference's (nearest).")
    ] = False,
    names: Annotated[
        list[str] | None, typer.Option("--class", metavar="VALUE=NAME", help="Name of a class, such as 1=liver.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
) -> None:
    """Score label maps: Dice, surface distance, surface Dice and volume error, per class, with intervals."""
    from napari_medseg.cli.case_names import case_names
    from napari_medseg.cli.schemes import class_names, scheme_of
    from napari_medseg.evaluate import ScoreOptions, SegmentationReport, score_segmentation

    listed = None if cases is None else case_names(cases)
    options = ScoreOptions(
        tolerance=tolerance,
        scheme=scheme_of(scheme, references),
        resample=resample,
        names=class_names(names or ()),
        cases=listed,
        seed=seed,
    )
    control = Control()
    report = follow(score_segmentation(control, predictions, references, options, compare), control)
    assert isinstance(report, SegmentationReport)
    _tell_failures(report.failures, len(report.cases), predictions)
    if report.comparison is not None and compare is not None:
        _tell_failures(report.comparison.failures, len(report.cases), compare)
    if json_file is not None:
        _write(json_file, report.model_dump_json(indent=1))
    if html_file is not None:
        from napari_medseg.evaluate.html import html_report

        _write(html_file, html_report(report, predictions.name, None if compare is None else compare.name))
    _print(report)


@commands.command()
def classification(
    predictions: Annotated[Path, typer.Option(help="predictions.csv, or the folder that holds it.")],
    references: Annotated[
        Path, typer.Option(help="CSV with columns image,label[,split], .npz file, or folder with one folder per class.")
    ],
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all scores to FILE.")] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a report with plots to FILE.")
    ] = None,
    sensitivity: Annotated[
        float | None, typer.Option(min=0, max=1, help="Find the threshold of each class that reaches it.")
    ] = None,
    ordered: Annotated[
        bool, typer.Option("--ordered", help="The classes are grades, in the order of the predictions' columns.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
) -> None:
    """Score predicted classes and probabilities, with intervals; of a table with a test split, that split alone."""
    from napari_medseg.cli.classification import print_report
    from napari_medseg.evaluate.classification import evaluate_classification
    from napari_medseg.evaluate.tables import read_answers

    answers = read_answers(predictions, references)
    report = evaluate_classification(answers, sensitivity, seed, ordered)
    if json_file is not None:
        _write(json_file, report.model_dump_json(indent=1))
    if html_file is not None:
        from napari_medseg.evaluate.classification_html import classification_html

        _write(html_file, classification_html(report, answers, predictions.name))
    print_report(report)


@commands.command()
def detection(
    predictions: Annotated[Path, typer.Option(help="predictions.csv, the folder that holds it, or COCO results.")],
    references: Annotated[
        Path, typer.Option(help="COCO JSON, folder of Pascal VOC XML, or CSV; where it names a test split, that.")
    ],
    images: Annotated[
        Path | None, typer.Option(help="Folder of the images, for references in mm as those of LUNA16.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all scores to FILE.")] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a report with plots to FILE.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Score from which boxes count in precision and recall.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
) -> None:
    """Score predicted boxes: mAP as COCO, FROC as LUNA16, precision and recall per class, with intervals."""
    from napari_medseg.cli.detection import print_report
    from napari_medseg.evaluate.boxes import read_pairs
    from napari_medseg.evaluate.detection import evaluate_detection

    pairs = read_pairs(predictions, references, images)
    report = evaluate_detection(pairs, threshold, seed)
    if json_file is not None:
        _write(json_file, report.model_dump_json(indent=1))
    if html_file is not None:
        from napari_medseg.evaluate.detection_html import detection_html

        _write(html_file, detection_html(report, pairs, predictions.name))
    print_report(report)


def _write(path: Path, text: str) -> None:
    from napari_medseg.io.writing import replacing

    try:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise WriteError(f"{path} could not be written ({error.strerror}).", "Check the folder.") from error


def _tell_failures(failures: dict[str, str], cases: int, folder: Path) -> None:
    for name, reason in list(failures.items())[:SHOWN_FAILURES]:
        say(f"Warning: {name}: {reason}")
    if failures:
        say(
            f"Warning: {len(failures)} of {cases} cases have no usable prediction in {folder} and count as cases in "
            "which nothing was found; --cases chooses cases."
        )


def _print(report: "SegmentationReport") -> None:
    unit = report.unit
    nsd = f"NSD ({report.tolerance:g} {unit})"
    rows = table("class", "cases", "Dice", "95 % interval", f"HD95 ({unit})", nsd, "volume (ml)")
    for name, mean in report.mean.items():
        count = sum(name in scores for scores in report.cases.values())
        volume = "-" if mean.volume_error_ml is None else f"{mean.predicted_ml:.1f} ({mean.volume_error_ml:+.1f})"
        found = report.intervals.get(name, {}).get("dice")
        interval = "-" if found is None else f"{found.low:.3f} to {found.high:.3f}"
        dice, hd95, nsd_value = (_number(value) for value in (mean.dice, mean.hd95, mean.nsd))
        rows.add_row(name, str(count), dice, interval, hd95, nsd_value, volume)
    out().print(rows)
    if report.comparison is not None:
        _print_comparison(report.comparison)


def _print_comparison(comparison: "Comparison") -> None:
    rows = table("class", "cases", "Dice difference", "95 % interval", "p (Wilcoxon)", "p (Holm)")
    for name, test in comparison.tests["dice"].items():
        interval = "-" if test.interval is None else f"{test.interval.low:+.3f} to {test.interval.high:+.3f}"
        rows.add_row(name, str(test.cases), f"{test.difference:+.3f}", interval, f"{test.p:.3g}", f"{test.p_holm:.3g}")
    out().print(rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
