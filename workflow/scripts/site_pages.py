"""Hooks of MkDocs: pages of the site that are not Markdown files under docs/.

README.md and its like stay where people and tools look for them, and are pages of the site too. So
are notebooks under docs/. Links between all of these work on the site as they do in the repository.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).parents[2]
# Page of the site by the file of the repository that it is made from.
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
}
_FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made from files outside of docs/ and from notebooks."""
    from mkdocs.structure.files import File

    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text("utf-8")))
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        files.remove(notebook)
        text = notebook_as_markdown(Path(notebook.abs_src_path))
        files.append(
            File.generated(config, str(Path(notebook.src_uri).with_suffix(".md")), content=text)
        )
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Point the links of a page at pages of the site."""
    sources = {page: source for source, page in OUTSIDE.items()}
    source = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    return site_links(markdown, source, {file.src_uri for file in files})


def site_links(markdown: str, source: str, pages: set[str]) -> str:
    """Return a page with its links as the site needs them.

    Parameters
    ----------
    markdown : str
        The page, with links relative to its file in the repository.
    source : str
        That file, relative to the repository's root.
    pages : set of str
        Files of the site, relative to docs/.

    Notes
    -----
    A link to a file of the repository that is no page, such as a script, becomes its text. A link
    to nothing at all is left as it is, so that the strict build stops at it.
    """

    def pointed(link: re.Match[str]) -> str:
        image, text, target, anchor = link[1], link[2], link[3], link[4] or ""
        path = os.path.normpath(PurePosixPath(source).parent / target)
        if path.endswith(".ipynb"):
            path = str(PurePosixPath(path).with_suffix(".md"))
        page = OUTSIDE.get(path, path.removeprefix("docs/"))
        if page in pages and (path in OUTSIDE or path.startswith("docs/")):
            return f"{image}[{text}]({page}{anchor})"
        return text if (ROOT / path).exists() and not image else link[0]

    parts = _FENCED.split(markdown)
    return "".join(part if i % 2 else _LINK.sub(pointed, part) for i, part in enumerate(parts))


def notebook_as_markdown(path: Path) -> str:
    """Return a notebook's cells, and the text and pictures that they print, as Markdown."""
    import nbformat

    parts = []
    for cell in nbformat.read(path, as_version=4).cells:
        parts.append(
            cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```"
        )
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            text = output.get("text") or data.get("text/plain", "")
            if "image/png" in data:
                parts.append(f"![](data:image/png;base64,{data['image/png'].strip()})")
            elif text:
                parts.append(f"```text\n{text.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"
