"""The API of `convcore explore`: its numbers, and what it refuses."""

import base64
import io
import json
import logging
import queue
from logging.handlers import QueueHandler

import numpy as np
import pytest
import torch
from PIL import Image

from convcore.data import PICTURES, picture
from convcore.explore import app as explore_app
from convcore.explore import networks
from convcore.explore.pages import PAGES
from convcore.inspect import FILTERS
from convcore.models.pretrained.weights import locate

DRAW = np.random.default_rng(0)
PIXELS = DRAW.integers(0, 256, (12, 15), dtype=np.uint8)


def packed(pixels):
    return {"height": len(pixels), "width": len(pixels[0]), "pixels": base64.b64encode(pixels.tobytes()).decode()}


def unpacked(given):
    values = np.frombuffer(base64.b64decode(given["values"]), "<f4").reshape(given["height"], given["width"])
    assert (given["lowest"], given["highest"]) == (values.min(), values.max())
    return values


REQUEST = {
    "picture": packed(PIXELS), "kernel": [[1, 0, -1], [2, 0.5, -2], [1, 0, -1]], "stride": 1, "padding": "valid",
    "dilation": 1, "relu": True, "pool": 2,
}  # fmt: skip


@pytest.mark.parametrize("settings", [{}, {"padding": "same"}, {"padding": 3, "stride": 2, "dilation": 2, "pool": 3}])
def test_a_convolution_with_what_follows(client, settings):
    request = {**REQUEST, **settings}
    status, answer = client.post("convolve", request)
    assert status == 200, answer
    x, weight = torch.tensor(PIXELS / 255.0)[None, None], torch.tensor(request["kernel"]).double()[None, None]
    rule = {name: request[name] for name in ("stride", "padding", "dilation")}
    expected = torch.nn.functional.conv2d(x, weight, **rule)
    rectified = expected.relu()
    wanted = {
        "response": expected,
        "rectified": rectified,
        "max": torch.nn.functional.max_pool2d(rectified, request["pool"]),
        "average": torch.nn.functional.avg_pool2d(rectified, request["pool"]),
    }
    for name, values in wanted.items():
        np.testing.assert_allclose(unpacked(answer[name]), values[0, 0].numpy(), rtol=0, atol=2e-6, err_msg=name)
    height, width = expected.shape[2:]
    assert answer["height"].endswith(f"= {height}")
    assert answer["width"].endswith(f"= {width}")
    assert answer["multiplications"] == height * width * 9


def test_without_relu_and_with_a_pool_larger_than_the_map(client):
    _, answer = client.post("convolve", {**REQUEST, "picture": packed(PIXELS[:5]), "relu": False, "pool": 8})
    response = unpacked(answer["response"])
    assert answer["rectified"] == answer["response"]
    assert answer["pool"] == 3
    assert unpacked(answer["max"]).tolist() == [[block.max() for block in np.split(response[:, :12], 4, 1)]]


def test_a_window_adds_up_to_the_response(client):
    request = {**REQUEST, "stride": 2, "padding": 1}
    response = unpacked(client.post("convolve", request)[1]["response"])
    _, found = client.post("window", {**request, "of": "response", "row": 0, "column": 3})
    assert found["total"] == pytest.approx(response[0, 3], abs=2e-6)
    assert (found["rows"], found["columns"]) == ([-1, 0, 1], [5, 6, 7])
    assert found["patch"][0] == [0, 0, 0]
    assert np.allclose(np.array(found["patch"][1:]) * 255, PIXELS[:2, 5:8])
    assert np.sum(found["products"]) == pytest.approx(found["total"])
    _, nearest = client.post("window", {**request, "of": "input", "row": 0, "column": 6})
    assert nearest == found


def changed(**fields):
    return {**REQUEST, **fields}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"no json", "the request must be a JSON object"),
        (b"[1]", "the request must be a JSON object"),
        (b"[" * 100_000, "the request must be a JSON object"),
        (json.dumps(changed(kernel=[[float("nan")]])).encode(), "NaN is not a number that can be computed with"),
        (changed(kernel=[["abc"]]), "row 1, column 1 must be a number up to a million, got 'abc'"),
        (changed(kernel=[[1, 2], [3, None]]), "row 2, column 2 must be a number up to a million, got nothing"),
        (changed(kernel=[[1e30]]), "row 1, column 1 must be a number up to a million, got 1e+30"),
        (changed(kernel=[[1, 2], [3]]), "the filter must be a square grid of 1x1 to 7x7 numbers"),
        (changed(kernel=[[0] * 8] * 8), "the filter must be a square grid of 1x1 to 7x7 numbers"),
        (changed(stride=0), "stride must be a whole number from 1 to 8, got 0"),
        (changed(stride=1.5), "stride must be a whole number from 1 to 8, got 1.5"),
        (changed(dilation="x" * 99), "dilation must be a whole number from 1 to 8, got 'xxxx"),
        (changed(padding=10**9), "padding must be a whole number from 0 to 16, got 1000000000"),
        (changed(padding="same", stride=2), "conv2d: padding='same' needs stride 1"),
        (changed(dilation=8), "kernel"),
        (changed(picture=1), "the picture must be an object with height, width and pixels"),
        (changed(picture={**packed(PIXELS), "height": 11}), "a picture of 11x15 has 165 pixels, got 180"),
        (changed(picture={**packed(PIXELS), "height": 10**6}), "height must be a whole number from 1 to 256"),
        (changed(picture={**packed(PIXELS), "pixels": "%%"}), "the picture's pixels must be bytes in base64"),
        ({name: REQUEST[name] for name in REQUEST if name != "pool"}, "pool is missing from the request"),
    ],
)  # fmt: skip
def test_wrong_requests_are_explained(client, body, message):
    status, answer = client.post("convolve", body)
    assert status == 400
    assert message in answer["error"]
    assert "\n" not in answer["error"]


LOOK = {"network": "digit_cnn", "picture": packed(PIXELS), "layer": "features.8", "target": None}


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("network", {"network": "vgg16"}, "network must be one of digit_cnn, efficientnet_lite0, got 'vgg16'"),
        ("look", {"layer": ["features.8"]}, "layer must be one of features.0, features.1"),
        ("look", {"picture": {**packed(PIXELS), "channels": 3}}, "a picture of 12x15 has 180 pixels, got 60"),
        ("explain", {"target": 10}, "target must be a whole number from 0 to 9, got 10"),
        ("unit", {"channel": 32, "row": 0, "column": 0}, "channel must be a whole number from 0 to 31, got 32"),
        ("unit", {"channel": 0, "row": 7, "column": 0}, "the maps of features.8 have rows 0 to 6"),
    ],
)
def test_wrong_looks_into_a_network_are_explained(client, name, fields, message):
    status, answer = client.post(name, {**LOOK, **fields})
    assert status == 400
    assert message in answer["error"]
    assert client.post("look", LOOK)[0] == 200


def test_without_the_package_of_weights_there_is_the_network_for_digits(client, monkeypatch):
    monkeypatch.setattr(networks, "locate", lambda known: locate(known) if "digit" in known.file else None)
    assert [entry["name"] for entry in client.get("/api/choices")["networks"]] == ["digit_cnn"]
    status, answer = client.post("network", {"network": "efficientnet_lite0"})
    assert (status, answer["error"]) == (400, "network must be one of digit_cnn, got 'efficientnet_lite0'")


def test_pictures_in_colour(client):
    cat = client.get("/api/pictures/cat?kind=colour")
    assert (cat["height"], cat["width"], cat["channels"]) == (256, 256, 3)
    assert base64.b64decode(cat["pixels"]) == np.asarray(picture("cat")).tobytes()
    request = {"network": "efficientnet_lite0", "layer": "features.8.2", "picture": cat}
    seen = client.post("look", request)[1]
    assert (seen["maps"]["count"], seen["channels"]) == (64, 1280)
    given = np.frombuffer(base64.b64decode(seen["input"]["pixels"]), np.uint8).reshape(224, 224, 3)
    assert np.abs(given.astype(int) - np.asarray(picture("cat"))[16:240, 16:240]).max() <= 1
    assert client.request("GET", "/api/pictures/cat?kind=infrared")[0] == 400
    status, answer = client.post("convolve", {**REQUEST, "picture": cat})
    assert (status, answer["error"]) == (400, "the picture must be grey")
    red = file_of(Image.new("RGB", (30, 20), "red"))
    status, _, answer = client.request("POST", "/api/upload?kind=colour", red)
    assert status == 200
    assert set(base64.b64decode(json.loads(answer)["pixels"])[:3]) == {255, 0}


def test_a_window_elsewhere_is_refused(client):
    assert client.post("window", {**REQUEST, "of": "response", "row": 99, "column": 0})[0] == 400
    status, answer = client.post("window", {**REQUEST, "of": "thin air", "row": 0, "column": 0})
    assert (status, answer["error"]) == (400, "of must be one of response, input, got 'thin air'")


def file_of(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_an_upload_becomes_a_small_grey_picture(client):
    turned = Image.Exif()
    turned[0x0112] = 6  # a camera held upright
    photograph = Image.new("RGB", (200, 100), "white")
    photograph.paste("black", (0, 0, 100, 100))
    status, answer = client.post("upload", file_of(photograph, "JPEG", exif=turned))
    assert status == 200, answer
    pixels = np.frombuffer(base64.b64decode(answer["pixels"]), np.uint8).reshape(answer["height"], answer["width"])
    assert pixels.shape == (96, 48)
    assert pixels[:40].max() < 10
    assert pixels[-40:].min() > 245


@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_an_upload_of_any_kind_is_seen_as_people_see_it(client, kind):
    drawn = np.full((64, 64), 255, np.uint8)
    drawn[20:40, 10:30] = 0
    ink = np.zeros((64, 64, 4), np.uint8)
    ink[..., 3] = 255 - drawn  # black on nothing
    files = [
        file_of(Image.fromarray(drawn)),
        file_of(Image.fromarray(drawn.astype(np.uint16) * 257)),
        file_of(Image.fromarray(ink)),
        file_of(Image.fromarray(drawn), "TIFF"),
        file_of(Image.fromarray((drawn / 255).astype(np.float32)), "TIFF"),
    ]
    answers = [client.request("POST", f"/api/upload?kind={kind}", data) for data in files]
    assert [status for status, _, _ in answers] == [200] * 5
    pixels = [json.loads(answer)["pixels"] for _, _, answer in answers]
    assert len(set(base64.b64decode(pixels[0]))) > 1
    assert pixels[1:] == pixels[:1] * 4


@pytest.mark.parametrize("block", [b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0none"])
def test_an_upload_with_a_damaged_exif_block_is_shown(client, block):
    photograph = Image.effect_noise((20, 10), 50)
    status, answer = client.post("upload", file_of(photograph, "JPEG", exif=block))
    assert (status, answer) == client.post("upload", file_of(photograph, "JPEG"))
    assert status == 200


@pytest.mark.parametrize(
    ("data", "status", "message"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", 400, "as one of JPEG, PNG, PPM, BMP"),
        (file_of(Image.fromarray(np.arange(9, dtype=np.int32)[None]), "TIFF"), 400, "the file: the picture has 32-bit"),
        (b"no picture\n" * 100, 400, "the file: not a picture that can be read"),
        (b"", 400, "the file is empty"),
        (file_of(Image.effect_noise((99, 99), 9))[:2000], 400, "the file: not a picture that can be read"),
        (file_of(Image.new("1", (7000, 7000))), 400, "7000x7000 pixels, more than 40,000,000; make it smaller"),
        (file_of(Image.new("1", (10_000, 10_000))), 400, "has more than 89,478,485 pixels, which"),
        (bytes(17 * 2**20), 413, "at most 16 MB can be sent, got 17.0 MB"),
    ],
    ids=["PostScript", "32 bits", "text", "empty", "cut short", "49 megapixels", "100 megapixels", "17 MB"],
)
def test_what_is_no_picture_is_explained(client, data, status, message):
    got, answer = client.post("upload", data)
    assert got == status
    assert message in answer["error"]
    assert client.post("convolve", REQUEST)[0] == 200, "the server goes on"


def test_large_requests_are_refused(client):
    assert client.post("convolve", b" " * (2**20 + 1))[0] == 413


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1:1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/convolve", "/static/app.js"])
def test_what_foreign_pages_could_send_is_refused(client, headers, path):
    method, body = ("POST", json.dumps(REQUEST)) if path.startswith("/api") else ("GET", None)
    status, _, answer = client.request(method, path, body, **headers)
    assert status == 403, answer


def test_its_own_pages_may_ask(client):
    for host in (f"127.0.0.1:{client.port}", f"localhost:{client.port}"):
        own = {"Host": host, "Origin": f"http://{host}"}
        assert client.request("POST", "/api/convolve", json.dumps(REQUEST), **own)[0] == 200


def test_every_answer_forbids_foreign_content(client):
    for path in ("/", "/static/app.js", "/api/choices", "/nothing"):
        headers = client.request("GET", path)[1]
        assert headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_pages_refer_to_nothing_elsewhere(client):
    for page in PAGES:
        status, headers, data = client.request("GET", page.path)
        assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert b"//" not in data
        assert b"style=" not in data
        assert f'<a href="{page.path}" aria-current=page>{page.title}</a>'.encode() in data


def test_the_choices_can_all_be_had(client):
    offered = client.get("/api/choices")
    assert [entry["name"] for entry in offered["pictures"]] == list(PICTURES)
    assert [entry["name"] for entry in offered["filters"]] == list(FILTERS)
    assert [entry["name"] for entry in offered["networks"]] == ["digit_cnn", "efficientnet_lite0"]
    for number, entry in enumerate(offered["digits"]):
        data = client.request("GET", f"/pictures/{entry['name']}.png")[2]
        assert Image.open(io.BytesIO(data)).size == (28, 28)
        _, seen = client.post("look", {**LOOK, "picture": client.get(f"/api/pictures/{entry['name']}")})
        assert seen["best"] == number
    for entry in offered["filters"]:
        np.testing.assert_allclose(entry["kernel"], FILTERS[entry["name"]].kernel, atol=1e-3)
        assert client.post("convolve", {**REQUEST, "kernel": entry["kernel"]})[0] == 200
    for name in PICTURES:
        small = client.get(f"/api/pictures/{name}")
        assert max(small["height"], small["width"]) == min(96, picture(name).width)
        status, headers, data = client.request("GET", f"/pictures/{name}.png")
        assert (status, headers["Content-Type"]) == (200, "image/png")
        with Image.open(io.BytesIO(data)) as image:
            assert np.array_equal(np.asarray(image), np.asarray(picture(name)))


def test_what_is_not_there(client):
    for method, path in (
        ("GET", "/nothing"),
        ("POST", "/api/nothing"),
        ("GET", "/static/../app.py"),
        ("GET", "/static/%2e%2e/app.py"),
    ):
        status, _, data = client.request(method, path, "{}")
        assert status == 404
        assert json.loads(data)["error"]
    assert client.request("GET", "/pictures/nobody.png")[0] == 400
    assert client.request("GET", "/api/convolve")[0] == 405


def test_a_failure_of_the_engine_is_said_and_logged(client, monkeypatch):
    def fail(body):
        raise ZeroDivisionError("a secret")

    monkeypatch.setitem(explore_app.CALCULATIONS, "convolve", fail)
    logger, records = logging.getLogger("uvicorn.error"), queue.Queue()
    handler = QueueHandler(records)
    logger.addHandler(handler)
    try:
        status, answer = client.post("convolve", REQUEST)
        assert (status, answer["error"]) == (500, "the engine failed: ZeroDivisionError; the terminal says more")
        assert "a secret" in records.get(timeout=300).getMessage()
    finally:
        logger.removeHandler(handler)
