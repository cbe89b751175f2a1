"""What the panels remember from one session to the next.

The computing device is one of the plugin's settings, also shown on napari's Preferences page. The values of the forms
are kept in a small JSON file, which holds only what differs from the defaults.
"""

import json
import logging
import os
from pathlib import Path
from typing import Any, TypeVar

from napari.settings import get_plugin_settings
from platformdirs import user_config_path
from pydantic import BaseModel, ValidationError

from napari_medseg.io.limits import MEMORY_SHARE
from napari_medseg.training.atomic import write_text

logger = logging.getLogger(__name__)

Model = TypeVar("Model", bound=BaseModel)
PLUGIN = "napari-medseg"


def forms_file() -> Path:
    """Return the file in which the values of the forms are kept."""
    home = os.environ.get("NAPARI_MEDSEG_HOME")
    return (Path(home) if home else user_config_path(PLUGIN)) / "forms.json"


def recall(name: str, default: Model) -> Model:
    """Return the values that were last used in the form `name`.

    Parameters
    ----------
    name : str
        Under which `remember` kept them.
    default : Model
        For the fields that were not changed, and for everything if the file cannot be used.
    """
    try:
        return type(default).model_validate({**default.model_dump(), **_load().get(name, {})})
    except ValidationError:
        # written by another version, whose fields had other names or bounds
        logger.warning("The remembered values of %s do not fit this version and are not used.", name)
        return default


def remember(name: str, values: BaseModel) -> None:
    """Keep the values of a form for `recall`; without effect where the folder cannot be written."""
    # Not pydantic's own way to leave out defaults: that would go into the fields, and take the kind of a step.
    fields = type(values).model_fields.items()
    changed = {field for field, info in fields if getattr(values, field) != info.get_default(call_default_factory=True)}
    everything = _load() | {name: values.model_dump(mode="json", include=changed)}
    try:
        write_text(forms_file(), json.dumps(everything, indent=1))
    except OSError as error:
        logger.warning("The values of %s are not remembered: %s", name, error.strerror)


def chosen_device() -> str:
    """Return the computing device that the user chose: ``"auto"`` unless there was a choice."""
    return str(_computing().device)


def choose_device(device: str) -> None:
    """Keep the user's choice of a computing device; one that the Preferences page does not offer is not kept."""
    try:
        _computing().device = device
    except ValidationError:
        logger.warning("The device %s is used in this session only.", device)


def memory_share() -> float:
    """Return the share of the free memory above which a volume is opened without reading it whole."""
    try:
        return int(get_plugin_settings(PLUGIN).reading.memory_percent) / 100
    except KeyError:
        # a script that uses napari without its plugins
        return MEMORY_SHARE


def _computing() -> Any:  # noqa: ANN401 - made by napari from the manifest
    return get_plugin_settings(PLUGIN).computing


def _load() -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(forms_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        logger.warning("%s cannot be read; the forms start with their defaults.", forms_file())
        return {}
    return found if isinstance(found, dict) else {}
