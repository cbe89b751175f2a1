"""A MONAI configuration as data: references are followed, expressions are refused."""

from dataclasses import dataclass
from typing import Any

from napari_medseg.errors import BundleError

Json = dict[str, Any]
REMEDY = "Use it with MONAI itself, or ask its maker for a configuration without code."


@dataclass(frozen=True, eq=False)
class PlainConfig:
    """A configuration file of a MONAI bundle.

    Parameters
    ----------
    name : str
        Of the bundle, for messages.
    content : dict
        As parsed from JSON.
    """

    name: str
    content: Json

    def entry(self, key: str) -> Json:
        """Return the top-level entry `key`, which describes an object; its own values are not looked at yet.

        Raises
        ------
        BundleError
            If it is missing, is code, or is no object.
        """
        if key not in self.content:
            raise BundleError(f"{self.name} has no {key!r} in its inference configuration.", REMEDY)
        found = self.follow(self.content[key], key)
        if not isinstance(found, dict) or not isinstance(found.get("_target_"), str):
            raise BundleError(f"{self.name}: {key!r} does not name a class.", REMEDY)
        return found

    def plain(self, value: object, where: str) -> Any:  # noqa: ANN401 - JSON
        """Return a value with all references in it replaced by what they refer to.

        Raises
        ------
        BundleError
            If anything in it is an expression, which would execute code.
        """
        return self._plain(value, where, ())

    def _plain(self, value: object, where: str, seen: tuple[str, ...]) -> Any:  # noqa: ANN401 - JSON
        if isinstance(value, str):
            found = self.follow(value, where, seen)
            return found if found is value else self._plain(found, where, (*seen, value))
        if isinstance(value, dict):
            return {key: self._plain(part, f"{where}::{key}", seen) for key, part in value.items()}
        if isinstance(value, list):
            return [self._plain(part, f"{where}::{number}", seen) for number, part in enumerate(value)]
        return value

    def follow(self, value: object, where: str, seen: tuple[str, ...] = ()) -> object:
        """Return what a reference refers to, or any other value as it is; what is in it is not looked at.

        Parameters
        ----------
        value : JSON value
            From the configuration.
        where : str
            Its place, for messages.
        seen : tuple of str
            References that led here.
        """
        while isinstance(value, str) and value[:1] in ("$", "@", "%"):
            if value.startswith("$"):
                raise BundleError(f"{self.name} would execute code: {where} is {_short(value)}.", REMEDY)
            if value in seen or len(seen) > 50:
                raise BundleError(f"{self.name}: {where} refers to itself.", "Get the model again.")
            seen = (*seen, value)
            value = self._look_up(value, where)
        return value

    def _look_up(self, reference: str, where: str) -> object:
        found: object = self.content
        for key in reference[1:].replace("#", "::").split("::"):
            if isinstance(found, dict) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isascii() and key.isdigit() and int(key) < len(found):
                found = found[int(key)]
            else:
                raise BundleError(f"{self.name}: {where} refers to {_short(reference)}, which is not there.", REMEDY)
        return found


def _short(text: str) -> str:
    return repr(text if len(text) <= 100 else f"{text[:97]}...")
