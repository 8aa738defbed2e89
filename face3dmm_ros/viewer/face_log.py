"""Logs frames into a Rerun recording."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import rerun as rr

from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.rotations import pose_angles
from face3dmm_ros.core.values import FaceParameters, Landmarks, Mesh
from face3dmm_ros.viewer import layout
from face3dmm_ros.viewer.blendshape_bars import bars
from face3dmm_ros.viewer.viewed_frame import PARTS, ViewedFrame

_LANDMARK_COLORS = ((0x50, 0xFF, 0x78), (0xFF, 0xB0, 0x40), (0x60, 0xB0, 0xFF), (0xFF, 0x70, 0xC0), (0xE8, 0xE0, 0x50))
"""Of the landmarks of one face and the next, sRGB; chosen to stand out from skin."""

_CURVE_COLORS = (
    *((0xE0, 0x5A, 0x50), (0x3F, 0xA8, 0x5A), (0x4A, 0x86, 0xE8)),
    *((0xD9, 0x9A, 0x28), (0x1F, 0xA8, 0xA8), (0x9A, 0x62, 0xD0)),
)
"""Of one curve and the next, sRGB; chosen to stand out from a dark and from a light background."""

_ANGLES = ("pitch", "yaw", "roll")
_FAR = (0.0, 0.0, 0.5)
"""Where the 3D view looks before there is a head, m: the usual place of somebody before a screen, chosen by hand."""


class FaceLog:
    """Logs frames on the timelines `stamp` and `frame`.

    Curves get every frame; image, overlay, landmarks, mesh and blendshape bars those that are due.
    """

    def __init__(self, stream: rr.RecordingStream, weights: BlendshapeWeights, *, live: bool) -> None:
        """Log into a stream; `live`: the window follows the newest."""
        self._stream = stream
        self._weights = weights
        self._live = live
        self._shown: dict[str, set[int]] = {}
        self._surfaces: dict[int, tuple[str, bytes]] = {}
        self._named: set[str] = set()
        self._looks_at_a_head = False
        stream.log("/", rr.ViewCoordinates.RDF, static=True)
        stream.send_blueprint(layout.layout(_FAR, live=live))

    def log(self, frame: ViewedFrame, number: int, *, due: bool) -> None:
        """Log a frame.

        Args:
            frame: what there is to see.
            number: of the frame.
            due: whether its pictures, landmarks, meshes and bars are shown too, or its curves only.

        Raises:
            Face3DMMError: the parameters are of another model than the weights; all else has been logged.
        """
        stream = self._stream
        stream.set_time(layout.STAMP, timestamp=np.datetime64(frame.stamp_ns, "ns"))
        stream.set_time(layout.FRAME, sequence=number)
        if due:
            self._log_pictures(frame)
        for part, value in frame.latency_ms.items():
            self._curve(f"{layout.LATENCY}/{part}", [value], [part], PARTS.index(part))
        for face_id, parameters in (frame.parameters or {}).items():
            self._log_curves(face_id, parameters)
        if frame.parameters is not None:
            self._log_weights(frame.parameters, due)

    def _log_pictures(self, frame: ViewedFrame) -> None:
        for path, picture in ((layout.IMAGE, frame.image), (layout.OVERLAY, frame.overlay)):
            if picture is not None:
                kind = rr.MediaType.PNG if picture.startswith(b"\x89PNG") else rr.MediaType.JPEG
                self._stream.log(path, rr.EncodedImage(contents=picture, media_type=kind))
        if frame.landmarks is not None:
            self._log_faces(
                layout.LANDMARKS, {face_id: _points(face_id, face) for face_id, face in frame.landmarks.items()}
            )
        if frame.meshes is not None:
            self._log_faces(layout.MESH, {face_id: self._mesh(face_id, mesh) for face_id, mesh in frame.meshes.items()})

    def _log_curves(self, face_id: int, parameters: FaceParameters) -> None:
        angles = np.degrees(pose_angles(parameters.camera.rotation)).tolist()
        self._curve(f"{layout.POSE}/{face_id}", angles, [f"{name} {face_id}" for name in _ANGLES], 3 * face_id)
        self._curve(f"{layout.RESIDUAL}/{face_id}", [parameters.residual_px], [f"residual {face_id}"], 3 * face_id)

    def _log_weights(self, parameters: Mapping[int, FaceParameters], due: bool) -> None:
        weights = {face_id: self._weights.of(face) for face_id, face in parameters.items()}
        for face_id, values in weights.items():
            names = [f"{name} {face_id}" for name in ARKIT_NAMES]
            self._curve(f"{layout.WEIGHTS}/{face_id}", values.tolist(), names, 0)
        if due:
            documents = {
                face_id: rr.TextDocument(bars(f"face {face_id}", values), media_type=rr.MediaType.MARKDOWN)
                for face_id, values in weights.items()
            }
            self._log_faces(layout.BLENDSHAPES, documents)

    def _curve(self, path: str, values: list[float], names: list[str], color: int) -> None:
        """Log one value of each curve of a path; the first has the colour of this index, the others those after it."""
        if path not in self._named:
            self._named.add(path)
            colors = [_CURVE_COLORS[(color + k) % len(_CURVE_COLORS)] for k in range(len(names))]
            self._stream.log(path, rr.SeriesLines(names=names, colors=colors), static=True)
        self._stream.log(path, rr.Scalars(values))

    def _log_faces(self, path: str, faces: Mapping[int, Any]) -> None:
        """Log an archetype for each face_id, and clear those of faces that are gone."""
        for face_id in self._shown.get(path, set()) - set(faces):
            self._stream.log(f"{path}/{face_id}", rr.Clear(recursive=False))
        self._shown[path] = set(faces)
        for face_id, archetype in faces.items():
            self._stream.log(f"{path}/{face_id}", archetype)

    def _mesh(self, face_id: int, mesh: Mesh) -> rr.Mesh3D:
        """A mesh; triangles and colours are logged where they differ from the last."""
        if not self._looks_at_a_head:
            self._looks_at_a_head = True
            self._stream.send_blueprint(layout.layout(mesh.vertices.mean(axis=0), live=self._live))
        surface = mesh.model_digest, mesh.rgb.tobytes()
        if self._surfaces.get(face_id) == surface and face_id in self._shown.get(layout.MESH, set()):
            return rr.Mesh3D.from_fields(vertex_positions=mesh.vertices, vertex_normals=mesh.normals)
        self._surfaces[face_id] = surface
        return rr.Mesh3D(
            vertex_positions=mesh.vertices,
            vertex_normals=mesh.normals,
            vertex_colors=mesh.rgb,
            triangle_indices=mesh.triangles,
        )


def _points(face_id: int, landmarks: Landmarks) -> rr.Points2D:
    return rr.Points2D(
        landmarks.points, radii=rr.Radius.ui_points(1.5), colors=_LANDMARK_COLORS[face_id % len(_LANDMARK_COLORS)]
    )
