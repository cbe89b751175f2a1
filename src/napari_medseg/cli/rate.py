"""``train find-rate``."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from napari_medseg.cli.console import follow, out, print_json, say
from napari_medseg.progress import Control

if TYPE_CHECKING:
    from napari_medseg.training.rate_finder import RateCurve


def find_rate(
    images: Annotated[Path, typer.Option(help="Folder of images.")],
    labels: Annotated[Path, typer.Option(help="Folder of label maps with the names of their images.")],
    init: Annotated[Path | None, typer.Option(help="Model folder to start from.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of training or of the network.")
    ] = None,
    scheme: Annotated[
        Literal["auto", "dense", "sparse", "foreground"], typer.Option(help="As for `train segmentation`.")
    ] = "auto",
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Picture of the curve, such as rate.png.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON and nothing else to standard output.")] = False,
) -> None:
    """Propose a learning rate for `train segmentation` by a short trial in which it rises."""
    from napari_medseg.cli.request import Request
    from napari_medseg.training.rate_finder import RateCurve
    from napari_medseg.training.rate_finder import find_rate as trial

    control = Control()
    with TemporaryDirectory(prefix="napari-medseg-") as folder:
        run = Path(folder) / "run"
        for note in Request(init, None, tuple(settings or ()), (), scheme).create(run, images, labels):
            say(note)
        curve = follow(trial(run, control), control)
    assert isinstance(curve, RateCurve)
    if plot is not None:
        _draw(curve, plot)
    if as_json:
        print_json({"proposed": curve.proposed, "rates": curve.rates, "losses": curve.losses})
    else:
        out().print(f"learning_rate={curve.proposed:g}", markup=False)


def _draw(curve: "RateCurve", path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot(xscale="log", xlabel="Learning rate", ylabel="Loss")
    axes.plot(curve.rates, curve.losses)
    axes.axvline(curve.proposed, color="tab:orange", label=f"{curve.proposed:g}")
    axes.legend()
    figure.savefig(path)
