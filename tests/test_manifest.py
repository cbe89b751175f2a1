"""The manifest agrees with the code and with napari; npe2's own validation checks neither."""

import re
from pathlib import Path

import pytest
from napari._app_model.constants import MenuId
from napari._app_model.context import LayerListContextKeys, LayerListSelectionContextKeys
from npe2 import PluginManifest
from npe2.manifest.contributions import ConfigurationContribution
from npe2.manifest.utils import import_python_name

import napari_medseg
from napari_medseg.io import formats

SOURCE = Path(napari_medseg.__file__).parent
MANIFEST = PluginManifest.from_file(SOURCE / "napari.yaml")
CONTRIBUTIONS = MANIFEST.contributions
READER = CONTRIBUTIONS.readers[0]
WITHOUT_SUFFIX = {"[!a-z]*[0-9][0-9]", "im*[0-9][0-9]", "[!a-z]" * 8}
"""Patterns that npe2 needs for DICOM files without a suffix, in place of those of the format."""
LEFT_TO_NAPARI = {"picture"}
"""Formats without geometry that napari opens by itself: a second offer would only make it ask."""


def matched_by_npe2(name: str) -> bool:
    """Return whether npe2 offers our reader for a file of this name."""
    from npe2._plugin_manager import _ContributionsIndex

    index = _ContributionsIndex()
    index.index_contributions(MANIFEST)
    return any(True for _ in index.iter_compatible_readers([f"/no/such/folder/{name}"]))


def commands_in_use() -> set[str]:
    used = {item.command for group in (CONTRIBUTIONS.readers, CONTRIBUTIONS.writers) for item in group}
    used |= {item.command for group in (CONTRIBUTIONS.widgets, CONTRIBUTIONS.sample_data) for item in group}
    return used | {item.command for items in CONTRIBUTIONS.menus.values() for item in items}


def test_the_manifest_is_valid_and_installed() -> None:
    MANIFEST.validate_imports()
    assert PluginManifest.from_distribution("napari-medseg").name == MANIFEST.name


@pytest.mark.parametrize("command", CONTRIBUTIONS.commands, ids=lambda command: command.id)
def test_every_command_imports_and_is_used(command) -> None:
    assert callable(import_python_name(command.python_name))
    assert command.id in commands_in_use()


def test_no_contribution_names_a_command_that_is_not_there() -> None:
    assert commands_in_use() <= {command.id for command in CONTRIBUTIONS.commands}


@pytest.mark.parametrize("menu", CONTRIBUTIONS.menus)
def test_menus_are_open_to_plugins(menu: str) -> None:
    assert menu in {str(known) for known in MenuId.contributables()}


@pytest.mark.parametrize("command", [c for c in CONTRIBUTIONS.commands if c.enablement], ids=lambda c: c.id)
def test_enablement_asks_for_what_napari_knows(command) -> None:
    known = set(LayerListSelectionContextKeys.__members__) | set(LayerListContextKeys.__members__)
    names = set(re.findall(r"(?<!')\b[a-z_]+\b(?!')", command.enablement)) - {"and", "or", "not"}
    assert names <= known


def test_there_are_no_keybindings_because_napari_never_registers_them() -> None:
    assert not CONTRIBUTIONS.keybindings


def test_read_patterns_are_those_of_the_formats() -> None:
    assert READER.accepts_directories
    ours = set(READER.filename_patterns) - WITHOUT_SUFFIX
    assert set(READER.filename_patterns) >= WITHOUT_SUFFIX
    assert all(pattern == pattern.lower() for pattern in ours)
    offered = [form for form in formats() if form.name not in LEFT_TO_NAPARI]
    theirs = {pattern for form in offered for pattern in form.patterns if pattern.startswith("*.")}
    assert ours == theirs


def test_write_suffixes_are_those_of_the_formats() -> None:
    writable = {pattern.removeprefix("*") for form in formats() if form.write for pattern in form.written}
    for writer in CONTRIBUTIONS.writers:
        assert set(writer.filename_extensions) <= writable
        assert writer.filename_extensions[0] == ".nii.gz"
    assert {str(kind) for writer in CONTRIBUTIONS.writers for kind in writer.layer_types} == {"image", "labels"}


@pytest.mark.parametrize(
    "name",
    ["a.nii", "A.NII.GZ", "scan.v2.nii.gz", "1.dcm", "X.DCM", "a.IMA", "IM0001", "I10", "im12", "DICOMDIR", "00000012"],
)
def test_npe2_offers_the_reader_for(name: str) -> None:
    assert matched_by_npe2(name)


@pytest.mark.parametrize("name", ["README", "notes.txt", "Data.h5", "Film.mp4", "X.jp2", "Scan_12.csv", "script.py"])
def test_npe2_does_not_offer_the_reader_for(name: str) -> None:
    assert not matched_by_npe2(name)


@pytest.mark.parametrize(("key", "group"), CONTRIBUTIONS.configurations.items())
def test_settings_are_read_by_code(key: str, group: ConfigurationContribution) -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (SOURCE / "ui").rglob("*.py"))
    for name, setting in group.properties.items():
        assert re.search(rf"\.{key}\b", code)
        assert re.search(rf"\.{name}\b", code)
        assert setting.default in (setting.enum or [setting.default])
        assert setting.description
