"""Classes are added, named, coloured and removed in the table."""

import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QColorDialog

from napari_medseg.data import BACKGROUND_VALUE
from napari_medseg.prediction import LabelClass
from napari_medseg.ui.widgets.class_table import COLOR, NAME, ClassTable

pytestmark = pytest.mark.viewer

LIVER, TUMOUR = LabelClass(value=1, name="liver"), LabelClass(value=5, name="tumour", color="#102030")


@pytest.fixture
def table(qtbot):
    table = ClassTable()
    qtbot.addWidget(table)
    table.show_classes([LIVER, TUMOUR])
    table.show()
    return table


def texts(table):
    return [[table.table.item(r, c).text() for c in (1, 2)] for r in range(table.table.rowCount())]


def click(qtbot, table, row, column):
    centre = table.table.visualItemRect(table.table.item(row, column)).center()
    qtbot.mouseClick(table.table.viewport(), Qt.MouseButton.LeftButton, pos=centre)


def test_background_comes_first_with_its_own_value(table):
    assert texts(table) == [["background (painted)", "255"], ["liver", "1"], ["tumour", "5"]]
    assert table.classes == (LIVER, TUMOUR)


def test_background_classes_are_not_repeated(table):
    table.show_classes([LabelClass(value=0, name="background"), LabelClass(value=255, name="rest"), LIVER])
    assert table.classes == (LIVER,)


def test_a_click_picks_what_to_paint(table, qtbot):
    with qtbot.waitSignal(table.picked) as picked:
        click(qtbot, table, 2, NAME)
    assert picked.args == [5]
    with qtbot.waitSignal(table.picked) as picked:
        click(qtbot, table, 0, COLOR)
    assert picked.args == [BACKGROUND_VALUE]


def test_adding_takes_the_first_free_value(table, qtbot):
    with qtbot.waitSignals([table.changed, table.picked]):
        qtbot.mouseClick(table.add_button, Qt.MouseButton.LeftButton)
    assert table.classes[-1] == LabelClass(value=2, name="class 2")
    qtbot.mouseClick(table.add_button, Qt.MouseButton.LeftButton)
    assert [c.value for c in table.classes] == [1, 5, 2, 3]


def test_renaming(table, qtbot):
    with qtbot.waitSignal(table.changed):
        table.table.item(1, NAME).setText("  left liver ")
    assert table.classes[0] == LIVER.model_copy(update={"name": "left liver"})
    assert texts(table)[1][0] == "left liver"


@pytest.mark.parametrize("name", ["", "  ", "tumour", "background"])
def test_an_empty_or_taken_name_is_refused(table, name):
    table.table.item(1, NAME).setText(name)
    assert table.classes[0] == LIVER
    assert texts(table)[1][0] == "liver"


def test_background_cannot_be_renamed_or_removed(table, qtbot):
    assert not table.table.item(0, NAME).flags() & Qt.ItemFlag.ItemIsEditable
    click(qtbot, table, 0, NAME)
    assert not table.remove_button.isEnabled()
    table.remove_selected()
    assert len(texts(table)) == 3


def test_removing_the_selected_class(table, qtbot):
    click(qtbot, table, 1, NAME)
    with qtbot.waitSignals([table.removed, table.changed]) as signals:
        qtbot.mouseClick(table.remove_button, Qt.MouseButton.LeftButton)
    assert signals.all_signals_and_args[0].args == (1,)
    assert table.classes == (TUMOUR,)


def test_recolouring_by_double_click(table, qtbot, monkeypatch):
    monkeypatch.setattr(QColorDialog, "getColor", lambda *_: QColor("#00ff7f"))
    with qtbot.waitSignal(table.changed):
        table.table.cellDoubleClicked.emit(1, COLOR)
    assert table.classes[0].color == "#00ff7f"
    monkeypatch.setattr(QColorDialog, "getColor", lambda *_: QColor())
    table.table.cellDoubleClicked.emit(1, COLOR)
    assert table.classes[0].color == "#00ff7f"


def test_selecting_from_outside_is_silent(table, qtbot):
    with qtbot.assertNotEmitted(table.picked):
        table.select(5)
    assert table.table.currentRow() == 2
