"""``info`` and ``convert``."""

from dataclasses import asdict, astuple, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from napari_medseg.cli.console import out, print_json, say, table, watching
from napari_medseg.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_medseg.io import SeriesInfo


def info(
    path: Annotated[Path, typer.Argument(help="Image file, folder of images, or folder of DICOM files.")],
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON and nothing else.")] = False,
) -> None:
    """List the volumes found: geometry, and what the reader could not know."""
    from napari_medseg.io import survey

    with watching() as (control, report):
        listing = survey(path, control, report=report)
    if as_json:
        print_json([{**asdict(series), "path": str(series.path)} for series in listing.found])
    else:
        _print_table(listing.found)
    first, *others = listing.problems or (None,)
    for problem in others:
        say(f"Error: {problem}")
    if first is not None:
        raise first


def _print_table(found: "Sequence[SeriesInfo]") -> None:
    from napari_medseg.io.listing import HEADINGS, row_of

    rows = table("ID", *astuple(HEADINGS)[:-1], "Axes", "Files", "Format")
    for series in found:
        words = astuple(row_of(series))[:-1]
        rows.add_row(series.series_id, *map(escape, words), series.axcodes or "-", str(series.files), series.format)
    console = out()
    console.print(rows)
    for series in found:
        for warning in series.warnings:
            console.print(f"{series.name}: {warning}", markup=False)


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Image file or folder of DICOM files.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="File to write; its suffix names the format.")],
    series: Annotated[str | None, typer.Option(help="Which one, if there are several; see `info`.")] = None,
    reference: Annotated[
        Path | None, typer.Option(help="DICOM series that labels lie on or an image was made from, to write DICOM.")
    ] = None,
    modality: Annotated[
        str | None, typer.Option(help="CT or MR, where a DICOM series is written and the image does not say.")
    ] = None,
    activity: Annotated[bool, typer.Option("--activity", help="Keep PET in the unit of the file.")] = False,
) -> None:
    """Write an image or label map in another format, on the same grid; without a suffix, as a DICOM series."""
    from napari_medseg.io import read, scan, write
    from napari_medseg.io.format import opaque_id

    with watching() as (control, report):
        found = scan(source, control, report=report)
    if series is not None:
        named = (series, opaque_id(series))
        found = [item for item in found if item.series_id in named or item.series_id.partition("-")[0] in named]
    if not found:
        raise ReadError(f"{source} has no series {series!r}.", "List its series with `napari-medseg info`.")
    if len(found) > 1:
        choices = ", ".join(f"{item.series_id} ({item.name})" for item in found)
        raise ReadError(f"{source} holds {len(found)} volumes: {choices}.", "Name one with --series.")
    with watching() as (control, report):
        volumes = read(source, control, series=found[0].series_id, suv=not activity, report=report)
    if len(volumes) > 1:
        raise ReadError(f"{source} holds {len(volumes)} volumes of one series.", "Split the file first.")
    volume = volumes[0] if modality is None else replace(volumes[0], modality=modality.upper())
    write(volume, target, reference=reference, report=lambda note: out().print(note, markup=False))
    for warning in volumes[0].warnings:
        out().print(warning, markup=False)
