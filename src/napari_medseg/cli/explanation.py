"""``explain``."""

from pathlib import Path
from typing import Annotated

import typer

from napari_medseg.cli.console import duration, follow, out, print_json, table
from napari_medseg.errors import ConfigError
from napari_medseg.progress import Control


def explain(
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="IMAGE...", help="The image; several on one grid are channels of one."),
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Folder of the model, or the name of one of yours.")] = None,
    method: Annotated[str, typer.Option(help="One of those that --list shows.")] = "grad-cam",
    target: Annotated[
        str | None, typer.Option("--class", help="Name of the class; the likeliest, or a segmentation's first.")
    ] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Map to write, on the grid of the image.")
    ] = None,
    region: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Labels on the grid of the image: what to explain, or to see.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting: baseline, layer, samples, ...")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON and nothing else to standard output.")] = False,
    show_list: Annotated[bool, typer.Option("--list", help="Show the methods and leave.")] = False,
) -> None:
    """Show which parts of an image speak for a class, and check what the map is worth."""
    if show_list:
        _list(as_json)
        return
    if not images or model is None or out_file is None:
        raise ConfigError("An explanation needs an image, --model and --out.", "See `napari-medseg explain --help`.")
    from napari_medseg.cli.predict import find_model
    from napari_medseg.cli.settings import build, parse
    from napari_medseg.explain import ExplainOptions, ExplanationFiles
    from napari_medseg.explain.jobs import explain_volume

    options = build(ExplainOptions, parse(settings or []))
    bundle, control = find_model(model), Control()
    what = (method, target, options.model_dump())
    found = follow(explain_volume(control, images, bundle, what, out_file, region), control)
    assert isinstance(found, ExplanationFiles)
    if as_json:
        print_json({"map": str(found.map), **found.scores.to_dict()})
        return
    out().print(f"{found.map}  {found.scores.method} in {duration(found.scores.seconds)}", markup=False)
    for line in found.scores.lines():
        out().print(line, markup=False)


def _list(as_json: bool) -> None:
    from napari_medseg.explain import methods

    if as_json:
        print_json([{"name": one.name, "title": one.title, "about": one.about} for one in methods()])
        return
    rows = table("method", "what the map says", "settings")
    for one in methods():
        rows.add_row(one.name, one.about, ", ".join(one.uses))
    out().print(rows)
