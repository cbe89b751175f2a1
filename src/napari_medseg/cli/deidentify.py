"""``deidentify``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_medseg.cli.console import follow, out, say
from napari_medseg.errors import DataError
from napari_medseg.progress import Control

if TYPE_CHECKING:
    from napari_medseg.io.deidentify import Summary


def deidentify(
    source: Annotated[Path, typer.Argument(metavar="IN", help="DICOM file, folder or archive; it is only read.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="New folder for the cleaned copies.")],
    key: Annotated[
        Path | None,
        typer.Option(help="Secret key, made if absent: with the same one, later runs give the same pseudonyms."),
    ] = None,
    leave_out_suspect: Annotated[
        bool, typer.Option("--leave-out-suspect", help="Do not write files whose pixels may show text.")
    ] = False,
    names: Annotated[
        Path | None, typer.Option(help="List of which file became which. It identifies patients: keep it safe.")
    ] = None,
) -> None:
    """Copy DICOM files without what identifies the patient (basic profile of DICOM PS3.15, Annex E)."""
    from napari_medseg.io.deidentify import DeidentifyOptions, Summary
    from napari_medseg.io.deidentify import deidentify as run

    control = Control()
    options = DeidentifyOptions(key, leave_out_suspect, names)
    summary = follow(run(source, target, options, control), control)
    assert isinstance(summary, Summary)
    _report(summary)
    if summary.count("failed"):
        raise DataError(f"{summary.count('failed')} files could not be cleaned.", f"See {summary.log}.")


def _report(summary: "Summary") -> None:
    parts = [f"{summary.count('written')} files written"]
    for status, words in (("left out", "left out"), ("not DICOM", "are not DICOM"), ("failed", "failed")):
        if count := summary.count(status):  # type: ignore[arg-type]
            parts.append(f"{count} {words}")
    out().print(f"{', '.join(parts)}; account of every file in {summary.log}", markup=False)
    reasons = {outcome.reason for outcome in summary.outcomes if outcome.status == "left out"}
    for reason in sorted(reasons):
        number = sum(outcome.reason == reason for outcome in summary.outcomes)
        say(f"Left out, {number} files: {reason}.")
    for warning in sorted({outcome.pixel_warning for outcome in summary.warned}):
        number = sum(outcome.pixel_warning == warning for outcome in summary.warned)
        say(f"Warning, {number} files: {warning}. Pixels were not changed: look at them before you pass them on.")
    for note in sorted({outcome.note for outcome in summary.outcomes if outcome.note}):
        say(f"Note: {note}.")
