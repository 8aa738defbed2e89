"""The layout of the viewer's window: image left, head and blendshapes right, curves below."""

from collections.abc import Sequence

import rerun.blueprint as rrb
from numpy.typing import NDArray

IMAGE, OVERLAY, LANDMARKS, MESH = "camera/image", "face/overlay", "face/landmarks", "face/mesh"
BLENDSHAPES, WEIGHTS, POSE, RESIDUAL = (f"face/{name}" for name in ("blendshapes", "weights", "pose", "residual"))
LATENCY = "latency"
"""Entity paths, named after the topics; those of a face are followed by its face_id."""

STAMP, FRAME = "stamp", "frame"
"""Timelines: the image's stamp, and the number of the image."""

_DISTANCE_M = 0.36
"""From the eye of the 3D view to the head, which then fills most of the view; chosen by hand."""


def layout(head: Sequence[float] | NDArray, *, live: bool) -> rrb.Blueprint:
    """The layout whose 3D view looks at a head at (3,) m in the camera's frame; `live`: it follows the newest frame."""
    x, y, z = (float(value) for value in head)
    image = rrb.Spatial2DView(name="Image", origin="/", contents=[f"/{IMAGE}", f"/{LANDMARKS}/**"])
    overlay = rrb.Spatial2DView(name="Overlay", origin="/", contents=[f"/{OVERLAY}"])
    eye = rrb.EyeControls3D(position=(x, y, z - _DISTANCE_M), look_target=(x, y, z), eye_up=(0.0, -1.0, 0.0))
    mesh = rrb.Spatial3DView(name="Head", origin="/", contents=[f"/{MESH}/**"], eye_controls=eye)
    return rrb.Blueprint(
        rrb.Vertical(
            rrb.Horizontal(
                rrb.Tabs(image, overlay, name="Camera"),
                mesh,
                rrb.Tabs(
                    rrb.TextDocumentView(name="Blendshapes", origin=f"/{BLENDSHAPES}"),
                    rrb.TimeSeriesView(
                        name="Over time", origin=f"/{WEIGHTS}", plot_legend=rrb.PlotLegend(visible=False)
                    ),
                ),
                column_shares=[5, 4, 3],
            ),
            rrb.Horizontal(
                _curves("Pose, degrees", POSE), _curves("Residual, px", RESIDUAL), _curves("Latency, ms", LATENCY)
            ),
            row_shares=[5, 2],
        ),
        rrb.BlueprintPanel(state="collapsed"),
        rrb.SelectionPanel(state="collapsed"),
        rrb.TimePanel(state="collapsed", timeline=STAMP, play_state="following" if live else "paused"),
    )


def _curves(name: str, path: str) -> rrb.TimeSeriesView:
    return rrb.TimeSeriesView(name=name, origin=f"/{path}", plot_legend=rrb.PlotLegend(corner=rrb.Corner2D.LeftTop))
