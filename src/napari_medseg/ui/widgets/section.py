"""How the dock widgets are laid out: labelled rows, a folded part for what is seldom changed, and room to scroll."""

from functools import partial

from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtWidgets import QFormLayout, QFrame, QHBoxLayout, QLabel, QScrollArea, QSizePolicy, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_medseg.ui.background import is_alive

SPACING = 6
MARGIN = 9
WIDTH = 350
"""Of a dock widget at first, in pixels."""


def rows(*pairs: tuple[str, QWidget]) -> QFormLayout:
    """Return a layout of widgets with a label before each; the label takes over the widget's tooltip."""
    layout = QFormLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACING)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    for words, widget in pairs:
        add_row(layout, words, widget)
    return layout


def add_row(layout: QFormLayout, words: str, widget: QWidget) -> None:
    """Add a widget with a label before it, which takes over the widget's tooltip."""
    label = QLabel(words)
    label.setToolTip(widget.toolTip())
    layout.addRow(label, widget)


def stacked(owner: QWidget) -> QVBoxLayout:
    """Give a widget that is part of a panel its layout, from top to bottom without a margin, and return it."""
    layout = QVBoxLayout(owner)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACING)
    return layout


def heading(words: str) -> QLabel:
    """Return the words over a part of a panel."""
    label = QLabel(f"<b>{words}</b>")
    label.setContentsMargins(0, SPACING, 0, 0)
    return label


def beside(main: QWidget, *others: QWidget) -> QWidget:
    """Return widgets in a row, of which the first takes the room and lends its tooltip."""
    whole = QWidget()
    row = QHBoxLayout(whole)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(SPACING)
    row.addWidget(main, 1)
    for other in others:
        row.addWidget(other)
    whole.setToolTip(main.toolTip())
    return whole


def folded(title: str, content: QWidget) -> QCollapsible:
    """Return `content` under a heading that opens and closes it; closed at first."""
    fold = QCollapsible(title)
    fold.setDuration(0)
    fold.layout().setContentsMargins(0, 0, 0, 0)
    fold.addWidget(content)
    fold.collapse(animate=False)
    return fold


class Page(QScrollArea):
    """Scrolls up and down; as wide as its content needs, so that nothing is cut off at the side.

    Parameters
    ----------
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return the least width of the content, beside the scroll bar."""
        bar = self.verticalScrollBar().sizeHint().width()
        return QSize(self.widget().minimumSizeHint().width() + bar, 100)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return a width that leaves most of the window to the image."""
        return QSize(max(WIDTH, self.minimumSizeHint().width()), self.widget().sizeHint().height())


def reveal(widget: QWidget) -> None:
    """Scroll the page around `widget` so that it is seen, once its place is known."""
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, Page):
        parent = parent.parentWidget()
    if parent is not None:
        QTimer.singleShot(50, partial(_reveal, parent, widget))


def _reveal(page: Page, widget: QWidget) -> None:
    if is_alive(page) and is_alive(widget):
        page.ensureWidgetVisible(widget)


def scrolling(page: QWidget) -> QVBoxLayout:
    """Fill `page` with a scroll area, and return the layout for its content; add a stretch last."""
    inside = QWidget()
    content = QVBoxLayout(inside)
    content.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
    content.setSpacing(SPACING)
    area = Page(page)
    area.setWidget(inside)
    around = QVBoxLayout(page)
    around.setContentsMargins(0, 0, 0, 0)
    around.addWidget(area)
    # Keeps napari from adding a stretch below, which would halve the height.
    page.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
    return content
