"""A report is one file that needs nothing else."""

import base64
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.evaluation.report import Report, format_cell


def images(page: str) -> list[np.ndarray]:
    data = re.findall(r'<img src="data:image/\w+;base64,([^"]+)"', page)
    return [cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR) for text in data]


def test_it_holds_everything_inline_and_in_order(tmp_path: Path) -> None:
    report = Report("Title", "subtitle")
    report.heading("First")
    report.text("words")
    report.table(["name", "value"], [["a", 1.234], ["b", 5]], caption="numbers")
    figure = Figure()
    figure.subplots().plot([1, 2])
    report.plot(figure, "curve")
    report.picture(np.full((40, 60, 3), (255, 0, 0), np.uint8), "blue")
    path = tmp_path / "new" / "report.html"
    report.write(path)
    page = path.read_text(encoding="utf-8")
    places = [page.index(text) for text in ("<h1>Title", ">subtitle", "First", "words", "numbers", "curve", "blue")]
    assert places == sorted(places)
    assert "<td>a</td>" in page
    assert '<td class="number">1.23</td>' in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    plot, picture = images(page)
    assert plot.shape[0] > 100
    assert picture.shape == (40, 60, 3)
    np.testing.assert_allclose(picture[20, 30], [255, 0, 0], atol=4)


def test_text_is_never_markup(tmp_path: Path) -> None:
    report = Report("<script>", "<script>")
    report.heading("<script>")
    report.text("<script>")
    report.table(["<script>"], [["<script>"]], caption="<script>")
    report.picture(np.zeros((4, 4, 3), np.uint8), '"><script>')
    report.write(tmp_path / "report.html")
    assert "<script>" not in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(("value", "text"), [(3, "3"), (np.int64(3), "3"), (2.345, "2.35"), (np.nan, "–"), ("x", "x")])
def test_cells(value: str | float, text: str) -> None:
    assert format_cell(value) == text


def test_a_row_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(Face3DMMError, match="2 headers"):
        Report("x").table(["a", "b"], [["only one"]])


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Face3DMMError, match="file"):
        Report("x").write(tmp_path / "file" / "report.html")
