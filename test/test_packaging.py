"""The package is the same for pip, for CMake and from the source tree: modules, resources, commands and version."""

import os
import shutil
import subprocess
import sys
from configparser import ConfigParser
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest

import face3dmm_ros
from face3dmm_ros.core import requirements, resource_files
from face3dmm_ros.core.errors import Face3DMMError

DATA_FOLDERS = ("config", "launch", "resource")
LEFT_BEHIND = shutil.ignore_patterns("__pycache__", "*.egg-info")


def run_python(code: str, folder: Path, **environment: str) -> str:
    """Standard output of a fresh interpreter, in a folder, that sees nothing of a sourced workspace."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, cwd=folder, env=inherited | environment, check=True, capture_output=True, text=True, timeout=60
    ).stdout


@pytest.fixture(scope="module")
def installed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a `pip install` of the source tree, without its dependencies."""
    setuptools = pytest.importorskip("setuptools", reason="needs setuptools, which packs the wheel")
    if tuple(map(int, setuptools.__version__.split(".")[:2])) < (70, 1) and not find_spec("wheel"):
        pytest.skip(f"needs wheel beside setuptools {setuptools.__version__}, which cannot pack one by itself")
    source = tmp_path_factory.mktemp("source")
    for folder in ("face3dmm_ros", "msg", *DATA_FOLDERS):
        shutil.copytree(repository / folder, source / folder, ignore=LEFT_BEHIND)
    for path in repository.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    target = tmp_path_factory.mktemp("target")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, timeout=120)
    return target


def entry_points(repository: Path) -> dict[str, str]:
    """Command name → ``module:function``, of setup.cfg."""
    configuration = ConfigParser()
    configuration.read(repository / "setup.cfg")
    lines = configuration["options.entry_points"]["console_scripts"].split("\n")
    return dict(line.split(" = ") for line in lines if line)


def test_pip_installs_every_module(repository: Path, installed: Path) -> None:
    modules = {path.relative_to(repository) for path in (repository / "face3dmm_ros").rglob("*.py")}
    assert {module for module in modules if not (installed / module).is_file()} == set()


def test_pip_installs_every_file_beside_the_modules_inside_the_package(repository: Path, installed: Path) -> None:
    shipped = {p.relative_to(repository) for folder in DATA_FOLDERS for p in (repository / folder).rglob("*.*")}
    shipped = {path for path in shipped if path.suffix != ".pyc"}
    assert {path for path in shipped if not (installed / "face3dmm_ros" / path).exists()} == set()


def test_an_installed_package_finds_its_resources(installed: Path) -> None:
    code = (
        "from face3dmm_ros.core.resource_files import package_file; print(package_file('resource/default_model.npz'))"
    )
    found = run_python(code, installed, PYTHONPATH=str(installed))
    assert found.strip() == str(installed / "face3dmm_ros" / "resource" / "default_model.npz")


def test_an_installed_package_opens_a_face_tracker(installed: Path) -> None:
    code = "from face3dmm_ros import FaceTracker, face_tracker; FaceTracker().close(); print(face_tracker.__file__)"
    found = run_python(code, installed, PYTHONPATH=str(installed))
    assert found.strip() == str(installed / "face3dmm_ros" / "face_tracker.py")


def test_an_installed_package_finds_its_messages_and_hides_no_generated_module(installed: Path) -> None:
    code = "from face3dmm_ros.core.resource_files import package_file; package_file('msg/Face3DMMParams.msg'); "
    code += "from importlib.util import find_spec; print(find_spec('face3dmm_ros.msg'))"
    assert run_python(code, installed, PYTHONPATH=str(installed)).strip() == "None"


def test_a_colcon_install_finds_its_resources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "lib" / "python3" / "site-packages" / "face3dmm_ros" / "core" / "resource_files.py"
    resource = tmp_path / "share" / "face3dmm_ros" / "resource" / "model.npz"
    resource.parent.mkdir(parents=True)
    resource.touch()
    monkeypatch.setattr(resource_files, "__file__", str(module))
    assert resource_files.package_file("resource/model.npz") == resource


def test_a_file_that_did_not_ship_is_named() -> None:
    with pytest.raises(Face3DMMError, match=r"resource/absent\.npz"):
        resource_files.package_file("resource/absent.npz")


def test_pip_installs_no_leftovers(installed: Path) -> None:
    assert {path.name for path in installed.iterdir()} == {
        "bin",
        "face3dmm_ros",
        *(p.name for p in installed.glob("*.dist-info")),
    }


def test_pip_installs_every_command(repository: Path, installed: Path) -> None:
    assert {path.name for path in (installed / "bin").iterdir()} == set(entry_points(repository))


def test_every_command_has_its_module(repository: Path) -> None:
    modules = {module.partition(":")[0] for module in entry_points(repository).values()}
    assert {module for module in modules if find_spec(module) is None} == set()


def test_cmake_installs_the_same_commands(repository: Path) -> None:
    index = pytest.importorskip("ament_index_python", reason="needs ROS 2")
    try:
        prefix = Path(index.get_package_prefix("face3dmm_ros"))
    except index.PackageNotFoundError:
        pytest.skip("needs the package built for ROS 2")
    assert {path.name for path in (prefix / "lib" / "face3dmm_ros").iterdir()} == set(entry_points(repository))
    assert os.access(prefix / "bin" / "face3dmm", os.X_OK)


def test_the_versions_agree(repository: Path) -> None:
    package = ElementTree.parse(repository / "package.xml").getroot()
    assert package.findtext("version") == face3dmm_ros.__version__


def test_package_xml_names_each_dependency_once(repository: Path) -> None:
    package = ElementTree.parse(repository / "package.xml").getroot()
    names = [element.text for element in package if element.tag.endswith("depend")]
    assert sorted(set(names)) == sorted(names)


def test_package_xml_is_valid(repository: Path) -> None:
    catkin_pkg = pytest.importorskip("catkin_pkg.package", reason="needs catkin_pkg, which reads package.xml")
    package = catkin_pkg.parse_package(repository / "package.xml")
    assert package.get_build_type() == "ament_cmake"
    assert [group.name for group in package.member_of_groups] == ["rosidl_interface_packages"]


def test_notice_names_every_file_of_others(repository: Path) -> None:
    notice = (repository / "NOTICE").read_text()
    shipped = (p.relative_to(repository) for p in (repository / "resource").rglob("*.*") if p.suffix != ".md")
    # The page is code of this project, as the package is.
    shipped = (path for path in shipped if path.parent.name != "page")
    assert [str(path) for path in shipped if path.as_posix() not in notice] == []


@pytest.mark.parametrize("code", ["import face3dmm_ros", "from face3dmm_ros.cli.main import main; main(['--help'])"])
def test_the_command_line_starts_without_what_its_verbs_need(repository: Path, code: str) -> None:
    program = f"""
import atexit, sys
heavy = "torch", "rclpy", "OpenGL", "ai_edge_litert", "cv2", "dlib", "scipy", "trimesh", "rosbags"
atexit.register(lambda: print("imported:", *(name for name in heavy if name in sys.modules)))
{code}
"""
    assert run_python(program, repository).splitlines()[-1].strip() == "imported:"


def test_the_check_of_requirements_knows_all_that_pip_would_install(repository: Path) -> None:
    configuration = ConfigParser()
    configuration.read(repository / "setup.cfg")
    lines = configuration["options"]["install_requires"].split()
    assert set(requirements.MODULES) == {line.partition(">")[0] for line in lines}


def test_every_required_module_is_found_here() -> None:
    requirements.require_modules()


def test_litert_and_opengl_alone_are_not_asked_for_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = {"ai_edge_litert", "OpenGL"}
    monkeypatch.setattr(requirements, "find_spec", lambda module: None if module in absent else module)
    requirements.require_modules()
    absent.add("scipy")
    with pytest.raises(SystemExit, match="has no ai_edge_litert, OpenGL, scipy"):
        requirements.require_modules()


def test_a_command_under_a_python_without_the_requirements_names_them_and_what_to_do(repository: Path) -> None:
    index = pytest.importorskip("ament_index_python", reason="needs ROS 2")
    try:
        script = Path(index.get_package_prefix("face3dmm_ros")) / "lib" / "face3dmm_ros" / "landmark_node"
    except index.PackageNotFoundError:
        pytest.skip("needs the package built for ROS 2")
    command = [sys.executable, "-S", str(script)]  # without site-packages
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(repository)}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"{sys.executable} has no ai_edge_litert, h5py, matplotlib, numba, numpy, cv2" in done.stderr
    assert f"{sys.executable} -m pip install ai-edge-litert h5py matplotlib" in done.stderr
