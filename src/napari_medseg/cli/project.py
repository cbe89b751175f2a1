"""``project``."""

import time
from pathlib import Path
from typing import Annotated

import typer

from napari_medseg.cli.console import out, print_json, say, table
from napari_medseg.errors import DataError, MedsegError
from napari_medseg.project import Project

commands = typer.Typer(no_args_is_help=True, help="Look at a project that was made in the viewer.")
Folder = Annotated[Path, typer.Argument(help="Folder of the project.")]


@commands.command()
def info(folder: Folder, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List the cases of a project, without reading their images."""
    project = Project.look(folder)
    rows = [
        {
            "case": entry.id,
            "name": entry.name,
            "patient": entry.group,
            "use": entry.split,
            "image": project.image_state(entry.id),
            "saved": _when(project.saved_at(entry.id)),
            "notes": entry.notes,
        }
        for entry in project.content.cases
    ]
    runs = sorted(path.parent.name for path in project.runs.glob("*/config.json"))
    if as_json:
        print_json({"name": project.content.name, "notes": project.content.notes, "cases": rows, "runs": runs})
        return
    shown = table("case", "name", "patient", "use", "image", "saved", "notes")
    for row in rows:
        shown.add_row(*(text or "-" for text in row.values()))
    out().print(shown)
    out().print(f"{len(runs)} training runs", markup=False)


@commands.command()
def check(folder: Folder) -> None:
    """Read all images and labels of a project, and say which are gone, damaged or changed."""
    project, bad = Project.look(folder), 0
    for entry in project.content.cases:
        problems = list(_problems(project, entry.id))
        bad += bool(problems)
        out().print(f"{entry.id}: {'; '.join(problems) or 'ok'}", markup=False)
    if bad:
        raise DataError(f"{bad} of {len(project.content.cases)} cases are not whole.", "See what to do for each above.")


@commands.command()
def export(
    folder: Folder,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the label maps, one per case.")],
    suffix: Annotated[str, typer.Option("--format", help="Such as .nii.gz, .seg.nrrd, .mha.")] = ".nii.gz",
) -> None:
    """Write the label maps of a project as files for other programs: 0 unlabelled, 255 background, else the class."""
    from napari_medseg.io import write

    project = Project.look(folder)
    out_folder.mkdir(parents=True, exist_ok=True)
    for entry in project.content.cases:
        found = project.load_labels(entry.id)
        if found is None:
            say(f"{entry.id} has no labels yet.")
        else:
            out().print(str(write(found[0], out_folder / f"{entry.id}.{suffix.removeprefix('.')}")), markup=False)


def _problems(project: Project, case: str) -> list[str]:
    found = []
    for read in (project.read_images, project.load_labels):
        try:
            read(case)
        except MedsegError as error:
            found.append(str(error))
    return found


def _when(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
