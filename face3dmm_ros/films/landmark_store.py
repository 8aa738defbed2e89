"""A film's landmarks on disk, in pieces: what was worked out is kept, and a film of any length takes little memory.

The networks take most of the time, so a film that was stopped goes on where its last piece ends.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.landmark_schemes import SCHEME_SIZES
from face3dmm_ros.core.regular_file import read_regular
from face3dmm_ros.core.values import Box, Landmarks, TrackedLandmarks
from face3dmm_ros.files.array_archive import ArrayArchive
from face3dmm_ros.files.whole_file import make_folder, write_whole

PIECE = 300
"""Images in a piece: ten seconds at 30 images/s, which a stop costs at most. Chosen by hand."""
_OF, _END = "film.json", "end.json"
"""Files that tell of which film and how a folder's pieces are, and that they are all there are."""
_OPTIONAL = ("deviation", "expression", "expression_deviation", "colors", "covered")
_MOST_BYTES = 1_000_000


@dataclass(frozen=True, eq=False)
class LocatedFrame:
    """An image's faces.

    Attributes:
        index: of the image in the film, from 0.
        time: when it is shown, s; the film's first image at 0.
        image_size: (width, height), px.
        faces: their landmarks, without depth, which no fit asks for.
    """

    index: int
    time: float
    image_size: tuple[int, int]
    faces: list[TrackedLandmarks]


class LandmarkStore:
    """Landmarks of a film in a folder.

    Attributes:
        kept: how many images' landmarks are on disk.
        complete: whether these are the whole film's.
    """

    def __init__(self, folder: Path, of: Mapping[str, Any]) -> None:
        """Open a folder, made if missing; pieces of another film, of other options or with other arrays are removed.

        Args:
            folder: of this store alone.
            of: what the landmarks depend on, as JSON can hold it.

        Raises:
            Face3DMMError: the folder cannot be written.
        """
        self._folder = folder
        self._waiting: list[LocatedFrame] = []
        of = {**of, "arrays": _OPTIONAL}
        if _json(folder / _OF) != json.loads(json.dumps(of)):
            self.remove()
            make_folder(folder)
            write_whole(folder / _OF, json.dumps(of))
        self._pieces = 0
        while self._path(self._pieces).is_file():
            self._pieces += 1
        self.kept, self.complete = PIECE * self._pieces, False
        if end := _json(folder / _END):
            self.kept, self.complete = int(end["frames"]), True

    def append(self, frame: LocatedFrame) -> None:
        """Keep the landmarks of the film's next image.

        Raises:
            Face3DMMError: they cannot be written.
        """
        self._waiting.append(frame)
        if len(self._waiting) == PIECE:
            self._write_piece()

    def finish(self) -> None:
        """Write what waits: the film is over.

        Raises:
            Face3DMMError: it cannot be written.
        """
        if self._waiting:
            self._write_piece()
        write_whole(self._folder / _END, json.dumps({"frames": self.kept}))
        self.complete = True

    def frames(self, backward: bool = False) -> Iterator[LocatedFrame]:
        """All that is on disk, in the film's order or from its end.

        Raises:
            Face3DMMError: a piece is damaged.
        """
        for piece in range(self._pieces)[:: -1 if backward else 1]:
            yield from _unpacked(self._path(piece))[:: -1 if backward else 1]

    def last(self) -> LocatedFrame | None:
        """The last frame on disk; None if there is none."""
        return next(self.frames(backward=True), None)

    def remove(self) -> None:
        """Remove the folder."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self._folder)

    def _write_piece(self) -> None:
        content = BytesIO()
        np.savez(content, allow_pickle=False, **_packed(self._waiting))
        write_whole(self._path(self._pieces), content.getvalue())
        self._pieces += 1
        self.kept += len(self._waiting)
        self._waiting.clear()

    def _path(self, piece: int) -> Path:
        return self._folder / f"piece_{piece:06d}.npz"


def _packed(frames: list[LocatedFrame]) -> dict[str, NDArray]:
    """Frames as arrays: of each frame, of each face, and of those faces that have something, with the faces' places."""
    faces = [face for frame in frames for face in frame.faces]
    marks = [face.landmarks for face in faces]
    arrays: dict[str, NDArray] = {
        "index": np.array([frame.index for frame in frames], np.int64),
        "time": np.array([frame.time for frame in frames], np.float64),
        "image_size": np.array([frame.image_size for frame in frames], np.int64),
        "count": np.array([len(frame.faces) for frame in frames], np.int64),
        "face_id": np.array([face.face_id for face in faces], np.int64),
        "scheme": np.array([each.scheme for each in marks], "U32"),
        "points": np.array([each.points for each in marks], np.float32),
        "box": np.array([(each.box.x, each.box.y, each.box.width, each.box.height) for each in marks], np.float64),
        "confidence": np.array([each.confidence for each in marks], np.float64),
    }
    for name in _OPTIONAL:
        have = [place for place, each in enumerate(marks) if getattr(each, name) is not None]
        arrays[f"{name}_of"] = np.array(have, np.int64)
        arrays[name] = np.array([getattr(marks[place], name) for place in have])
    return arrays


def _unpacked(path: Path) -> list[LocatedFrame]:
    with ArrayArchive(path, "a piece of a film's landmarks") as archive:
        arrays = {key: archive.read(key) for key in archive.keys}
    try:
        optional: list[dict[str, NDArray]] = [{} for _ in arrays["face_id"]]
        for name in _OPTIONAL:
            for place, value in zip(arrays[f"{name}_of"], arrays[name], strict=True):
                optional[place][name] = value
        frames, first = [], 0
        for index, time, size, count in zip(
            arrays["index"], arrays["time"], arrays["image_size"], arrays["count"], strict=True
        ):
            image_size = (int(size[0]), int(size[1]))
            faces = []
            for place in range(first, first + int(count)):
                landmarks = Landmarks(
                    scheme=_known(str(arrays["scheme"][place])),
                    points=arrays["points"][place],
                    box=Box(*arrays["box"][place].tolist()),
                    confidence=float(arrays["confidence"][place]),
                    image_size=image_size,
                    **optional[place],
                )
                faces.append(TrackedLandmarks(int(arrays["face_id"][place]), landmarks))
            first += int(count)
            frames.append(LocatedFrame(int(index), float(time), image_size, faces))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise Face3DMMError(
            f"{path} is not a piece of a film's landmarks: remove its folder, and begin anew"
        ) from error
    return frames


def _known(scheme: str) -> str:
    if scheme not in SCHEME_SIZES:
        raise ValueError(scheme)
    return scheme


def _json(path: Path) -> Any:
    """What a small file of JSON holds; None where there is none that can be read."""
    try:
        return json.loads(read_regular(path, _MOST_BYTES))
    except (Face3DMMError, ValueError):
        return None
