"""Opening an OpenGL 3.3 core context without a window: EGL surfaceless, OSMesa or a display's GLX.

PyOpenGL binds its function pointers to one platform when it is first imported, and a broken driver may end the process
that tries it. So a platform is first tried in a process of its own, and only one that worked there is imported here.

Who can draw without OpenGL does so unless there is a graphics processor: Mesa's software OpenGL is slower than loops
made for the purpose.
"""

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ctypes.util import find_library
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from face3dmm_ros.core.errors import Face3DMMError

PLATFORMS = ("egl", "osmesa", "glx")
"""Names of the platforms, in the order in which ``auto`` tries them."""

SOFTWARE = "software"
"""Name of the platform of those who draw without OpenGL."""

PLATFORM_VARIABLE = "FACE3DMM_GL"
"""Environment variable with the platform that ``auto`` stands for: one of `PLATFORMS`, or `SOFTWARE`."""

PROBE_TIMEOUT_SECONDS = 60.0
"""How long a platform is waited for, twice: on a machine whose cores were all busy, 10 s were too short."""

_PROBING = threading.Lock()
"""Held while a platform is tried, so that who asks meanwhile waits for the answer."""

# Values from the Khronos registry that PyOpenGL does not name.
_EGL_PLATFORM_SURFACELESS_MESA, _EGL_PLATFORM_DEVICE_EXT = 0x31DD, 0x313F
_GLX_CONTEXT_PROFILE_MASK_ARB, _GLX_CONTEXT_CORE_PROFILE_BIT_ARB = 0x9126, 0x1
_MESA_DRI = "libgl1-mesa-dri"
_NEEDED = {"egl": ("libegl1", "libgl1", _MESA_DRI), "osmesa": ("libosmesa6",), "glx": ("libgl1", _MESA_DRI)}
"""Debian's packages for each of `PLATFORMS`."""
_GRAPHICS_DEVICES = ("dri/renderD*", "nvidia[0-9]*", "nvgpu", "nvhost-gpu", "dxg")
"""Below /dev, with a graphics processor's driver: Mesa's and the kernel's, NVIDIA's, those of its Jetsons, WSL's."""
_MESA_SOFTWARE = ("llvmpipe", "softpipe", "swrast")
_LIBRARIES = {"libegl1": "EGL", "libgl1": "GL", "libosmesa6": "OSMesa"}
_DRIVERS = ("lib*/dri/*_dri.so", "lib/*/dri/*_dri.so")  # Mesa's, below /usr


class NoOpenGLError(Face3DMMError):
    """There is no OpenGL 3.3; the message says why, and which packages to install where some are missing."""


@dataclass(frozen=True, eq=False)
class OffscreenContext:
    """An OpenGL 3.3 core context that any thread may use.

    OpenGL lets a context be current in one thread at a time, so it is made current for each block of calls and released
    after it; threads wait for each other.

    Attributes:
        platform: one of `PLATFORMS`; or `SOFTWARE`, where there is no context and threads only wait for each other.
    """

    platform: str
    _make_current: Callable[[], None]
    _release: Callable[[], None]
    _destroy: Callable[[], None]
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the context current in the calling thread for a block of OpenGL calls; blocks must not be nested."""
        with self._lock:
            self._make_current()
            try:
                yield
            finally:
                self._release()

    def close(self) -> None:
        """Destroy the context and all that lives in it."""
        with self._lock:
            self._destroy()


def open_context(platform: str = "auto", *, software: bool = False) -> OffscreenContext:
    """Open an offscreen context.

    Args:
        platform: one of `PLATFORMS`, or ``auto``: the environment's ``FACE3DMM_GL`` if set, else the first that works.
        software: whether the caller can do without OpenGL: `platform` may be `SOFTWARE` then, and ``auto`` is unless
            OpenGL runs on a graphics processor.

    Raises:
        Face3DMMError: the platform is unknown or does not work here, or none does. The message names the packages that
            are missing.
    """
    if platform == "auto":
        platform = _platform_of_the_environment(software)
    known = (*PLATFORMS, SOFTWARE) if software else PLATFORMS
    if platform not in (*known, "auto"):
        raise Face3DMMError(f"unknown OpenGL platform {platform!r}: choose auto or one of {', '.join(known)}")
    if platform == SOFTWARE:
        return _without_opengl()
    if platform == "auto" and software:
        return _accelerated_context() or _without_opengl()
    chosen = choose_platform(PLATFORMS if platform == "auto" else (platform,))
    try:
        return _open(chosen)
    except Exception as error:
        raise NoOpenGLError(f"OpenGL on {chosen} could not be opened: {error}") from error


def _platform_of_the_environment(software: bool) -> str:
    """What ``auto`` stands for; who needs OpenGL takes what there is where the environment asks for `SOFTWARE`."""
    platform = os.environ.get(PLATFORM_VARIABLE) or "auto"
    return "auto" if platform == SOFTWARE and not software else platform


def _without_opengl() -> OffscreenContext:
    def nothing() -> None:
        pass

    return OffscreenContext(SOFTWARE, nothing, nothing, nothing)


def has_graphics_processor() -> bool:
    """Whether there is a device on which OpenGL may be fast."""
    return any(any(Path("/dev").glob(devices)) for devices in _GRAPHICS_DEVICES)


def _accelerated_context() -> OffscreenContext | None:
    """A context on a graphics processor; None if there is none, or none that OpenGL works on."""
    if not has_graphics_processor():
        return None
    try:
        context = open_context()
    except NoOpenGLError:
        return None
    with context.current():
        from OpenGL import GL

        renderer = GL.glGetString(GL.GL_RENDERER).decode(errors="replace").lower()
    if any(name in renderer for name in _MESA_SOFTWARE):
        context.close()
        return None
    return context


def choose_platform(candidates: tuple[str, ...]) -> str:
    """The first of some platforms on which a context can be opened.

    Raises:
        Face3DMMError: none of them works here; the message says why, for each.
    """
    loaded = _loaded_platform()
    if loaded is not None:
        if loaded not in candidates:
            raise NoOpenGLError(
                f"this process already uses PyOpenGL on {loaded}, which it keeps until it ends: "
                f"ask for {loaded}, or set PYOPENGL_PLATFORM={candidates[0]} before the program starts"
            )
        candidates = (loaded,)
    failures = {}
    for candidate in candidates:
        failure = probe(candidate)
        if failure is None:
            return candidate
        failures[candidate] = failure
    reasons = "; ".join(f"{candidate}: {failure}" for candidate, failure in failures.items())
    # One platform that works is enough: packages of the first that lacks some.
    missing = next(filter(None, map(_missing_packages, failures)), [])
    advice = f"; on Debian and Ubuntu: apt-get install {' '.join(missing)}" if missing else ""
    raise NoOpenGLError(f"rendering needs OpenGL 3.3, and no platform works here ({reasons}){advice}")


def probe_ahead(*, software: bool = False) -> None:
    """Begin to try the platform that ``auto`` most likely stands for, while the caller does other things.

    A node that draws has half a second of imports before it asks for it.

    Args:
        software: as of `open_context`: nothing is tried where OpenGL will not be asked for.
    """
    platform = _platform_of_the_environment(software)
    if platform == SOFTWARE or (platform == "auto" and software and not has_graphics_processor()):
        return
    ahead = platform if platform in PLATFORMS else PLATFORMS[0]
    threading.Thread(target=probe, args=(ahead,), name="OpenGL probe", daemon=True).start()


def probe(platform: str) -> str | None:
    """Try a platform in a process of its own; returns None if it works, else why it does not.

    Each is tried once, and again if that took too long: a machine may be busy for a while.
    """
    with _PROBING:
        try:
            return _probe(platform)
        except TimeoutError as error:
            return str(error)


@cache
def _probe(platform: str) -> str | None:
    if platform == "glx" and not os.environ.get("DISPLAY"):
        return "DISPLAY is not set"
    program = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from face3dmm_ros.rendering import offscreen\n"
        "try:\n"
        f"    offscreen._open({platform!r}).close()\n"
        "except Exception as error:\n"
        "    sys.exit(' '.join(str(error).split()))\n"
    )
    try:
        child = _run(program) or _run(program)
    except OSError as error:
        return str(error)
    if child is None:
        # Raised, since what is returned is remembered.
        raise TimeoutError(
            f"timed out, twice after {PROBE_TIMEOUT_SECONDS:.0f} s: the machine is too busy, or the driver hangs"
        )
    if child.returncode == 0:
        return None
    lines = child.stderr.strip().splitlines()
    return lines[-1] if lines and child.returncode > 0 else f"the driver ended its process with {child.returncode}"


def _run(program: str) -> subprocess.CompletedProcess[str] | None:
    """Run a Python program in a process of its own; None if it took longer than `PROBE_TIMEOUT_SECONDS`."""
    with suppress(subprocess.TimeoutExpired):
        return subprocess.run(
            [sys.executable, "-I", "-c", program],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_TIMEOUT_SECONDS,
            check=False,
        )
    return None


def _missing_packages(platform: str) -> list[str]:
    """The packages of a platform whose libraries or drivers are not installed."""
    there = {package for package, library in _LIBRARIES.items() if find_library(library)}
    if any(any(Path("/usr").glob(drivers)) for drivers in _DRIVERS):
        there.add(_MESA_DRI)
    return [package for package in _NEEDED[platform] if package not in there]


def _loaded_platform() -> str | None:
    """The one of `PLATFORMS` for which this process has imported PyOpenGL; None if it has not."""
    module = sys.modules.get("OpenGL.platform")
    if module is None:
        return None
    return type(module.PLATFORM).__name__.removesuffix("Platform").lower()


def _open(platform: str) -> OffscreenContext:
    """Import PyOpenGL for a platform and open a context; any exception of the driver is passed on."""
    if _loaded_platform() is None:
        previous = dict(os.environ)
        os.environ["PYOPENGL_PLATFORM"] = platform
        try:
            import OpenGL.platform  # noqa: F401
        finally:
            del os.environ["PYOPENGL_PLATFORM"]
            os.environ.update(previous)
    from OpenGL.platform import PLATFORM

    library = {"egl": "EGL", "osmesa": "OSMesa", "glx": "GLX"}[platform]
    if getattr(PLATFORM, library, None) is None:
        raise RuntimeError(f"its library, lib{library}, was not found")
    context = {"egl": _open_egl, "osmesa": _open_osmesa, "glx": _open_glx}[platform]()
    with context.current():
        from OpenGL import GL

        version = (GL.glGetIntegerv(GL.GL_MAJOR_VERSION), GL.glGetIntegerv(GL.GL_MINOR_VERSION))
    if version < (3, 3):
        raise RuntimeError(f"the driver offers OpenGL {version[0]}.{version[1]}")
    return context


def _open_egl() -> OffscreenContext:
    """EGL without a surface: Mesa's surfaceless platform, else any device of EGL_EXT_device_enumeration."""
    from OpenGL import EGL

    display = _open_egl_display()
    EGL.eglBindAPI(EGL.EGL_OPENGL_API)
    attributes = [EGL.EGL_SURFACE_TYPE, EGL.EGL_PBUFFER_BIT, EGL.EGL_RENDERABLE_TYPE, EGL.EGL_OPENGL_BIT, EGL.EGL_NONE]
    config, count = EGL.EGLConfig(), EGL.EGLint()
    EGL.eglChooseConfig(display, attributes, config, 1, count)
    if count.value == 0:
        raise RuntimeError("EGL has no configuration for OpenGL")
    attributes = [
        *(EGL.EGL_CONTEXT_MAJOR_VERSION, 3, EGL.EGL_CONTEXT_MINOR_VERSION, 3),
        *(EGL.EGL_CONTEXT_OPENGL_PROFILE_MASK, EGL.EGL_CONTEXT_OPENGL_CORE_PROFILE_BIT, EGL.EGL_NONE),
    ]
    context = EGL.eglCreateContext(display, config, EGL.EGL_NO_CONTEXT, attributes)

    def make_current() -> None:
        EGL.eglBindAPI(EGL.EGL_OPENGL_API)  # a setting of the thread
        EGL.eglMakeCurrent(display, EGL.EGL_NO_SURFACE, EGL.EGL_NO_SURFACE, context)

    def release() -> None:
        EGL.eglMakeCurrent(display, EGL.EGL_NO_SURFACE, EGL.EGL_NO_SURFACE, EGL.EGL_NO_CONTEXT)

    # The display stays initialised: it is the process's, and other contexts may live on it.
    return OffscreenContext("egl", make_current, release, lambda: EGL.eglDestroyContext(display, context))


def _open_egl_display() -> object:
    """The first EGL display without a screen that can be initialised."""
    from OpenGL import EGL

    pointer = ctypes.c_void_p
    get_display = _extension("eglGetPlatformDisplayEXT", EGL.EGLDisplay, ctypes.c_uint, pointer, pointer)
    natives: list[tuple[int, int | None]] = [(_EGL_PLATFORM_SURFACELESS_MESA, None)]
    with suppress(RuntimeError):  # not every EGL can list its devices
        query_devices = _extension("eglQueryDevicesEXT", ctypes.c_uint, ctypes.c_int, pointer, pointer)
        devices, count = (pointer * 16)(), ctypes.c_int()
        if query_devices(len(devices), devices, ctypes.byref(count)):
            natives += [(_EGL_PLATFORM_DEVICE_EXT, device) for device in devices[: count.value]]
    for platform, native in natives:
        with suppress(EGL.EGLError):
            display = get_display(platform, native, None)
            if display and EGL.eglInitialize(display, None, None):
                return display
    raise RuntimeError("EGL offers neither Mesa's surfaceless platform nor a device that works")


def _extension(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    """A function of an extension, by its address: PyOpenGL itself finds extensions only once there is a context.

    Raises:
        RuntimeError: the driver does not have it.
    """
    from OpenGL.platform import PLATFORM

    address = PLATFORM.getExtensionProcedure(name.encode())
    if not address:
        raise RuntimeError(f"the driver lacks {name}")
    return ctypes.CFUNCTYPE(result, *arguments)(address)


def _integers(*values: int) -> "ctypes.Array[ctypes.c_int]":
    """A C array."""
    return (ctypes.c_int * len(values))(*values)


def _open_osmesa() -> OffscreenContext:
    """Mesa's software renderer, which draws into memory."""
    from OpenGL import GL, osmesa

    attributes = _integers(
        *(osmesa.OSMESA_FORMAT, osmesa.OSMESA_RGBA, osmesa.OSMESA_PROFILE, osmesa.OSMESA_CORE_PROFILE),
        *(osmesa.OSMESA_CONTEXT_MAJOR_VERSION, 3, osmesa.OSMESA_CONTEXT_MINOR_VERSION, 3, 0),
    )
    context = osmesa.OSMesaCreateContextAttribs(attributes, None)
    if not context:
        raise RuntimeError("OSMesa gave no OpenGL 3.3 core context")
    width = height = 16  # the default framebuffer, never drawn to
    buffer = (GL.GLubyte * (4 * width * height))()

    def make_current() -> None:
        if not osmesa.OSMesaMakeCurrent(context, buffer, GL.GL_UNSIGNED_BYTE, width, height):
            raise RuntimeError("OSMesa could not make its context current")

    def release() -> None:
        osmesa.OSMesaMakeCurrent(None, None, GL.GL_UNSIGNED_BYTE, 0, 0)

    return OffscreenContext("osmesa", make_current, release, lambda: osmesa.OSMesaDestroyContext(context))


def _open_glx() -> OffscreenContext:
    """A pixel buffer on the X display that DISPLAY names; no window appears."""
    from OpenGL import GLX
    from OpenGL.GLX.ARB import create_context

    xlib = ctypes.CDLL("libX11.so.6")
    xlib.XOpenDisplay.restype = ctypes.POINTER(GLX.Display)
    xlib.XInitThreads()
    display = xlib.XOpenDisplay(None)
    if not display:
        raise RuntimeError(f"the X display {os.environ.get('DISPLAY')!r} cannot be opened")
    attributes = _integers(GLX.GLX_DRAWABLE_TYPE, GLX.GLX_PBUFFER_BIT, GLX.GLX_RENDER_TYPE, GLX.GLX_RGBA_BIT, 0)
    count = ctypes.c_int()
    configs = GLX.glXChooseFBConfig(display, xlib.XDefaultScreen(display), attributes, count)
    if not configs or count.value == 0:
        raise RuntimeError("GLX has no configuration with a pixel buffer")
    pointer = ctypes.c_void_p
    create = _extension("glXCreateContextAttribsARB", GLX.GLXContext, pointer, pointer, pointer, ctypes.c_int, pointer)
    attributes = _integers(
        *(create_context.GLX_CONTEXT_MAJOR_VERSION_ARB, 3, create_context.GLX_CONTEXT_MINOR_VERSION_ARB, 3),
        *(_GLX_CONTEXT_PROFILE_MASK_ARB, _GLX_CONTEXT_CORE_PROFILE_BIT_ARB, 0),
    )
    context = create(display, configs[0], None, True, attributes)
    if not context:
        raise RuntimeError("GLX gave no OpenGL 3.3 core context")
    buffer = GLX.glXCreatePbuffer(
        display, configs[0], _integers(GLX.GLX_PBUFFER_WIDTH, 16, GLX.GLX_PBUFFER_HEIGHT, 16, 0)
    )

    def make_current() -> None:
        if not GLX.glXMakeContextCurrent(display, buffer, buffer, context):
            raise RuntimeError("GLX could not make its context current")

    def release() -> None:
        GLX.glXMakeContextCurrent(display, 0, 0, None)

    def destroy() -> None:
        GLX.glXDestroyPbuffer(display, buffer)
        GLX.glXDestroyContext(display, context)
        xlib.XCloseDisplay(display)

    return OffscreenContext("glx", make_current, release, destroy)
