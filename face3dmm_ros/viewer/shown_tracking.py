"""A camera or film, tracked live and shown on the page, without ROS."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.avatar.avatar import AvatarFace
from face3dmm_ros.avatar.styles import HEAD, WATERMELON, create_avatar
from face3dmm_ros.avatar.weights.tuning import Tuning, WeightTuner
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.errors import Face3DMMError, one_line
from face3dmm_ros.face_tracker import Face, FaceTracker
from face3dmm_ros.files.frame_source import FrameSource, resized
from face3dmm_ros.files.image_layout import jpeg
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.rendering.landmark_view import OVERLAYS
from face3dmm_ros.viewer.live_page import PAUSE, RECALIBRATE, VIEW, LivePage, PageFace, PageFrame, PageHead, rate_of

if TYPE_CHECKING:
    from face3dmm_ros.avatar.avatar import Avatar
    from face3dmm_ros.morphable_model import MorphableModel

CAMERA = "camera"
AVATARS = (WATERMELON, HEAD)
OFFERS = {VIEW: (*OVERLAYS, CAMERA, *AVATARS), PAUSE: ("on", "off"), RECALIBRATE: ("",)}
"""What the page offers; the views are those of the renderer, the image alone, and the avatars."""
WIDEST = 1280
"""px of the pictures on the page, beyond which they are scaled down; chosen by hand."""
QUALITY = 80
"""Of their JPEGs, as of those that Rerun's viewer gets."""

_PAUSE = 0.03
"""s between two looks at whether to go on."""
_LATE = 1.0
"""s by which a film may be behind its own pace before it goes on from there, without leaving out images."""
_RATED = 30
"""Images over which the rate is told. All chosen by hand."""


@dataclass(frozen=True)
class ShownFilm:
    """What to track, and how.

    Attributes:
        model, backend, max_faces, fov, view: as `films.film_job.FilmJob` has them.
        duration: s after which it ends; 0: at the film's end, or never.
        repeat: whether a film begins anew at its end.
    """

    model: str = "default"
    backend: str = "dense"
    max_faces: int = 1
    fov: float = 60.0
    view: str = OVERLAYS[0]
    duration: float = 0.0
    repeat: bool = True


class Controls:
    """What a page's readers asked for; any thread may ask.

    Attributes:
        paused: whether to hold.
        view: one of `OFFERS`.
        asked: how often anything was asked for.
    """

    def __init__(self, view: str) -> None:
        """Go on, with a view."""
        self.paused, self.view, self.asked = False, view, 0
        self._recalibrate = False
        self._lock = Lock()

    def do(self, name: str, value: str) -> None:
        """Ask for something that `OFFERS` has."""
        with self._lock:
            if name == PAUSE:
                self.paused = value == "on"
            elif name == VIEW:
                self.view = value
            elif name == RECALIBRATE:
                self._recalibrate = True
            self.asked += 1

    def take_recalibrate(self) -> bool:
        """Whether a new neutral face was asked for since the last call."""
        with self._lock:
            asked, self._recalibrate = self._recalibrate, False
            return asked


def show_tracking(
    source: FrameSource,
    film: ShownFilm,
    page: LivePage,
    controls: Controls,
    stopped: Callable[[], bool],
    seen: Callable[[NDArray[np.uint8], float], None] = lambda image, at: None,
) -> int:
    """Track a source at its own pace until it ends or is stopped; what cannot be kept up with is left out.

    Args:
        source: at its beginning.
        film: what to do with it.
        page: shows it; while nobody looks, nothing is drawn.
        controls: hear what the page's readers want.
        stopped: whether to end now.
        seen: hears of each tracked image and its time, s.

    Returns:
        How many images were tracked.

    Raises:
        Face3DMMError: an option names something that does not exist, an image cannot be read, or a camera ends.
    """
    count = 0
    with ExitStack() as opened:
        model = load_model(film.model)
        page.set_triangles(model.triangles)
        tracker = opened.enter_context(
            FaceTracker(model=model, backend=film.backend, max_faces=film.max_faces, fov=film.fov)
        )
        picture = _Picture(model, tracker, page, controls)
        opened.callback(picture.close)
        page.tell(notice=source.notice, view=controls.view)
        images = _Images(source, film, controls, stopped, picture.look_again)
        for image, at in images:
            if images.begun_anew:
                tracker.reset()
            seen(image, at)
            picture.show(image, at)
            count += 1
    return count


class _Images:
    """A source's images and their times, s, at its own pace; an iterator."""

    def __init__(
        self,
        source: FrameSource,
        film: ShownFilm,
        controls: Controls,
        stopped: Callable[[], bool],
        idle: Callable[[], None],
    ) -> None:
        self._source, self._film, self._controls, self._idle = source, film, controls, idle
        self._stopped = stopped
        self.begun_anew = False

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], float]]:
        source, film = self._source, self._film
        at, begun, first = 0.0, time.monotonic(), True
        while not self._stopped() and not (film.duration and at >= film.duration):
            if self._controls.paused:
                begun += self._hold()
                continue
            if not source.grab():
                if source.live:
                    raise Face3DMMError(f"{source.description} gives no images any more: is it still plugged in?")
                if not film.repeat:
                    return
                if first or source.count == 1 or not source.rewind():
                    # One picture, or what cannot begin anew: it stays.
                    self._hold()
                    continue
                self.begun_anew = True
                continue
            if source.live:
                at = max(time.monotonic() - begun, at + 1e-3)
            else:
                at += 0.0 if first else source.interval
                ahead = begun + at - time.monotonic()
                if ahead < -_LATE:
                    begun -= ahead
                elif ahead < -source.interval and not first:
                    continue
                elif not self._wait(ahead):
                    return
            first = False
            yield source.retrieve(), at
            self.begun_anew = False

    def _hold(self) -> float:
        """Hold for a moment; returns how long, s."""
        begun = time.monotonic()
        self._idle()
        time.sleep(_PAUSE)
        if self._source.live:
            self._source.grab()  # or the next image would be an old one
        return time.monotonic() - begun

    def _wait(self, seconds: float) -> bool:
        """Wait; False if it is stopped meanwhile."""
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0.0:
            time.sleep(min(rest, _PAUSE))
            if rest > _PAUSE and self._stopped():
                return False
        return True


class _Picture:
    """Tracks images, and draws them where anybody looks."""

    def __init__(self, model: "MorphableModel", tracker: FaceTracker, page: LivePage, controls: Controls) -> None:
        self._model, self._tracker, self._page, self._controls = model, tracker, page, controls
        self._tuner = WeightTuner(Tuning())
        self._avatar: Avatar | None = None
        self._style = ""
        self._last: tuple[NDArray[np.uint8], list[Face], dict[int, NDArray[np.float32]]] | None = None
        self._times: deque[float] = deque(maxlen=_RATED)
        self._stage_ms: dict[str, float] = {}
        self._drawn = -1

    def show(self, image: NDArray[np.uint8], at: float) -> None:
        """Track the next image, and show it."""
        begun = time.monotonic()
        if self._controls.take_recalibrate():
            self._tuner.recalibrate()
        faces = sorted(self._tracker.track(image, at), key=lambda face: -face.parameters.camera.scale)
        self._tuner.retain({face.id for face in faces})
        weights = {face.id: self._tuned(face, at) for face in faces if face.weights}
        self._last = image, faces, weights
        self._times.append(time.monotonic())
        self._stage_ms["tracking"] = 1e3 * (self._times[-1] - begun)
        self._draw(begun)

    def look_again(self) -> None:
        """Draw the last image again if anything was asked for since, such as another view of it."""
        if self._drawn != self._controls.asked:
            self._draw(None)

    def close(self) -> None:
        """Let go of the avatar."""
        if self._avatar is not None:
            self._avatar.close()

    def _tuned(self, face: Face, at: float) -> NDArray[np.float32]:
        measured = np.array([face.weights[name] for name in ARKIT_NAMES], np.float32)
        return self._tuner.tune(face.id, measured, at)

    def _draw(self, begun: float | None) -> None:
        """Show the last image; `begun`: when it came, s, None where that is long ago."""
        self._drawn = self._controls.asked
        self._page.tell(paused=self._controls.paused, view=self._controls.view)
        if self._last is None or not self._page.wanted:
            return
        image, faces, weights = self._last
        start = time.monotonic()
        drawn = self._drawn_over(image, faces, weights)
        picture = jpeg(resized(drawn, WIDEST, 0) if drawn.shape[1] > WIDEST else drawn, QUALITY).tobytes()
        head = self._head(faces[0]) if faces else None
        self._stage_ms["drawing"] = 1e3 * (time.monotonic() - start)
        shown = [page_face(face, weights.get(face.id)) for face in faces]
        latency = None if begun is None else 1e3 * (time.monotonic() - begun)
        self._page.show(PageFrame(picture, shown, head, rate_of(self._times), latency, self._stage_ms))

    def _head(self, face: Face) -> PageHead:
        parameters = face.parameters
        vertices = self._model.vertices(parameters.alpha, parameters.beta)
        return PageHead(vertices, self._model.rgb(parameters.gamma), parameters.camera.rotation)

    def _drawn_over(
        self, image: NDArray[np.uint8], faces: Sequence[Face], weights: dict[int, NDArray[np.float32]]
    ) -> NDArray[np.uint8]:
        view = self._controls.view
        if view == CAMERA:
            return image
        if view in AVATARS:
            try:
                return self._with_avatar(view, image, faces, weights)
            except Face3DMMError as error:
                self._page.tell(notice=f"no {view}: {one_line(error)}")
                self._controls.do(VIEW, OVERLAYS[0])
                return image
        return self._tracker.draw(image, faces, view=view)

    def _with_avatar(
        self, style: str, image: NDArray[np.uint8], faces: Sequence[Face], weights: dict[int, NDArray[np.float32]]
    ) -> NDArray[np.uint8]:
        if style != self._style:
            self.close()
            self._avatar, self._style = None, ""
            self._avatar, self._style = create_avatar(style, self._model), style
        assert self._avatar is not None
        driven = [AvatarFace(face.id, face.parameters, weights[face.id]) for face in faces if face.id in weights]
        picture = np.array(image)
        for layer in self._avatar.draw(driven, (image.shape[1], image.shape[0]), image):
            layer.over(picture)
        return picture


def page_face(face: Face, weights: NDArray[np.float32] | None) -> PageFace:
    """A face's numbers for the page, with the weights that are shown of it."""
    named = {} if weights is None else dict(zip(ARKIT_NAMES, weights.tolist(), strict=True))
    return PageFace(face.id, named, (face.pose.yaw, face.pose.pitch, face.pose.roll), face.confidence)
