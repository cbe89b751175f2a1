"""Settings given as ``--set key=value``."""

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from napari_medseg.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


def parse(assignments: Sequence[str], *, as_text: bool = False) -> dict[str, Any]:
    """Return the values of ``key=value`` texts.

    Parameters
    ----------
    assignments : sequence of str
        A value is JSON, a list of numbers with commas, or else a text.
    as_text : bool
        Take every value as it stands.

    Raises
    ------
    ConfigError
        If a text has no ``=``.

    Examples
    --------
    >>> parse(["steps=50", "minutes=none", "patch_size=32,32,32", "device=cuda:1", "flips=false"])
    {'steps': 50, 'minutes': None, 'patch_size': [32, 32, 32], 'device': 'cuda:1', 'flips': False}
    """
    values = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"{assignment!r} is not of the form key=value.", "Write it like steps=500.")
        values[key.strip()] = text.strip() if as_text else _value(text.strip())
    return values


def build(model: type[Model], values: dict[str, Any]) -> Model:
    """Return a settings object, or raise `ConfigError` that names what is wrong and what is possible."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(*explain(error, list(model.model_fields))) from error


def explain(error: ValidationError, known: Sequence[str] = ()) -> tuple[str, str]:
    """Return problem and remedy of a validation error, in one line each."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"There is no setting {name!r}.", f"Known are {', '.join(known)}."
    return f"The setting {name} cannot be {first['input']!r}: {first['msg']}.", ""


def _value(text: str) -> object:
    if text.lower() in ("none", "null"):
        return None
    for candidate in (text, f"[{text}]" if "," in text else text, text.lower()):
        try:
            return json.loads(candidate)
        except json.JSONDecodeError:
            continue
    return text
