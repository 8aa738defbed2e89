"""Whoever installs the package may use it for anything and give it on, as the licences of what comes with it say."""

import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree

import pytest

packaging_requirements = pytest.importorskip(
    "packaging.requirements", reason="needs packaging, which reads requirements"
)

WANTED = tuple(f"requirements{of}.txt" for of in ("", "-ros", "-torch", "-viewer", "-cluster"))
"""What those need who use the package; what only its developers need is theirs alone."""
PERMISSIVE = re.compile(
    r"apache|\bbsd\b|\bmit\b|mit-|boost|\bbsl-|zlib|\bisc\b|python software foundation|\bpsf|mozilla public|\bmpl|"
    r"public domain|unlicense|freely distributable|hpnd",
    re.IGNORECASE,
)
COPYLEFT = re.compile(r"\b[al]?gpl|gnu (lesser |affero )?general", re.IGNORECASE)
LOOKED_UP = {
    "empy": "LGPL: only the build runs it, and nothing of it is given on",
    "docutils": "public domain and BSD; the GPL is that of an editor's mode in its sources, which is not installed",
    "apsw": "any licence that the OSI approves of, at one's choice",
    "openexr": "BSD-3-Clause, in its repository",
    "ros-fastcdr": "Apache-2.0, in its repository",
    "ros-fastrtps": "Apache-2.0, in its repository",
    "setuptools": "MIT, in its repository",
}
"""What a package's own metadata do not tell, or tell wrongly."""


def named(file: Path) -> Iterator[str]:
    """The requirements in a file and in those that it includes."""
    for line in file.read_text().splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("-r "):
            yield from named(file.parent / line[3:].strip())
        elif line and not line.startswith("-"):
            yield line


def installed(requirements: list[str]) -> dict[str, metadata.Distribution]:
    """What requirements lead to, by name; what is not installed here is left out."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [(each, "") for each in requirements]
    while waiting:
        line, extra = waiting.pop()
        requirement = packaging_requirements.Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        try:
            distribution = metadata.distribution(requirement.name)
        except metadata.PackageNotFoundError:
            continue
        if requirement.name.lower() not in found:
            found[requirement.name.lower()] = distribution
            extras = requirement.extras or {""}
            waiting += [(each, extra) for each in distribution.requires or [] for extra in extras]
    return found


def licences(distribution: metadata.Distribution) -> str:
    """What a distribution says of its licence: in its metadata, or, if it is a package of ROS, in its package.xml."""
    about = distribution.metadata
    told = [about.get("License-Expression"), *(about.get_all("Classifier") or []), about.get("License")]
    words = [each.splitlines()[0] for each in told if each and (each in told[:1] + told[-1:] or "License ::" in each)]
    for file in distribution.files or []:
        if file.name == "package.xml" and file.parent.parent.name == "share":
            manifest = ElementTree.fromstring(Path(str(distribution.locate_file(file))).read_bytes())
            words += [element.text or "" for element in manifest.iter("license")]
    return "; ".join(words)


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="needs an environment of the package's own")
def test_nothing_that_is_installed_restricts_its_use(repository: Path) -> None:
    packages = installed([line for file in WANTED for line in named(repository / file)])
    assert len(packages) > 30
    refused = {
        name: told
        for name, distribution in packages.items()
        if name not in LOOKED_UP
        and (told := licences(distribution))
        and (COPYLEFT.search(told) or not PERMISSIVE.search(told))
    }
    assert refused == {}


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="needs an environment of the package's own")
def test_every_package_with_code_in_it_says_what_its_licence_is(repository: Path) -> None:
    packages = installed([line for file in WANTED for line in named(repository / file)])
    silent = {
        name
        for name, distribution in packages.items()
        if name not in LOOKED_UP
        and not licences(distribution)
        and any(file.suffix in (".py", ".so") for file in distribution.files or [])
    }
    assert silent == set()
