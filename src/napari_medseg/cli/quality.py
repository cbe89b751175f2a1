"""``quality``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_medseg.cli.console import out, print_json, table, watching
from napari_medseg.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_medseg.evaluate.quality import QualityReport
    from napari_medseg.volume import Volume


def quality(
    image: Annotated[Path, typer.Argument(help="Image file or folder of DICOM files.")],
    regions: Annotated[
        Path | None,
        typer.Option(help="Label map on the image's grid: signal is taken in class 1, contrast between 1 and 2."),
    ] = None,
    noise: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a map of the noise.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON and nothing else.")] = False,
) -> None:
    """Say how good an image is, and what may harm the tasks that follow."""
    from dataclasses import replace

    from napari_medseg.evaluate.quality import assess, noise_map
    from napari_medseg.io import read, write
    from napari_medseg.volume.grey import as_grey
    from napari_medseg.volume.plain import plain_values

    with watching() as (control, report):
        found = [volume for volume in map(as_grey, read(image, control, report=report)) if volume.kind == "image"]
        drawn = None if regions is None else read(regions, control, report=report)[0]
    if not found:
        raise DataError(f"{image.name} holds no image.", "Choose another file.")
    found = [replace(part, name=name) for volume in found for name, part in _parts(volume)]
    reports = [assess(volume, *_regions(drawn, volume)) for volume in found]
    if noise is not None:
        if len(found) > 1:
            raise DataError(f"{image.name} holds {len(found)} images.", "Ask for the noise of one at a time.")
        what = "Standard deviation of the noise around each voxel"
        write(replace(found[0], data=noise_map(plain_values(found[0])), window=None, derivation=what), noise)
    if as_json:
        print_json([one.to_dict() for one in reports])
        return
    for one in reports:
        _show(one)


def _parts(volume: "Volume") -> "list[tuple[str, Volume]]":
    """Return the frames or colours of an image with their names."""
    from napari_medseg.volume.frames import frames_of

    parts = frames_of(volume)
    return [(f"{volume.name} {number}" if len(parts) > 1 else volume.name, part) for number, part in enumerate(parts)]


def _regions(drawn: "Volume | None", image: "Volume") -> "tuple[NDArray[np.bool_], ...]":
    """Return where signal and contrast are taken, along the axes of the image."""
    from napari_medseg.data.label_array import labels_on

    if drawn is None:
        return ()
    values = labels_on(drawn, image.spatial_shape, image.geometry, image.name, "regions")
    return values == 1, values == 2


def _show(report: "QualityReport") -> None:
    rows = table("measure", "value")
    for key, value in report.to_dict().items():
        if key not in ("name", "findings"):
            rows.add_row(key.replace("_", " "), "-" if value is None else f"{value:.4g}")
    console = out()
    console.print(report.name, markup=False)
    console.print(rows)
    for finding in report.findings or ("Nothing was found that harms other tasks.",):
        console.print(finding, markup=False)
