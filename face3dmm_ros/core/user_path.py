"""Paths as users type them, and where their settings are kept."""

import os
from pathlib import Path

from face3dmm_ros.core.errors import Face3DMMError


def user_path(text: str) -> Path:
    """The path that a text names, `~` being a home. Whether something is there can be asked without an error.

    Raises:
        Face3DMMError: the system knows no such path: its user is unknown, or it is too long, or not to be looked at.
    """
    try:
        path = Path(text).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Face3DMMError(f"{text if len(text) <= 200 else text[:200] + '…'} cannot be a path: {reason}") from error
    if "\0" in text:
        raise Face3DMMError(f"{text!r} cannot be a path: it has a null character")
    return path


def configuration_folder() -> Path:
    """The folder of this user's settings, be it there or not: `face3dmm_ros` in $XDG_CONFIG_HOME, else in ~/.config.

    Raises:
        Face3DMMError: the user's home is unknown.
    """
    given = os.environ.get("XDG_CONFIG_HOME", "")
    # The XDG Base Directory Specification: a relative path is to be ignored.
    return (user_path(given) if given.startswith("/") else user_path("~/.config")) / "face3dmm_ros"
