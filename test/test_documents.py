"""README, CONTRIBUTING, CHANGELOG, NOTICE and docs/: tables are tables, and what they point to is there."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import drawing_code

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
TEXTS = [*DOCUMENTS, ROOT / "CHANGELOG.rst", ROOT / "NOTICE", *(ROOT / "resource").rglob("*.md")]
README_LINES = 180
"""At most: it says what this is and where the rest is told."""


def table_blocks(text: str) -> Iterator[list[str]]:
    """The runs of lines that begin as a table's rows do, code left out."""
    block: list[str] = []
    for line in re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL).splitlines():
        if line.lstrip().startswith("|"):
            block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block


def columns(row: str) -> int:
    """How many cells a row has; an escaped bar ends none."""
    return len(re.findall(r"(?<!\\)\|", row.strip().removeprefix("|").removesuffix("|"))) + 1


def problems(text: str) -> list[str]:
    """What keeps a document's tables from being shown as tables: blocks that are none, and rows of another width."""
    found = []
    for block in table_blocks(text):
        if len(block) < 2 or not re.fullmatch(r"[|:\s-]*-[|:\s-]*", block[1]):
            found.append(f"no table begins with {block[0]!r}: is there a blank line before it?")
        found += [f"{row!r} has another number of columns" for row in block if columns(row) != columns(block[0])]
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_table_is_one_unbroken_table(document: Path) -> None:
    assert problems(document.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("rows", ["\n\n| 3 | 4 |", "\n| 3 | 4 | 5 |", "\n\n| 3 | 4 |\n| 5 | 6 |"])
def test_a_broken_table_is_noticed(rows: str) -> None:
    assert len(problems("| a | b |\n| - | - |\n| 1 | 2 |" + rows)) == 1


def anchors(document: Path) -> set[str]:
    """What a link into a document may name: its headings, as GitHub and MkDocs write them."""
    headings = re.findall(r"^#+ (.+)$", without_code(document.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in headings}


def without_code(text: str) -> str:
    """A document without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def broken_links(document: Path, text: str) -> list[str]:
    """The links within the repository that lead nowhere."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(text)):
        if re.match(r"\w+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    assert broken_links(document, document.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("link", ["docs/absent.md", "docs/model.md#absent", "#absent"])
def test_a_broken_link_is_noticed(link: str) -> None:
    assert broken_links(ROOT / "README.md", f"see [this]({link}), [that](docs/model.md#landmarks)") == [link]


@pytest.mark.parametrize("document", TEXTS, ids=lambda path: path.name)
def test_every_file_and_program_that_is_named_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    folders = "face3dmm_ros|tools|test|config|launch|resource|docs|examples|benchmarks"
    files = re.findall(rf"(?<![\w./-])(?:(?:{folders})/[\w/-]+\.\w+|[\w/-]+/\w+\.py\b)", text)
    modules = re.findall(r"python -m ((?:face3dmm_ros|tools|benchmarks)[.\w]*\w)", text)
    roots = (ROOT, ROOT / "face3dmm_ros")
    assert [name for name in files if "NAME" not in name and not any((root / name).is_file() for root in roots)] == []
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES


@pytest.mark.parametrize("name", sorted(drawing_code.SOURCES))
def test_the_pictures_show_what_the_code_draws(name: str) -> None:
    assert drawing_code.recorded().get(name) == drawing_code.digest(name), (
        f"docs/images is older than the code that draws it ({', '.join(drawing_code.SOURCES[name])}): draw it anew "
        f"(tools/draw_{name}*.py), or, where the change cannot be seen, python -m tools.drawing_code {name}"
    )


def test_a_change_of_the_drawing_code_is_noticed(tmp_path: Path) -> None:
    for source in ("face3dmm_ros/rendering", "face3dmm_ros/avatar", "tools"):
        shutil.copytree(ROOT / source, tmp_path / source, ignore=shutil.ignore_patterns("__pycache__"))
    before = drawing_code.digest("avatars", tmp_path)
    with (tmp_path / "face3dmm_ros/avatar/watermelon/shaders.py").open("a") as file:
        file.write("# \n")
    assert before == drawing_code.digest("avatars") != drawing_code.digest("avatars", tmp_path)


def test_contributing_lists_the_rooms_in_their_order() -> None:
    layers = re.search(r"^layers = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M | re.S)
    assert layers is not None
    rooms = re.findall(r'"face3dmm_ros\.(\w+)"', layers[1])
    told = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.M)
    assert told == rooms


def test_the_documents_know_every_target_that_make_shows() -> None:
    targets = re.findall(r"echo 'make (\S+)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    told = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("CONTRIBUTING.md", "docs/start.md"))
    assert [target for target in targets if f"`{target}`" not in told and f"make {target}" not in told] == []


@pytest.mark.slow
def test_the_site_builds_and_takes_nothing_from_the_network(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="needs MkDocs: make docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, timeout=300
    )
    assert built.returncode == 0, built.stderr
    pages = [page.read_text(encoding="utf-8") for page in (tmp_path / "site").rglob("*.html")]
    loaded = re.compile(
        r'<(?:script|img|iframe|source)[^>]*\ssrc="?(?:https?:)?//|<link[^>]*stylesheet[^>]*(?:https?:)?//'
    )
    assert [page for page in pages if loaded.search(page)] == []
