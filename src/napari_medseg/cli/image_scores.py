"""``evaluate superresolution`` and ``evaluate enhancement``."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from napari_medseg.cli.console import out, print_json, table, watching
from napari_medseg.errors import DataError


def image_scores(
    predictions: Annotated[Path, typer.Option(help="Computed image, or folder of such.")],
    references: Annotated[Path, typer.Option(help="True image, or folder of images of the same names.")],
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON and nothing else to standard output.")] = False,
) -> None:
    """Compare computed images with true ones: PSNR, SSIM and HFEN over all voxels."""
    from napari_medseg.evaluate.images import image_pairs, score_image
    from napari_medseg.io import read

    scores = {}
    with watching() as (control, report):
        for name, paths in image_pairs(predictions, references).items():
            found = [read(path, control, report=report) for path in paths]
            if any(len(volumes) != 1 for volumes in found):
                raise DataError(f"The files of {name} hold several images.", "Give each image a file of its own.")
            scores[name] = score_image(found[0][0], found[1][0])
    if as_json:
        print_json({name: asdict(score) for name, score in scores.items()})
        return
    rows = table("image", "PSNR (dB)", "SSIM", "HFEN", "voxels", "true values")
    for name, score in scores.items():
        numbers = f"{score.psnr:.2f}", f"{score.ssim:.4f}", f"{score.hfen:.4f}", str(score.voxels)
        rows.add_row(name, *numbers, f"{score.low:g} to {score.high:g}")
    out().print(rows)
