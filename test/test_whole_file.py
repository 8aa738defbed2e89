"""Files that are written whole or not at all, and outputs that cannot be written."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files import whole_file as module
from face3dmm_ros.files.whole_file import check_image_writable, check_writable, whole_file, write_image, write_whole


def test_a_file_is_as_it_was_where_its_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(Face3DMMError, match="No space left"), whole_file(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_not_written_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "overlay.png").mkdir()
    with pytest.raises(Face3DMMError, match=r"overlay\.png cannot be written"):
        write_image(tmp_path / "overlay.png", np.zeros((2, 2, 3), np.uint8))


def test_a_format_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Face3DMMError, match="cannot write"):
        write_image(tmp_path / "overlay.nothing", np.zeros((2, 2, 3), np.uint8))


def test_a_name_that_is_no_utf_8_goes_through_json(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    write_whole(tmp_path / "file.json", json.dumps({"image": name}, ensure_ascii=False))
    assert json.loads((tmp_path / "file.json").read_text())["image"] == name


@pytest.mark.parametrize("name", ["file", "file/below", "a" * 300, "b/" + "a" * 4000, "null\0"])
def test_a_folder_that_cannot_be_made_is_one_short_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Face3DMMError) as found:
        check_writable(tmp_path / name)
    assert len(str(found.value)) < 400
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_check_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    check_writable(tmp_path / "there" / "new" / "folder", ["file"])
    assert list((tmp_path / "there").iterdir()) == []
    check_writable(tmp_path / "there")
    assert (tmp_path / "there").is_dir()


def test_a_check_finds_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "params.json").mkdir()
    with pytest.raises(Face3DMMError, match=r"params\.json is a folder"):
        check_writable(tmp_path, ["mesh.obj", "params.json"])


def test_a_check_finds_that_the_disk_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root, who tests may run as, may write where modes forbid it."""

    def refused(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(module, "TemporaryFile", refused)
    with pytest.raises(Face3DMMError, match="cannot be written to: Read-only file system"):
        check_writable(tmp_path)


@pytest.mark.parametrize("name", ["overlay.nothing", "overlay"])
def test_a_check_finds_that_an_image_has_no_format(tmp_path: Path, name: str) -> None:
    check_image_writable(tmp_path / "overlay.png")
    with pytest.raises(Face3DMMError, match=rf"{name} would be an image .* let it end in \.png or \.jpg"):
        check_image_writable(tmp_path / name)
