"""``evaluate segmentation``."""

from pathlib import Path
from typing import Annotated

import typer

from napari_medseg.cli.console import follow, out, table
from napari_medseg.errors import WriteError
from napari_medseg.progress import Control

commands = typer.Typer(no_args_is_help=True, help="Score predictions against references.")


@commands.command()
def segmentation(
    predictions: Annotated[Path, typer.Option(help="Folder of predicted label maps, or one of them.")],
    references: Annotated[Path, typer.Option(help="Folder of reference label maps of the same names, or one.")],
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all scores to FILE.")] = None,
    tolerance: Annotated[float, typer.Option(min=0, help="Surface distance in mm that counts as agreement.")] = 1.0,
) -> None:
    """Score label maps: Dice, surface distance, surface Dice and volume error, per class."""
    from napari_medseg.evaluate.report import SegmentationReport
    from napari_medseg.evaluate.segmentation import score_segmentation

    control = Control()
    report = follow(score_segmentation(control, predictions, references, tolerance), control)
    assert isinstance(report, SegmentationReport)
    if json_file is not None:
        try:
            json_file.parent.mkdir(parents=True, exist_ok=True)
            json_file.write_text(report.model_dump_json(indent=1), encoding="utf-8")
        except OSError as error:
            raise WriteError(f"{json_file} could not be written ({error.strerror}).", "Check the folder.") from error
    unit = report.unit
    rows = table("class", "cases", "Dice", f"HD95 ({unit})", f"NSD ({tolerance:g} {unit})", "volume (ml)")
    for name, mean in report.mean.items():
        count = sum(name in scores for scores in report.cases.values())
        volume = "-" if mean.volume_error_ml is None else f"{mean.predicted_ml:.1f} ({mean.volume_error_ml:+.1f})"
        rows.add_row(name, str(count), *(_number(value) for value in (mean.dice, mean.hd95, mean.nsd)), volume)
    out().print(rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
