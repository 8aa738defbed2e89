"""Base of classes that draw offscreen: an OpenGL context, and a canvas in it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from face3dmm_ros.core.closing import Closing
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.rendering.offscreen import open_context

Canvas = TypeVar("Canvas")


class Drawer(Closing, Generic[Canvas]):
    """Owns an OpenGL context, which is current only during a call.

    So any thread may call it; calls from several threads wait for each other. Close it, or use it as a context manager.
    """

    def __init__(self, platform: str, make_canvas: Callable[[], Canvas], *, software: bool = False) -> None:
        """Open an offscreen OpenGL context.

        Args:
            platform: ``auto``, ``egl``, ``osmesa`` or ``glx``; see `offscreen.open_context`.
            make_canvas: called with the context current. Modules that import PyOpenGL are to be imported in it and not
                before, since PyOpenGL binds itself to the platform when it is imported.
            software: whether there is a canvas for `offscreen.SOFTWARE` too.

        Raises:
            Face3DMMError: no OpenGL 3.3 here; the message names the packages.
        """
        self._context = open_context(platform, software=software)
        self._closed = False
        with self._context.current():
            self._canvas = make_canvas()

    @property
    def platform(self) -> str:
        """The platform in use: ``egl``, ``osmesa``, ``glx``, or ``software`` for none of OpenGL."""
        return self._context.platform

    def close(self) -> None:
        """Destroy the context and all that lives in it; nothing can be drawn any more. May be called twice."""
        if not self._closed:
            self._closed = True
            self._context.close()

    def _require_open(self) -> None:
        """Raise Face3DMMError if it is closed."""
        if self._closed:
            raise Face3DMMError(f"this {type(self).__name__} is closed: make a new one")

    @contextmanager
    def _drawing(self) -> Iterator[Canvas]:
        """The canvas, with the context current for a block of calls; raises Face3DMMError if it is closed."""
        self._require_open()
        with self._context.current():
            yield self._canvas
