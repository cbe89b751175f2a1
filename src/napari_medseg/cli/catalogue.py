"""``models``."""

from typing import Annotated

import typer

from napari_medseg.cli.console import out, print_json, table


def models(as_json: Annotated[bool, typer.Option("--json", help="Write JSON and nothing else.")] = False) -> None:
    """List your models, and the architectures that new ones can be made of."""
    from napari_medseg.models import architectures, library, library_folder

    own, known = library(), architectures()
    if as_json:
        print_json(
            {
                "folder": str(library_folder()),
                "models": [{"path": str(b.path), "hash": b.hash, "spec": b.spec.model_dump(mode="json")} for b in own],
                "architectures": [architecture.name for architecture in known],
            }
        )
        return
    console = out()
    if own:
        rows = table("model", "classes", "architecture", "folder")
        for bundle in own:
            classes = ", ".join(entry.name for entry in bundle.spec.foreground)
            rows.add_row(bundle.spec.name, classes, bundle.spec.architecture, str(bundle.path))
        console.print(rows)
    else:
        console.print(f"There are no models in {library_folder()} yet.", markup=False)
    console.print(f"Architectures: {', '.join(architecture.name for architecture in known)}", markup=False)
