"""Folders of photographs of people, of whom some may be left out, so that others are left to measure with."""

from dataclasses import dataclass
from pathlib import Path

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.pictures import find_pictures

_CHOICES = ("odd", "even")


@dataclass(frozen=True)
class PeopleFolder:
    """A folder, and of whom its pictures are taken.

    Attributes:
        root: the folder.
        which: ``odd`` or ``even``: of people of such numbers alone, with which the files' names begin; empty for all.
    """

    root: Path
    which: str = ""

    @staticmethod
    def parse(text: str) -> "PeopleFolder":
        """``FOLDER``, ``FOLDER:odd`` or ``FOLDER:even``."""
        root, _, which = text.rpartition(":")
        return PeopleFolder(Path(root), which) if which in _CHOICES else PeopleFolder(Path(text))

    def pictures(self, *, nested: bool = True) -> list[Path]:
        """The pictures, in order; of subfolders too if `nested`.

        Raises:
            Face3DMMError: there is no such folder or picture, or a name without a number where numbers count.
        """
        found = find_pictures(self.root, nested)
        if self.which:
            found = [path for path in found if _number(path) % 2 == (self.which == "odd")]
            if not found:
                raise Face3DMMError(f"{self.root} holds no picture of people of {self.which} numbers")
        return found


def _number(path: Path) -> int:
    digits = path.name[: len(path.name) - len(path.name.lstrip("0123456789"))]
    if not digits:
        raise Face3DMMError(f"{path}: the name does not begin with a person's number, which :odd and :even go by")
    return int(digits)
