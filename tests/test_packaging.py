"""What the package imports is what it declares, and what it declares is what the constraints pin."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCAL = "napari-medseg"


def imported_by(path: Path) -> set[str]:
    """Return the top-level names of the absolute imports of a source file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names


def declared(*requirements: str) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def pinned() -> set[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {canonicalize_name(line.partition("==")[0]) for line in lines}


def test_every_import_is_declared() -> None:
    extras = [text for extra in PROJECT["project"]["optional-dependencies"].values() for text in extra]
    known = declared(*PROJECT["project"]["dependencies"], *extras, LOCAL)
    distributions = packages_distributions()
    used = set().union(*(imported_by(path) for path in (ROOT / "src").rglob("*.py"))) - sys.stdlib_module_names
    undeclared = {name for name in used if not known & {canonicalize_name(d) for d in distributions.get(name, [name])}}
    assert undeclared == set()


def test_no_qt_binding_is_a_dependency() -> None:
    bindings = {"pyqt5", "pyqt6", "pyside2", "pyside6", "napari-all"}
    assert declared(*PROJECT["project"]["dependencies"]) & bindings == set()
    assert not any(Requirement(text).extras for text in PROJECT["project"]["dependencies"])


def test_constraints_hold_names_versions_and_markers_only() -> None:
    line = re.compile(r"[a-z0-9.-]+==[0-9a-z.]+( ; [a-z0-9_.<>=!'() A-Z]+)?")
    odd = [text for text in (ROOT / "constraints.txt").read_text().splitlines() if not line.fullmatch(text)]
    assert odd == []


def test_constraints_pin_all_that_is_declared() -> None:
    extras = [text for extra in PROJECT["project"]["optional-dependencies"].values() for text in extra]
    groups = [text for group in PROJECT["dependency-groups"].values() for text in group]
    wanted = declared(*PROJECT["project"]["dependencies"], *extras, *groups, *PROJECT["build-system"]["requires"])
    assert wanted - pinned() == set()
