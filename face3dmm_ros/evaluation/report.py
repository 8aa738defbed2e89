"""What all reports are made of: a self-contained HTML page, the same figures as JSON, and tables for a terminal."""

import base64
import html
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.whole_file import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Table = tuple[list[str], list[list[str | float]]]
"""Headers and rows."""

# Both chosen by hand: more would look better on a dense screen, and make the file larger.
_PLOT_DPI = 144
_JPEG_QUALITY = 90

_STYLE = """
:root { color-scheme: light dark; --line: #8885; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { line-height: 1.2; margin-bottom: 0; } h2 { margin-top: 2.5rem; }
.subtitle { opacity: .7; margin-top: .3rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92em; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .3rem .5rem; }
th, td { padding: .3rem .5rem; border-bottom: 1px solid var(--line); text-align: left; }
th { background: var(--soft); vertical-align: bottom; }
td.number { text-align: right; } td.number, td:first-child { white-space: nowrap; }
figure { margin: 1.5rem 0; } figcaption { opacity: .7; font-size: .9em; overflow-wrap: anywhere; }
figure.picture { display: inline-block; max-width: 100%; margin: .7rem .7rem .7rem 0; vertical-align: top; }
img { max-width: 100%; height: auto; background: #fff; border-radius: 6px; }
"""


class Report:
    """Collects the parts of a report in order and writes them as one self-contained HTML file.

    All text is escaped; it comes as plain text, not as HTML.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        """Begin a report with this title, and a smaller line below it."""
        self._title = title
        self._parts = [f"<h1>{html.escape(title)}</h1>"]
        if subtitle:
            self._parts.append(f'<p class="subtitle">{html.escape(subtitle)}</p>')

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, paragraph: str) -> None:
        """Add a paragraph."""
        self._parts.append(f"<p>{html.escape(paragraph)}</p>")

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str | float]], caption: str = "") -> None:
        """Add a table. Whole numbers are shown as such, others with two decimals, and NaN as a dash.

        Raises:
            Face3DMMError: a row has more or fewer cells than there are headers.
        """
        for row in rows:
            if len(row) != len(headers):
                raise Face3DMMError(f"a table with {len(headers)} headers has a row of {len(row)} cells: {list(row)}")
        title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
        head = "".join(f'<th scope="col">{html.escape(header)}</th>' for header in headers)
        body = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
        self._parts.append(
            f'<div class="table"><table>{title}<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>'
        )

    def plot(self, figure: "Figure", caption: str = "") -> None:
        """Add a matplotlib figure; one made with `matplotlib.figure.Figure` leaves no global state."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=_PLOT_DPI)
        self._image("image/png", buffer.getvalue(), caption)

    def picture(self, bgr: NDArray[np.uint8], caption: str = "") -> None:
        """Add a (H, W, 3) BGR uint8 picture. Small ones, one after the other, stand side by side."""
        _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        self._image("image/jpeg", data.tobytes(), caption, f' class="picture" style="width: {bgr.shape[1]}px"')

    def write(self, path: Path) -> None:
        """Write the HTML file, making its folder if missing.

        Raises:
            Face3DMMError: the file cannot be written.
        """
        page = (
            f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{html.escape(self._title)}'
            '</title>\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(self._parts) + "\n</body>\n</html>\n"
        )
        write_whole(path, page)

    def _image(self, media_type: str, data: bytes, caption: str, attributes: str = "") -> None:
        source = f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
        text = html.escape(caption)
        shown = f"<figcaption>{text}</figcaption>" if caption else ""
        self._parts.append(f'<figure{attributes}><img src="{source}" alt="{text}">{shown}</figure>')


def new_plot(width: float, height: float) -> "tuple[Figure, Axes]":
    """An empty plot, its size in inches."""
    from matplotlib.figure import Figure

    figure = Figure((width, height), layout="constrained")
    return figure, figure.subplots()


def new_plots(count: int, width: float, height: float) -> "tuple[Figure, list[Axes]]":
    """Empty plots, one below the other, with one axis across for all of them; the size of each in inches.

    Their places are fixed: matplotlib takes longer to fit them to their labels than to draw them.
    """
    from matplotlib.figure import Figure

    figure = Figure((width, height * count))
    stacked = figure.subplots(count, sharex=True, squeeze=False)[:, 0]
    figure.align_ylabels(stacked)
    figure.subplots_adjust(left=0.07, right=0.99, bottom=0.2 / count, top=1.0 - 0.14 / count, hspace=0.16)
    return figure, list(stacked)


def write_json(record: Mapping[str, Any], path: Path) -> None:
    """Write a record as JSON; NaN and infinities, which JSON does not know, become null.

    Raises:
        Face3DMMError: the file cannot be written.
    """
    write_whole(path, json.dumps(_finite(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def json_line(record: Mapping[str, Any]) -> str:
    """A record as one line of JSON, in ASCII; NaN and infinities become null."""
    return json.dumps(_finite(record), allow_nan=False)


def plain_table(headers: Sequence[str], rows: Sequence[Sequence[str | float]]) -> str:
    """A table for a terminal, as `Report.table` shows it: the first column to the left, the others to the right."""
    cells = [list(headers), *([format_cell(cell) for cell in row] for row in rows)]
    columns = [[cell.rjust(max(map(len, column))) for cell in column] for column in zip(*cells, strict=True)]
    columns[0] = [row[0].ljust(len(columns[0][0])) for row in cells]
    return "\n".join("  ".join(row).rstrip() for row in zip(*columns, strict=True))


def format_cell(value: str | float) -> str:
    """A table's cell as text: whole numbers as such, others with two decimals, NaN as a dash."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, np.integer)):
        return str(value)
    return "–" if math.isnan(value) else f"{value:.2f}"


def _finite(value: Any) -> Any:
    """The same record with None in place of numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: str | float) -> str:
    kind = "" if isinstance(value, str) else ' class="number"'
    return f"<td{kind}>{html.escape(format_cell(value))}</td>"
