"""Lessons and source files as pages: the files of the packages `convcore` and `kernels`, under their own paths.

/read/convcore/lessons/01-convolution.md is a lesson, and its link to ../inspect/window.py leads to
/read/convcore/inspect/window.py. So the links that work on a repository's pages also work here.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

from markdown_it import MarkdownIt
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response

import convcore
import kernels
from convcore.data.images import image_size
from convcore.explore import pages

PACKAGES = {package.__name__: Path(package.__path__[0]) for package in (convcore, kernels)}
START = "/read/convcore/lessons/README.md"
STYLE = '<link rel="stylesheet" href="/static/reading.css">'
_PICTURE = re.compile(r'<img src="([^":]+)"')
_WIDGET = re.compile(r"<!-- widget: ((\S+)[^>]*?) -->.*?<!-- end -->", re.S)


def lessons(request: Request) -> Response:
    """The list of lessons."""
    return RedirectResponse(START)


def read(request: Request) -> Response:
    """A page, a picture, or the contents of a folder."""
    path: str = request.path_params["path"].rstrip("/")
    file = find(path)
    if file.suffix == ".png":
        return FileResponse(file)
    if file.suffix == ".md":
        title, content = markdown(file)
    elif file.suffix == ".py":
        title, content = path, source(file)
    else:
        title, content = path, folder(path, file)
    in_lessons = path.startswith("convcore/lessons/")
    body = STYLE + (content if in_lessons else f"<p class=trail>{trail(path)}</p>{content}")
    return HTMLResponse(pages.page_html(pages.LESSONS if in_lessons else "", html.escape(title), body))


def find(path: str) -> Path:
    """The file or folder of a path below /read/; only source files, documents and pictures are served.

    Raises:
        HTTPException: 404, there is no such file.
    """
    package, _, inner = path.partition("/")
    root = PACKAGES.get(package)
    if root is None:
        raise HTTPException(404, f"there is no file {path[:100]!r} to read; the packages are {' and '.join(PACKAGES)}")
    try:
        file = (root / inner).resolve()
        inside = file.is_relative_to(root.resolve()) and "__pycache__" not in file.parts
        if inside and (file.is_dir() or (file.is_file() and file.suffix in (".md", ".py", ".png"))):
            return file
    except (ValueError, OSError):  # not a valid file name: it contains a NUL or is too long
        pass
    raise HTTPException(404, f"there is no file {path[:100]!r} to read")


def markdown(file: Path) -> tuple[str, str]:
    """The title and the HTML of a Markdown file; its widget markers become elements of the playground."""
    text = file.read_text(encoding="utf-8")
    title = text.split("\n", 1)[0].lstrip("# ")
    rendered = _RENDERER.render(_WIDGET.sub(r'<div class="widget"><\1></\2></div>', text))

    def sized(found: re.Match[str]) -> str:
        width, height = image_size(file.parent / found[1])
        return f'{found[0]} width="{width}" height="{height}"'

    # Give pictures their size, so that the text below does not move when they load.
    return title, f"<article class=lesson>{_PICTURE.sub(sized, rendered)}</article>"


def source(file: Path) -> str:
    """A Python file with numbered lines."""
    return highlight(file.read_text(encoding="utf-8"), PythonLexer(), HtmlFormatter(linenos="table", lineanchors="L"))


def folder(path: str, found: Path) -> str:
    """Links to the contents of a folder."""
    inside = [
        entry.name + "/" * entry.is_dir()
        for entry in sorted(found.iterdir(), key=lambda entry: (entry.is_dir(), entry.name))
        if entry.suffix in (".md", ".py") or (entry.is_dir() and any(entry.glob("*.py")))
    ]
    items = "".join(f'<li><a href="/read/{path}/{name}">{name}</a></li>' for name in map(html.escape, inside))
    return f"<ul class=folder>{items}</ul>"


def trail(path: str) -> str:
    """The path, with a link for each folder."""
    parts = path.split("/")
    links = [f'<a href="/read/{"/".join(parts[: n + 1])}">{html.escape(part)}</a>' for n, part in enumerate(parts[:-1])]
    return " / ".join([*links, f"<b>{html.escape(parts[-1])}</b>"])


def _coloured(code: str, language: str, _: str) -> str:
    """A block of code as HTML; only Python is coloured."""
    return highlight(code, PythonLexer(), HtmlFormatter(nowrap=True)) if language == "python" else html.escape(code)


# HTML in Markdown is kept: all of it belongs to this project.
_RENDERER = MarkdownIt("commonmark", {"html": True, "highlight": _coloured}).enable("table")
