"""Pages of the site whose files lie where people look for them first, at the root: README, CONTRIBUTING and CHANGELOG.

MkDocs calls it (`hooks` in mkdocs.yml).
"""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.rst": "changelog.md"}
NOTEBOOKS = ("examples/picture_to_model.ipynb", "examples/film_to_curves.ipynb")
OTHERS = ("NOTICE", "LICENSE", "examples/avatar_subscriber.py", *NOTEBOOKS)
"""Files that those pages link to."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, their links as seen from docs/."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
        for name, target in PAGES.items():
            text = text.replace(f"]({name}", f"]({target}")
        if source.endswith(".rst"):
            # Below its title, which is underlined as Markdown does not know it, the changelog is Markdown too.
            text = "# Changelog\n\n" + text.partition("\n\n")[2]
        files.append(File.generated(config, page, content=text))
    for name in OTHERS:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files
