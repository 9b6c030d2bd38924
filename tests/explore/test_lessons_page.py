"""Lessons and source files in the browser: the newcomer's path from the first page to the code."""

import re
from urllib.parse import urljoin

import pytest
from browsing import until
from looking import look_over

from convcore.lessons import LESSONS


def test_from_the_first_page_to_a_lesson_to_its_source(open_page, keep):
    page = open_page()
    page.wait_for_load_state("networkidle")  # a page that is left while it loads reports failed requests
    page.get_by_role("link", name="Lessons", exact=True).click()
    page.get_by_role("link", name=LESSONS[0].title).click()
    playground = page.locator("filter-playground")
    playground.locator("map-view.response .size", has_text=re.compile("^94 . 94$")).wait_for()
    assert page.get_by_text("Try it.").count() == 0, "the widget stands in the place of its fallback"
    picture = page.get_by_role("img", name=re.compile("^A cat; blurred"))
    until(page, lambda: picture.evaluate("image => image.naturalWidth") > 500)
    page.wait_for_load_state("networkidle")
    keep(page, "lesson-convolution")
    page.get_by_role("link", name="convcore/inspect/window.py").click()
    page.get_by_text("One output of a convolution, taken apart").wait_for()
    assert page.locator(".highlighttable .nf", has_text="window").count() >= 1
    keep(page, "source")
    page.locator(".trail").get_by_role("link", name="convcore").click()
    page.get_by_role("link", name="ops/").click()
    page.get_by_role("link", name="conv/", exact=True).click()
    page.get_by_role("link", name="geometry.py", exact=True).click()
    page.get_by_text("The geometry of a convolution").wait_for()


@pytest.mark.parametrize(("scheme", "width"), [("dark", 1280), ("light", 390)])
def test_how_a_lesson_looks(open_page, keep, scheme, width):
    page = open_page(f"/read/convcore/lessons/{LESSONS[8].name}.md", width=width, scheme=scheme)
    until(page, lambda: page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth)"))
    page.locator(".widget .filters canvas").first.wait_for()
    look_over(page)
    keep(page, f"lesson-{scheme}-{width}")


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (4, "network-explorer .answer"),
        (5, "algorithm-steps table"),
        (6, "algorithm-times"),
        (7, "algorithm-steps table"),
        (9, "live-training button"),
    ],
)
def test_widgets_come_alive(open_page, keep, number, shown):
    page = open_page(f"/read/convcore/lessons/{LESSONS[number - 1].name}.md")
    page.locator(f".widget {shown}").first.wait_for()
    page.wait_for_load_state("networkidle")
    keep(page, f"lesson-{number:02}")


def served(client, path):
    status, headers, data = client.request("GET", path)
    return status, headers.get("content-type", ""), data.decode(errors="replace")


def test_every_link_of_every_lesson_is_served(client):
    status, _, _ = served(client, "/lessons")
    assert status == 307
    seen, waiting = set(), ["/read/convcore/lessons/README.md", "/read/kernels/README.md"]
    while waiting:
        path = waiting.pop()
        seen.add(path)
        status, kind, text = served(client, path)
        assert status == 200, path
        if kind.startswith("text/html") and (path.endswith(".md") or path.endswith("/")):
            found = re.findall(r'(?:href|src)="([^"]+)"', text)
            links = {urljoin(path, link).partition("#")[0] for link in found if not link.startswith("https://")}
            waiting += [link for link in links - seen - set(waiting) if link not in ("/", "/lessons")]
    assert {f"/read/convcore/lessons/{lesson.name}.md" for lesson in LESSONS} <= seen
    assert any(path.endswith(".py") for path in seen)


@pytest.mark.parametrize(
    "path",
    ["", "os.py", "convcore/../../pyproject.toml", "convcore/%2e%2e/%2e%2e/README.md", "/etc/passwd",
     "convcore/data/mnist-digits-10k.npz", "convcore/nothing.py", "kernels/__pycache__", "kernels/x.js"],
)  # fmt: skip
def test_nothing_else_can_be_read(client, path):
    assert served(client, f"/read/{path}")[0] == 404


def test_a_folder_lists_what_can_be_read(client):
    status, _, text = served(client, "/read/kernels")
    assert status == 200
    assert re.findall(r">([\w./]+)</a></li>", text)[:2] == ["README.md", "__init__.py"]
    assert "cpu/</a>" in text
    assert "__pycache__" not in text
