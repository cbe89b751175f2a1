"""``models``: the user's collection, and every way into it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_medseg.cli.console import follow, out, print_json, say, table
from napari_medseg.errors import LicenceError
from napari_medseg.progress import Control

if TYPE_CHECKING:
    from napari_medseg.models import AddOptions, Bundle

commands = typer.Typer(help="List, add and remove models.", invoke_without_command=True)
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON and nothing else.")]
Name = Annotated[str, typer.Argument(help="The model's name, or that of its folder.")]


@commands.callback()
def models(context: typer.Context, as_json: AsJson = False) -> None:
    """List your models, and the architectures that new ones can be made of."""
    if context.invoked_subcommand is None:
        _list(as_json)


@commands.command(name="list")
def list_models(as_json: AsJson = False) -> None:
    """List your models, and the architectures that new ones can be made of."""
    _list(as_json)


def _list(as_json: bool) -> None:
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


@commands.command()
def add(
    source: Annotated[
        str,
        typer.Argument(
            help="A model's folder or zip file (MONAI's, nnU-Net's), weights, a TorchScript or exported program, "
            "brainchop's JSON, totalsegmentator:TASK, or a name in MONAI's model zoo."
        ),
    ],
    name: Annotated[str | None, typer.Option(help="Name for it, instead of its own.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="For weights and programs: architecture, classes, spacing, ..."
        ),
    ] = None,
    fold: Annotated[list[str] | None, typer.Option(help="For nnU-Net: a fold to use; may be repeated.")] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Let the code that the model consists of run.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Agree to the licence of what is fetched.")] = False,
) -> None:
    """Add a model to your collection, whatever kind it is."""
    from napari_medseg.cli.settings import parse
    from napari_medseg.models import AddOptions, Bundle

    options = AddOptions(name=name, spec=parse(settings or []), folds=tuple(fold or ()), trust=trust)
    try:
        path = _add(source, options)
    except LicenceError as offer:
        say(offer.terms)
        if not yes and not typer.confirm("Do you agree, and shall it be fetched?", default=False, err=True):
            raise
        path = _add(source, options.model_copy(update={"agreed": offer.token}))
    _print_facts(Bundle.load(path))


def _add(source: str, options: "AddOptions") -> Path:
    from napari_medseg.models.adding import add_model

    control = Control()
    return Path(str(follow(add_model(control, source, options.model_dump()), control)))


@commands.command()
def ensemble(
    name: Annotated[str, typer.Argument(help="Name of the new model.")],
    members: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="Folders or names of the models.")],
) -> None:
    """Make one model of several for the same classes: the mean of their probabilities."""
    from napari_medseg.cli.predict import find_model
    from napari_medseg.models import ensemble as combine
    from napari_medseg.models import install

    _print_facts(install(combine(name, [find_model(member) for member in members])))


@commands.command()
def info(name: Name, as_json: AsJson = False) -> None:
    """Show what a model needs and gives, its licence and where it is."""
    from napari_medseg.cli.predict import find_model

    bundle = find_model(Path(name))
    if as_json:
        print_json({"path": str(bundle.path), "hash": bundle.hash, "spec": bundle.spec.model_dump(mode="json")})
    else:
        _print_facts(bundle)


@commands.command()
def remove(name: Name) -> None:
    """Delete a model from your collection."""
    from napari_medseg.models import remove as delete

    out().print(f"Removed {delete(name)}.", markup=False)


@commands.command()
def versions(name: Name) -> None:
    """List the versions that a model had before, newest first."""
    from napari_medseg.cli.predict import find_model
    from napari_medseg.models import Bundle
    from napari_medseg.models.versions import versions as earlier

    bundle = find_model(Path(name))
    assert bundle.path is not None
    rows = table("version", "trained on", "measured")
    for label, found in [("now", bundle), *((path.name, Bundle.load(path)) for path in earlier(bundle.path))]:
        dice = {key: value for key, value in found.spec.metrics.items() if key.startswith("dice/")}
        scores = ", ".join(f"{key.removeprefix('dice/')} {value:.2f}" for key, value in dice.items())
        rows.add_row(label, f"{len(found.spec.training_data)} images", scores or "not validated")
    out().print(rows)


@commands.command()
def rollback(name: Name) -> None:
    """Put the version before back in a model's place; nothing is lost, and again goes further back."""
    from napari_medseg.models.versions import rollback_named

    _print_facts(rollback_named(name))


@commands.command()
def zoo(as_json: AsJson = False) -> None:
    """List the models of MONAI's model zoo, and TotalSegmentator's tasks if it is installed."""
    from napari_medseg.errors import BundleError
    from napari_medseg.models.download import zoo_models
    from napari_medseg.models.download.fetch import DownloadError
    from napari_medseg.models.importing.totalsegmentator import tasks

    try:
        found = tasks()
    except BundleError:
        found = ()
    try:
        entries = zoo_models()
    except DownloadError as error:
        if not found:
            raise
        say(f"Warning: {error}")
        entries = ()
    if as_json:
        print_json(
            {
                "zoo": {entry.name: entry.version for entry in entries},
                "totalsegmentator": {task.name: task.refusal or "runs" for task in found},
            }
        )
        return
    rows = table("source", "version or classes", "remark")
    for entry in entries:
        rows.add_row(entry.name, entry.version, "")
    for task in found:
        remark = task.refusal or ("for licence holders" if task.commercial else "")
        rows.add_row(f"totalsegmentator:{task.name}", f"{len(task.classes)} classes", remark)
    out().print(rows)


@commands.command()
def distrust(name: Annotated[str | None, typer.Argument(help="A trusted model; none lists them.")] = None) -> None:
    """Take back your trust in a model whose code may run."""
    from napari_medseg.errors import ConfigError
    from napari_medseg.models.trust import distrust as take_back
    from napari_medseg.models.trust import trusted

    known = trusted()
    if name is None:
        for entry in known:
            out().print(f"{entry.name}  since {entry.since}  {entry.digest[:12]}", markup=False)
        return
    wanted = [entry for entry in known if entry.name == name or entry.digest.startswith(name)]
    if not wanted:
        names = ", ".join(entry.name for entry in known) or "none"
        raise ConfigError(f"No trusted model is named {name!r}.", f"Trusted are: {names}.")
    for entry in wanted:
        take_back(entry.digest)
        out().print(f"{entry.name} may not run any more.", markup=False)


def _print_facts(bundle: "Bundle") -> None:
    from napari_medseg.models.family import title

    spec = bundle.spec
    rows = table("", "")
    rows.show_header = False
    for what, text in (
        ("model", spec.name),
        ("description", spec.description),
        ("network", f"{title(spec)}, {spec.dims}D, {spec.channels} channel(s)"),
        ("classes", ", ".join(f"{c.value} {c.name}" for c in spec.foreground)),
        ("image", spec.modality or ""),
        ("licence", spec.licence or "none is stated"),
        ("cite", spec.citation),
        ("folder", str(bundle.path)),
    ):
        if text:
            rows.add_row(what, text)
    out().print(rows)
