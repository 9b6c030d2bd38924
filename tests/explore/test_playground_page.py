"""The filter playground in a browser: clicking, drawing, uploading, pointing, typing."""

import re

import numpy as np
import pytest
from browsing import shown, until
from looking import look_over
from PIL import Image

from convcore.data import picture
from convcore.inspect import FILTERS, window


def output(page, name):
    return page.locator(f"filter-playground output.{name}").inner_text()


def wait_for(page, name, rows, columns):
    """Until a map has this size."""
    page.locator(f"map-view.{name} .size", has_text=re.compile(f"^{rows} . {columns}$")).wait_for()


def cells(page, caption):
    table = page.locator("window-view table", has=page.locator("caption", has_text=re.compile(f"^{caption}$")))
    return [[float(cell) for cell in row.split("\t")] for row in table.locator("tr").all_inner_texts()]


def point_at(page, name, row, column):
    """Move the pointer over a cell of a square map."""
    frame = page.locator(f"map-view.{name} .frame")
    box, rows = frame.bounding_box(), len(shown(page, name))
    frame.hover(position={"x": (column + 0.5) * box["width"] / rows, "y": (row + 0.5) * box["height"] / rows})


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)])
def test_how_it_looks(open_page, keep, scheme, width):
    page = open_page(width=width, height=844, scheme=scheme)
    wait_for(page, "average", 47, 47)
    page.get_by_text("is the response at row 47, column 47").wait_for()
    point_at(page, "response", 40, 20)
    page.get_by_text("is the response at row 40, column 20").wait_for()
    look_over(page)
    with Image.open(keep(page, f"playground-{scheme}-{width}")) as image:
        corner = image.convert("L").getpixel((2, image.height - 2))
    assert (corner > 200) == (scheme == "light")


def test_the_documents_example(open_page):
    """Checkerboard and diagonal cross: 5 0 5 / 0 5 0 / 5 0 5, and the sum behind a pixel."""
    page = open_page()
    page.get_by_label("5x5 fields of 1 and 0").click()
    wait_for(page, "input", 5, 5)
    for number, weight in enumerate([1, 0, 1, 0, 1, 0, 1, 0, 1]):
        page.get_by_label(f"row {number // 3 + 1}, column {number % 3 + 1}", exact=True).fill(str(weight))
    wait_for(page, "response", 3, 3)
    until(page, lambda: shown(page, "response").max() == 5)
    assert shown(page, "response").tolist() == [[5, 0, 5], [0, 5, 0], [5, 0, 5]]
    assert output(page, "height") == "floor((5 + 0 + 0 - 1 * (3 - 1) - 1) / 1) + 1 = 3"
    assert output(page, "multiplications") == "81"
    point_at(page, "response", 1, 1)
    page.get_by_text("is the response at row 1, column 1").wait_for()
    assert cells(page, "patch") == cells(page, "filter") == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert page.locator("window-view output").inner_text() == "5"
    point_at(page, "input", 1, 2)
    page.get_by_text("is the response at row 0, column 1").wait_for()
    assert cells(page, "patch") == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    assert np.all(np.array(cells(page, "products")) == 0)
    assert page.locator("select.name").input_value() == "own"


def test_filters_and_settings_by_keyboard(open_page):
    page = open_page("/")
    wait_for(page, "response", 94, 94)
    page.locator("select.name").select_option("laplacian_of_gaussian")
    wait_for(page, "response", 92, 92)
    page.get_by_label("Stride").fill("2")
    page.get_by_label("Padding").select_option("number")
    page.get_by_label("Zeros").fill("2")
    wait_for(page, "response", 48, 48)
    wait_for(page, "max", 24, 24)
    small = np.asarray(picture("cat").convert("L").resize((96, 96), Image.Resampling.LANCZOS), np.float32) / 255
    page.locator("map-view.response .frame").focus()
    for key in ("ArrowLeft", "Shift+ArrowUp", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    page.get_by_text("is the response at row 15, column 24").wait_for()
    expected = window(small, FILTERS["laplacian_of_gaussian"].kernel, 15, 24, stride=2, padding=2)
    np.testing.assert_allclose(cells(page, "patch"), expected.patch, atol=0.02)
    assert shown(page, "response")[15, 24] == pytest.approx(expected.total, abs=0.2)
    page.get_by_label("ReLU:").uncheck()
    until(page, lambda: shown(page, "rectified").min() < 0)
    page.get_by_label("Window").fill("4")
    wait_for(page, "average", 12, 12)


def test_drawing(open_page, keep):
    page = open_page("/")
    wait_for(page, "response", 94, 94)
    page.get_by_label("Draw", exact=True).check()
    wait_for(page, "response", 30, 30)
    assert np.all(shown(page, "input") == 0)
    box = page.locator(".pad canvas").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 170, box["y"] + 170, steps=5)
    page.mouse.up()
    until(page, lambda: shown(page, "response").max() > 1)
    drawn = shown(page, "input")
    assert drawn[16, 16] > 0.9
    assert drawn[16, 3] == 0
    keep(page, "playground-drawing")
    page.get_by_role("button", name="Clear").click()
    until(page, lambda: shown(page, "response").max() == 0)
    page.locator(".pad canvas").focus()
    for key in ("Space", "ArrowRight", "Space"):
        page.keyboard.press(key)
    until(page, lambda: shown(page, "response").max() > 0)


def test_what_cannot_be_computed_is_said_in_the_page(open_page, keep, tmp_path):
    page = open_page("/")
    wait_for(page, "response", 94, 94)
    message = page.get_by_role("alert")
    page.get_by_label("row 2, column 2", exact=True).fill("NaN")
    message.get_by_text("the filter's row 2, column 2 must be a number up to a million, got 'NaN'").wait_for()
    keep(page, "playground-message")
    page.get_by_label("row 2, column 2", exact=True).fill("-4")
    message.wait_for(state="hidden")
    page.get_by_label("Padding").select_option("same")
    page.get_by_label("Stride").fill("2")
    message.get_by_text("padding='same' needs stride 1").wait_for()
    page.get_by_label("Stride").fill("1")
    message.wait_for(state="hidden")

    page.get_by_label("Upload", exact=True).check()
    files = page.locator("input[type=file]")
    (tmp_path / "text.png").write_text("no picture")
    files.set_input_files(tmp_path / "text.png")
    message.get_by_text("not a picture that can be read").wait_for()
    Image.new("1", (10_000, 10_000)).save(tmp_path / "huge.png")
    files.set_input_files(tmp_path / "huge.png")
    message.get_by_text("has more than 89,478,485 pixels").wait_for()
    message.get_by_role("button").click()
    message.wait_for(state="hidden")
    Image.new("RGB", (640, 320), "white").save(tmp_path / "good.png")
    files.set_input_files(tmp_path / "good.png")
    wait_for(page, "response", 48, 96)
    assert np.all(shown(page, "input") == 1)


def test_waiting_and_failing_are_said(open_page):
    page = open_page("/")
    wait_for(page, "response", 94, 94)
    held = []
    page.route("**/api/convolve", lambda route: held.append(route))
    page.get_by_label("Stride").fill("3")
    page.get_by_role("alert").get_by_text("Computing ..").wait_for()
    held[0].fulfill(status=500, json={"error": "the engine failed: X"})
    page.get_by_role("alert").get_by_text("the engine failed: X").wait_for()
    page.unroute("**/api/convolve")
    page.get_by_label("Stride").fill("2")
    page.get_by_role("alert").wait_for(state="hidden")
    wait_for(page, "response", 47, 47)
