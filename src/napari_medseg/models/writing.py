"""A model's folder, written so that it is complete or not there."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import IO

from napari_medseg.errors import WriteError
from napari_medseg.models.card import model_card
from napari_medseg.models.configs import inference_config, metadata
from napari_medseg.models.family import runs_in_monai
from napari_medseg.models.files import CARD, INFERENCE, LICENCE, METADATA
from napari_medseg.models.spec import ModelSpec


def write_atomically(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make a model's folder; an old one stays until the new one is complete, and if anything fails.

    Parameters
    ----------
    folder : Path
        Absolute; an existing model there is replaced.
    fill : callable
        Writes everything into the folder that it is given.

    Raises
    ------
    WriteError
        If the path is taken by something that is not a model, or cannot be written.
    """
    if folder.exists() and not (folder / METADATA).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise WriteError(f"{folder} exists and is not a model.", "Choose another name.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise WriteError(f"{folder.parent} cannot be written: {error.strerror}.", "Choose another place.") from error
    try:
        temporary.chmod(0o755)
        fill(temporary)
        _replace(temporary, folder)
    except OSError as error:
        raise WriteError(f"{folder} could not be written: {error.strerror}.", "Free space there.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_texts(folder: Path, spec: ModelSpec) -> None:
    """Write everything but the weights."""
    texts = {METADATA: json.dumps(metadata(spec), indent=2), CARD: model_card(spec)}
    if runs_in_monai(spec):
        texts[INFERENCE] = json.dumps(inference_config(spec), indent=2)
    if spec.licence:
        texts[LICENCE] = f"SPDX-License-Identifier: {spec.licence}\n"
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def write_weights(path: Path, source: IO[bytes]) -> None:
    """Write the weights' file, and wait until it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as target:
        shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(target.fileno())


def _replace(new: Path, folder: Path) -> None:
    """Rename `new` to `folder`; an old folder is kept until then."""
    if not folder.exists():
        new.rename(folder)
        return
    old = Path(mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent)) / folder.name
    folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    finally:
        shutil.rmtree(old.parent, ignore_errors=True)
