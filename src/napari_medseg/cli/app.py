"""The commands, and what becomes of their errors."""

import os
from collections.abc import Sequence

import typer
from pydantic import ValidationError

from napari_medseg.cli import (
    catalogue,
    deidentify,
    demo,
    evaluate,
    explanation,
    images,
    measure,
    predict,
    project,
    quality,
    restoration,
    train,
)
from napari_medseg.cli.console import say
from napari_medseg.cli.settings import explain
from napari_medseg.errors import Cancelled, MedsegError

BAD_INPUT, STOPPED = 2, 130
TRACEBACK_VARIABLE = "NAPARI_MEDSEG_TRACEBACK"

app = typer.Typer(
    name="napari-medseg",
    help="Deep learning on medical images, without a display.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(images.info)
app.command()(images.convert)
app.add_typer(catalogue.commands, name="models")
train.commands.command()(restoration.superresolution)
train.commands.command()(restoration.enhancement)
app.add_typer(train.commands, name="train")
app.command()(predict.predict)
app.command()(restoration.enhance)
app.command()(quality.quality)
app.command()(measure.measure)
app.add_typer(evaluate.commands, name="evaluate")
app.add_typer(project.commands, name="project")
app.command()(explanation.explain)
app.command()(deidentify.deidentify)
app.command()(demo.demo)


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code, having said in one line what was wrong with the input.

    Parameters
    ----------
    arguments : sequence of str
        What follows the program's name.
    """
    try:
        return int(app(list(arguments), standalone_mode=False, prog_name="napari-medseg") or 0)
    except (Cancelled, KeyboardInterrupt) as stopped:
        say(str(stopped) or "Stopped.")
        return STOPPED
    except BrokenPipeError:
        # The reader of our output has seen enough.
        return 0
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        if text := one_line(error):
            say(f"Error: {text}")
        return BAD_INPUT


def one_line(error: Exception) -> str:
    """Return what is wrong and what to do, for any exception."""
    if isinstance(error, ValidationError):
        return " ".join(explain(error)).strip()
    if isinstance(error, MedsegError):
        text = str(error)
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename or ''}: {error.strerror}.".removeprefix(": ")
    elif callable(message := getattr(error, "format_message", None)):
        context = getattr(error, "ctx", None)
        # A command group without a command has shown its help already.
        text = message() and f"{message()} See `{context.command_path if context else 'napari-medseg'} --help`."
    else:
        text = f"{type(error).__name__}: {error} Set {TRACEBACK_VARIABLE}=1 to see where."
    return " ".join(text.split())
