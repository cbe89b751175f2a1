"""The architectures that can be built, found by walking `napari_medseg.models.zoo` and the installed entry points."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from math import prod
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from napari_medseg.errors import BundleError
from napari_medseg.models.covariates import fact_count
from napari_medseg.models.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

ENTRY_POINT = "napari_medseg.models"
OptionsT = TypeVar("OptionsT", bound=BaseModel)


@dataclass(frozen=True)
class NetworkDef:
    """A class and its arguments: enough to build a network here and, as JSON, in a MONAI bundle."""

    target: str
    """Import path of the class, such as ``"monai.networks.nets.DynUNet"``. Comes from registered code only, never from
    a file."""
    arguments: dict[str, Any]
    """Keyword arguments, as JSON values."""
    parts: "tuple[NetworkDef, ...]" = ()
    """Positional arguments that are networks themselves, such as the layers of ``torch.nn.Sequential``; they have no
    parts of their own."""

    def to_config(self) -> dict[str, Any]:
        """Return the entries of a MONAI configuration: ``network_def``, and what it refers to."""
        if not self.parts:
            return {"network_def": {"_target_": self.target, **self.arguments}}
        layers = [part.to_config()["network_def"] for part in self.parts]
        return {"network_layers": layers, "network_def": f"${self.target}(*@network_layers)"}

    def build(self) -> "nn.Module":
        """Return the network."""
        module, _, name = self.target.rpartition(".")
        make = getattr(import_module(module), name)
        network: nn.Module = make(*(part.build() for part in self.parts), **self.arguments)
        return network


@dataclass(frozen=True)
class Architecture(Generic[OptionsT]):
    """A family of networks."""

    name: str
    """As in `ModelSpec.architecture`."""
    title: str
    """As shown to the user."""
    options: type[OptionsT]
    """What `ModelSpec.options` may hold."""
    define: Callable[[ModelSpec, OptionsT], NetworkDef]
    """Turns a specification and its checked options into a network definition."""
    dims: tuple[int, ...] = (2, 3)
    """Numbers of dimensions it can have."""
    citation: str = ""
    tasks: tuple[str, ...] = ("segmentation",)
    """What it can be trained for; see `ModelSpec.task`."""

    def network_def(self, spec: ModelSpec) -> NetworkDef:
        """Return the definition of the network that `spec` describes.

        Raises
        ------
        BundleError
            If the options are not this architecture's.
        """
        if spec.dims not in self.dims:
            raise BundleError(
                f"{spec.name}: {self.title} cannot have {spec.dims} dimensions.",
                f"Choose {' or '.join(map(str, self.dims))} dimensions.",
            )
        if spec.task not in self.tasks:
            raise BundleError(
                f"{spec.name}: {self.title} is not for {spec.task}, but for {' and '.join(self.tasks)}.",
                "Choose another architecture.",
            )
        try:
            options = self.options.model_validate(spec.options)
        except ValidationError as error:
            details = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'options'}: {e['msg']}" for e in error.errors())
            raise BundleError(
                f"{spec.name}: options that {self.title} does not take ({details}).",
                f"It takes {', '.join(self.options.model_fields)}.",
            ) from error
        return self.define(spec, options)


_REGISTERED: dict[str, Architecture[Any]] = {}


def register(
    name: str,
    *,
    title: str,
    options: type[OptionsT],
    dims: tuple[int, ...] = (2, 3),
    citation: str = "",
    tasks: tuple[str, ...] = ("segmentation",),
) -> Callable[[Callable[[ModelSpec, OptionsT], NetworkDef]], Callable[[ModelSpec, OptionsT], NetworkDef]]:
    """Make an architecture known; decorates the function that defines it.

    The module of the function must load without torch.

    Parameters
    ----------
    name : str
        Unique; kept in saved models.
    title : str
        As shown to the user.
    options : subclass of pydantic.BaseModel
        What `ModelSpec.options` may hold, with a default for everything.
    dims : tuple of int
        Numbers of dimensions it can have.
    citation : str
        Where it was published.
    tasks : tuple of str
        What it can be trained for; see `ModelSpec.task`.

    Raises
    ------
    ValueError
        If another architecture has the name.
    """

    def decorate(define: Callable[[ModelSpec, OptionsT], NetworkDef]) -> Callable[[ModelSpec, OptionsT], NetworkDef]:
        if name in _REGISTERED:
            raise ValueError(f"there are two architectures named {name!r}")
        _REGISTERED[name] = Architecture(name, title, options, define, dims, citation, tasks)
        return define

    return decorate


@cache
def _discover() -> None:
    from napari_medseg.models import zoo

    for module in iter_modules(zoo.__path__, prefix=f"{zoo.__name__}."):
        import_module(module.name)
    for entry_point in entry_points(group=ENTRY_POINT):
        entry_point.load()


def architectures() -> tuple[Architecture[Any], ...]:
    """Return all registered architectures, by name."""
    _discover()
    return tuple(_REGISTERED[name] for name in sorted(_REGISTERED))


def architecture(name: str) -> Architecture[Any]:
    """Return the architecture of a name.

    Raises
    ------
    BundleError
        If none is registered under it.
    """
    _discover()
    if name not in _REGISTERED:
        raise BundleError(
            f"There is no architecture named {name!r}.",
            f"Known are {', '.join(sorted(_REGISTERED))}; install the package that brings it, or update this one.",
        )
    return _REGISTERED[name]


def network_def(spec: ModelSpec) -> NetworkDef:
    """Return the class and the arguments of the network that `spec` describes."""
    image = architecture(spec.architecture).network_def(spec)
    if not spec.covariates:
        return image
    sizes = {"facts": fact_count(spec.covariates), "classes": spec.outputs}
    return NetworkDef("napari_medseg.models.nets.fused.Fused", sizes, (image,))


def edge_divisor(spec: ModelSpec) -> tuple[int, int, int]:
    """Return the numbers that the (z, y, x) edges of a tile must be multiples of; z is 1 for planes."""
    arguments = network_def(spec).arguments
    strides = arguments.get("strides") or arguments.get("arguments", {}).get("strides", ())
    stages = [(stage,) * spec.dims if isinstance(stage, int) else tuple(stage) for stage in strides]
    z, y, x = (1, *(prod(stage[axis] for stage in stages) for axis in range(spec.dims)))[-3:]
    return z, y, x


def build(spec: ModelSpec) -> "nn.Module":
    """Return the network that `spec` describes, with fresh random weights.

    Input is (batch, channel, z, y, x) float32 of `spec.patch_size`, or (batch, channel, y, x) for two dimensions;
    output has one channel of logits per class. That of a classification is (batch, class).

    Raises
    ------
    BundleError
        If the specification describes no network.
    """
    definition = network_def(spec)
    try:
        return definition.build()
    except (TypeError, ValueError, KeyError, AttributeError, AssertionError, NotImplementedError) as error:
        raise BundleError(
            f"{spec.name}: there is no {definition.target} with these arguments ({error}).", "Get the model again."
        ) from error
