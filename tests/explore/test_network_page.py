"""Inside a network, in a browser: chances while drawing, feature maps, fields, saliency and Grad-CAM."""

import re

import numpy as np
import pytest
from browsing import shown, until
from looking import look_over

import convcore as cc
from convcore import models
from convcore.data import digits
from convcore.inspect import feature_maps, grad_cam, saliency


def chances(page):
    return [float(text.rstrip(" %")) for text in page.locator(".chance").all_inner_texts()]


def opened(open_page, **window):
    page = open_page("/network", **window)
    page.locator(".unit-text b", has_text=re.compile(r"\d")).wait_for()
    until(page, lambda: page.locator(".target").inner_text() != "")
    return page


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_how_it_looks(open_page, keep, scheme, width):
    page = opened(open_page, width=width, height=844, scheme=scheme)
    page.get_by_label("channel 3", exact=True).click()
    page.get_by_text("Channel 3 at row 14, column 14 is").wait_for()
    look_over(page)
    keep(page, f"network-{scheme}-{width}")


def test_what_is_shown_is_what_the_engine_computes(open_page):
    page = opened(open_page)
    images, labels = digits("test").tensors
    three = images[int(np.flatnonzero(labels.numpy() == 3)[0])].numpy()
    page.locator("select.layer").select_option("features.10")
    page.get_by_text(re.compile("^32 channels of 7 . 7. A unit sees 20 . 20 pixels .* lies 4 further")).wait_for()
    until(page, lambda: shown(page, "channel").shape == (7, 7))
    model = models.digit_cnn(weights="DIGITS")
    x = shown(page, "input")[None, None].astype(np.float32)
    assert np.abs(x[0] - three).mean() < 0.1
    x = cc.tensor(x)
    page.get_by_label("channel 9", exact=True).click()
    page.get_by_text("Channel 9 at row 3, column 3 is").wait_for()
    np.testing.assert_allclose(shown(page, "channel"), feature_maps(model, x)["features.10"][9], atol=1e-4)
    page.locator("map-view.channel .frame").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    page.get_by_text("It sees the rows 0 to 19 and the columns 0 to 19 of the picture").wait_for()
    frame = page.locator("map-view.input rect.window")
    assert [frame.get_attribute(name) for name in ("x", "y", "width", "height")] == ["0", "0", "20", "20"]
    assert page.locator(".slices canvas").count() == 16
    page.locator(".chances button").nth(8).click()
    page.locator(".target", has_text="8").wait_for()
    until(page, lambda: np.allclose(shown(page, "saliency"), saliency(model, x, 8).values, atol=1e-3))
    strongest = grad_cam(model, x, "features.10", 8).values.max()
    assert 0 < shown(page, "cam").max() <= strongest * 1.001


def test_chances_follow_the_drawing(open_page, keep):
    page = opened(open_page)
    page.get_by_label("Draw", exact=True).check()
    until(page, lambda: shown(page, "input").max() == 0)
    page.locator(".pad canvas").scroll_into_view_if_needed()
    box = page.locator(".pad canvas").bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.15 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.85 * box["height"], steps=6)
    page.mouse.up()
    until(page, lambda: chances(page)[1] > 90)
    assert sum(chances(page)) == pytest.approx(100, abs=0.6)
    assert page.locator(".chances .best .label").inner_text() == page.locator(".verdict").inner_text() == "1"
    keep(page, "network-drawing")
    page.get_by_role("button", name="Clear").click()
    until(page, lambda: shown(page, "input").max() == 0)


def test_a_network_for_photographs(open_page, keep):
    page = opened(open_page)
    page.locator("select.network").select_option("efficientnet_lite0")
    page.locator(".chances .label", has_text="Egyptian cat").wait_for()
    page.locator(".target", has_text="Egyptian cat").wait_for()
    page.locator("select.layer").select_option("features.0.0")
    page.get_by_text(re.compile("one grid of 3 . 3 weights for each of 3 input channels")).wait_for()
    until(page, lambda: shown(page, "cam").shape == (224, 224))
    keep(page, "network-photograph")
