"""``measure``."""

from pathlib import Path
from typing import Annotated

import typer

from napari_medseg.cli.console import follow, out, table
from napari_medseg.errors import JobError
from napari_medseg.progress import Control


def measure(
    labels: Annotated[Path, typer.Argument(help="Label map.")],
    image: Annotated[Path | None, typer.Option(help="Image on the same grid, whose values are measured.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write all columns to FILE.")] = None,
) -> None:
    """Measure each class: volume, intensity, parts, position."""
    from napari_medseg.results import Measures, write_csv
    from napari_medseg.results.jobs import measure_labels

    control = Control()
    found = follow(measure_labels(control, labels, image), control)
    if not isinstance(found, tuple) or not all(isinstance(entry, Measures) for entry in found):
        raise JobError("The measurement gave no table.", "This is an error inside napari-medseg.")
    rows = [entry.row() for entry in found]
    if csv_file is not None:
        write_csv(rows, csv_file)
    if not rows:
        out().print("The label map holds no class.")
        return
    headings = [heading for heading in rows[0] if not heading.endswith("(mm)") and heading != "value"]
    shown = table(*headings)
    for row in rows:
        shown.add_row(*(_text(row[heading]) for heading in headings))
    out().print(shown)


def _text(cell: str | int | float | None) -> str:
    if cell is None:
        return "-"
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)
