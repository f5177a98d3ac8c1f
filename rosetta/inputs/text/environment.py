"""The embedded source: text found in the packages that the environment itself installs.

Groups of files take turns, and so do the files of a group, in the order of hashes: a domain is
drawn from as many of them as there are, and the harvest depends on the installed versions and the
seed only.
"""

from __future__ import annotations

import ast
import inspect
import re
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import distribution
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rosetta.config import EnvironmentSource
from rosetta.extras import DISTRIBUTION, is_installed
from rosetta.inputs.text.arithmetic import arithmetic_texts
from rosetta.inputs.text.documents import Document, Text, cluster_of, cut
from rosetta.progress import bar
from rosetta.storage.digests import hash64

# Whose packages are harvested with the core's: what every run with this source has installed.
# Not those of clusters, annotation, tests and documentation, which come and go with the machine and
# the project.
HARVESTED_EXTRAS = ("models", "corpora", "filtering", "plots", "workflow")
MACHINE_DEPENDENT = ("nvidia-", "cuda-", "triton")  # what torch brings along on machines with a GPU
MAX_FILE_BYTES = 2_000_000
# No file may give more than this part of a domain: a file is in one split, and the smallest have 6%
# of the text.
MAX_SHARE = 32
# What a file gives in one turn: a section of so many bytes.
SECTION = 4_000
# Domains that a hundred packages give. C++ is from a dozen, nearly all from one; licences have many
# origins anyway.
BY_PACKAGE = ("python", "prose", "description")


class PackageFile(NamedTuple):
    """A file of an installed package."""

    package: str
    path: PurePosixPath
    location: Path


def environment_texts(source: EnvironmentSource, seed: int) -> Iterator[Text]:
    """Yield about `bytes_per_domain` of texts of every requested domain."""
    files = installed_files()
    for domain in source.domains:
        if domain == "arithmetic":
            texts: Iterable[Text] = arithmetic_texts(seed)
        else:
            texts = _harvest(domain, files, seed, source.bytes_per_domain // MAX_SHARE)
        yield from _limited(texts, source.bytes_per_domain, domain)


def group_of(document: Document) -> str:
    """Return the group of a document of the harvest, for `split_of` and turns.

    That is its package in the domains `BY_PACKAGE`, and its file (or its generated text) in the
    others.
    """
    return (
        document.source.partition("/")[0]
        if document.domain in BY_PACKAGE
        else cluster_of(document.source)
    )


def installed_files() -> list[PackageFile]:
    """List the files of the packages that this project depends on, directly or not.

    Other packages of the environment are excluded, so that the corpus depends on the locked
    versions only.
    """
    found: dict[str, PackageFile] = {}
    for name in sorted(_dependencies(DISTRIBUTION, HARVESTED_EXTRAS)):
        package = distribution(name)
        for path in package.files or ():
            if ".." not in path.parts:
                found.setdefault(
                    f"{name}/{path}", PackageFile(name, path, Path(package.locate_file(path)))
                )
    return [found[key] for key in sorted(found)]


def _dependencies(name: str, extras: tuple[str, ...]) -> set[str]:
    """Return the normalised names of all installed packages that a package and its extras require.

    Optional requirements of other packages are excluded.
    """
    found: set[str] = set()
    waiting = [(name, ("", *extras))]
    while waiting:
        requiring, asked = waiting.pop()
        for line in distribution(requiring).requires or ():
            requirement = Requirement(line)
            required, marker = canonicalize_name(requirement.name), requirement.marker
            wanted = marker is None or any(marker.evaluate({"extra": extra}) for extra in asked)
            if required == name or required.startswith(
                MACHINE_DEPENDENT
            ):  # an extra that includes others
                continue
            if wanted and required not in found and is_installed(required):
                found.add(required)
                waiting.append((required, ("",)))
    return found


def _limited(texts: Iterable[Text], budget: int, domain: str) -> Iterator[Text]:
    with bar(total=budget, label=f"harvest {domain}", unit="B") as shown:
        used = 0
        for text in texts:
            if used >= budget:
                return
            size = len(text.text.encode("utf-8"))
            used += size
            shown.update(size)
            yield text


def _harvest(domain: str, files: list[PackageFile], seed: int, max_bytes: int) -> Iterator[Text]:
    """Yield one section of every group in turn; of a group's files, each gives one before any gives
    another.
    """
    wanted, extract = _DOMAINS[domain]
    groups: dict[str, list[PackageFile]] = {}
    for file in files:
        if wanted(file.path):
            group = file.package if domain in BY_PACKAGE else f"{file.package}/{file.path}"
            groups.setdefault(group, []).append(file)

    def sections(file: PackageFile) -> Iterator[Text]:
        content = _read(file.location)
        text = extract(content) if content else ""
        place = f"{file.package}/{file.path}"
        pieces = [
            (f"{place}#{number}", piece)
            for number, piece in enumerate(cut(text[:max_bytes], SECTION))
        ]
        for source, piece in sorted(pieces, key=lambda pair: hash64(seed, domain, pair[0])):
            if piece.strip():
                yield Text(piece, domain, source)

    def given_by(group: str) -> Iterator[Text]:
        chosen = sorted(
            groups[group], key=lambda file: hash64(seed, domain, file.package, file.path)
        )
        return _in_turns(map(sections, chosen))

    yield from _in_turns(
        map(given_by, sorted(groups, key=lambda group: hash64(seed, domain, group)))
    )


def _in_turns(sources: Iterable[Iterator[Text]]) -> Iterator[Text]:
    """Yield one text of each source, then the next of each, until all are exhausted."""
    waiting = deque(sources)
    while waiting:
        source = waiting.popleft()
        text = next(source, None)
        if text is not None:
            yield text
            waiting.append(source)


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return ""
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):  # not installed after all, or not text
        return ""


def without_docstrings(code: str) -> str:
    """Return Python code with docstrings as `...`; empty if it does not parse."""
    nodes = _docstring_nodes(code)
    if nodes is None:
        return ""
    lines = re.findall(
        r"[^\n]*\n|[^\n]+", code
    )  # what Python's own line numbers count, unlike str.splitlines
    for node in sorted(nodes, key=lambda node: -node.lineno):
        indent = lines[node.lineno - 1][: node.col_offset]
        lines[node.lineno - 1 : node.end_lineno] = [f"{indent}...\n"] if not indent.strip() else []
    return "".join(lines)


def docstring_prose(code: str) -> str:
    """Return the paragraphs of running prose in the docstrings of Python code."""
    paragraphs = []
    for node in _docstring_nodes(code) or ():
        for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(node.value.value)):
            words = " ".join(paragraph.split())
            if (
                len(words) >= 80
                and words[0].isupper()
                and words.endswith(".")
                and not _CODE_MARKS.search(words)
            ):
                paragraphs.append(words)
    return "\n\n".join(paragraphs)


_CODE_MARKS = re.compile(
    r">>>|\.\. |::|=|[{}<>|\\]|\w\(\)|--|\(`|\*optional|\b(Args|Parameters|Returns|Raises)\b"
)


def _docstring_nodes(code: str) -> list[ast.Expr] | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's code
            tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError):
        return None
    found = []
    for body in _bodies(tree):
        first = body[0]
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            found.append(first)
    return found


def _bodies(tree: ast.Module) -> Iterator[list[ast.stmt]]:
    """Yield the bodies of a module and of its classes and functions, as `ast.walk` comes to them.

    Expressions are most of a tree, and hold no statements; they are not walked through.
    """
    waiting: deque[ast.AST] = deque([tree])
    while waiting:
        node = waiting.popleft()
        if isinstance(node, _DOCUMENTED) and node.body:
            yield node.body
        for field in _STATEMENTS:
            waiting.extend(getattr(node, field, ()))


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# In the order of Python's own fields, where a node has several: `try` has all but cases.
_STATEMENTS = ("body", "handlers", "orelse", "finalbody", "cases")


def _description(metadata: str) -> str:
    """Return the body of a METADATA file: the package's description."""
    return metadata.partition("\n\n")[2]


def _is_licence(path: PurePosixPath) -> bool:
    return bool(
        re.match(r"(licen[sc]e|copying|notice)", path.name, re.IGNORECASE)
    ) and path.suffix not in (
        ".py",
        ".pyc",
    )


_DOMAINS: dict[str, tuple[Callable[[PurePosixPath], bool], Callable[[str], str]]] = {
    "python": (lambda path: path.suffix == ".py", without_docstrings),
    "prose": (lambda path: path.suffix == ".py", docstring_prose),
    "cpp": (lambda path: path.suffix in (".h", ".hpp", ".cuh", ".cu", ".c", ".cpp"), str),
    "licence": (_is_licence, str),
    "description": (
        lambda path: path.name == "METADATA" and path.parent.suffix == ".dist-info",
        _description,
    ),
}
