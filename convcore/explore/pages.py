"""The pages: each is an HTML fragment in `pages/`, inserted into a common layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import Template

FOLDER = Path(__file__).with_name("pages")


@dataclass(frozen=True)
class Page:
    """A page of the app.

    Attributes:
        path: the path of the page on the server.
        title: shown in the navigation and in the window title.
        fragment: the name of the file in `pages/`.
    """

    path: str
    title: str
    fragment: str


PAGES = (
    Page("/", "Filters", "playground.html"),
    Page("/network", "Inside a network", "network.html"),
    Page("/algorithms", "Algorithms", "algorithms.html"),
    Page("/training", "Training", "training.html"),
)
LESSONS = "/lessons"
NAVIGATION = (*((page.path, page.title) for page in PAGES), (LESSONS, "Lessons"))


def page_html(path: str, title: str, content: str) -> str:
    """A complete page around an HTML fragment; the navigation marks `path`."""
    links = "".join(f'<a href="{to}"{" aria-current=page" if to == path else ""}>{name}</a>' for to, name in NAVIGATION)
    layout = Template((FOLDER / "layout.html").read_text(encoding="utf-8"))
    return layout.substitute(title=title, links=links, content=content)


def page(entry: Page) -> str:
    """One of `PAGES` as HTML."""
    return page_html(entry.path, entry.title, (FOLDER / entry.fragment).read_text(encoding="utf-8"))
