"""What the documents' pictures were drawn by, so that a test tells when they are older than the code.

A tool that draws pictures records a digest of the code that they show. After a change that nobody would see, record it
without drawing: tools/in_environment.sh python -m tools.drawing_code readme avatars algorithms
"""

import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "docs" / "images" / "drawn_by.json"
_OVERLAY = tuple(
    f"face3dmm_ros/rendering/{name}.py"
    for name in ("face_cover", "face_extent", "face_renderer", "landmark_view", "lighting", "shading", "toon")
)
_AVATARS = ("face3dmm_ros/avatar/backdrop.py", "face3dmm_ros/avatar/character", "face3dmm_ros/avatar/watermelon")
SOURCES = {
    "readme": (*_OVERLAY, "tools/draw_readme_picture.py"),
    "algorithms": (
        *_OVERLAY,
        "face3dmm_ros/landmarks/hog.py",
        "face3dmm_ros/landmarks/regression_trees.py",
        "tools/draw_algorithms.py",
    ),
    "avatars": (*_OVERLAY, *_AVATARS, "tools/draw_avatars.py"),
}
"""The files and folders of code that decide how the pictures of that name look."""


def digest(name: str, root: Path = ROOT) -> str:
    """SHA-256 (hex) of the code behind the pictures of a name in `SOURCES`."""
    sha = hashlib.sha256()
    for source in SOURCES[name]:
        path = root / source
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            sha.update(file.relative_to(root).as_posix().encode())
            sha.update(file.read_bytes())
    return sha.hexdigest()


def recorded() -> dict[str, str]:
    """The digests that were recorded when the pictures were drawn, by name."""
    return dict(json.loads(RECORD.read_text("utf-8"))) if RECORD.exists() else {}


def record(*names: str) -> None:
    """Record that the pictures of some names show what the code draws now."""
    digests = recorded() | {name: digest(name) for name in names}
    RECORD.write_text(json.dumps(digests, indent=2, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    if not sys.argv[1:] or set(sys.argv[1:]) - set(SOURCES):
        sys.exit(f"give names of pictures, some of {', '.join(SOURCES)}, found {sys.argv[1:]}")
    record(*sys.argv[1:])
