"""What `convcore train` has just written is taken by every command that looks at a network, and by Python."""

import json

import numpy as np
import pytest
from PIL import Image
from test_cli import TINY, run

import convcore as cc
from convcore import models
from convcore.cli import main
from convcore.data import CIFAR10_CLASSES, FASHION_MNIST_CLASSES, TensorDataset, digits, read_image
from convcore.errors import CheckpointError, UnsupportedError
from convcore.explore import network as explored
from convcore.explore import networks
from convcore.inspect import feature_maps
from convcore.models.pretrained.preprocess import DigitImage, ImageClassification
from convcore.training import Settings
from convcore.training.recipe import build, card_of


@pytest.fixture(scope="module")
def digit_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "digits"
    assert main(["train", "--limit", "1200", "--epochs", "3", "--quiet", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def colour_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    records = np.random.default_rng(0).integers(0, 256, (40, 3073), dtype=np.uint8)
    records[:, 0] %= 10
    for name in [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]:
        (folder / name).write_bytes(records.tobytes())
    options = ["--data", f"cifar10:{folder}", "--model", "simple_cnn", *TINY, "--quiet"]
    assert main(["train", *options, "--out", str(folder / "out")]) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def digit_files(tmp_path_factory):
    """Digits of the test part as black ink on white paper, larger and not in the middle; and what they are."""
    folder = tmp_path_factory.mktemp("pictures")
    images, labels = digits("test").tensors
    found = []
    for i in range(12):
        ink = (images.numpy()[i, 0] * 255).astype(np.uint8)
        paper = np.full((90, 70), 255, np.uint8)
        paper[8 : 8 + 56, 6 : 6 + 56] = 255 - np.kron(ink, np.ones((2, 2), np.uint8))
        Image.fromarray(paper).save(folder / f"{i}.png")
        found.append((str(folder / f"{i}.png"), int(labels.numpy()[i])))
    return found


@pytest.mark.parametrize("given", ["weights.safetensors", ""])
def test_classify(capsys, digit_run, digit_files, given):
    code, out, err = run(
        capsys, "classify", *(path for path, _ in digit_files), "--top", 1, "--weights", digit_run / given
    )
    assert (code, err) == (0, "")
    answers = [line.split() for line in out.splitlines()[1::2]]
    assert all(number == label for _, number, label in answers)
    right = sum(int(label) == wanted for (_, _, label), (_, wanted) in zip(answers, digit_files, strict=True))
    assert right >= 9
    code, _, err = run(capsys, "classify", digit_files[0][0], "--weights", digit_run / given, "--model", "digit_cnn")
    assert (code, "holds weights of cnn, not of digit_cnn" in err) == (2, True)


def test_the_network_for_digits_that_comes_along_classifies_too(capsys, digit_files):
    code, out, _ = run(capsys, "classify", *(path for path, _ in digit_files), "--model", "digit_cnn", "--top", 1)
    assert code == 0
    assert [int(line.split()[1]) for line in out.splitlines()[1::2]] == [label for _, label in digit_files]


@pytest.mark.parametrize("what", ["filters", "maps", "gradcam"])
def test_show(capsys, digit_run, colour_run, digit_files, tmp_path, what):
    for model in (digit_run, digit_run / "weights.safetensors", colour_run):
        picture = [] if what == "filters" else [digit_files[0][0]]
        code, _, err = run(capsys, "show", what, model, *picture, "-o", tmp_path / "o.png")
        assert (code, err) == (0, "")
        with Image.open(tmp_path / "o.png") as drawn:
            assert drawn.width > 300
    code, _, err = run(capsys, "show", what, "cnn", *picture, "--weights", digit_run, "-o", tmp_path / "o.png")
    assert (code, err) == (0, "")


def test_summary(capsys, digit_run, colour_run):
    code, out, _ = run(capsys, "summary", digit_run)
    assert (code, "CNN, input 1x1x28x28" in out, "1,630,282" in out) == (0, True, True)
    code, out, _ = run(capsys, "summary", colour_run / "weights.safetensors", "--batch", 3)
    assert (code, "SimpleCNN, input 3x3x32x32" in out) == (0, True)
    code, out, _ = run(capsys, "summary", colour_run, "--input", "3x40x40")
    assert (code, "SimpleCNN, input 1x3x40x40" in out) == (0, True)


def test_features(capsys, digit_run, digit_files, tmp_path):
    paths = [path for path, _ in digit_files]
    code, out, _ = run(capsys, "features", *paths, "--weights", digit_run, "-o", tmp_path / "f.npz", "--quiet")
    assert (code, out) == (0, f"512 features of each of 12 pictures: {tmp_path / 'f.npz'}\n")


def test_finetune(capsys, digit_run, colour_run, tmp_path):
    """The network for colours learns other classes; that for drawings has no colours to see."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(("red", "green")):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(8):
            pixels = rng.integers(60, 120, (40, 40, 3), dtype=np.uint8)
            pixels[..., number] += 100
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{i}.png")
    options = ["--epochs", 2, "--fine-epochs", 1, "--batch-size", 6, "--quiet", "--out", tmp_path / "out"]
    code, _, err = run(capsys, "finetune", tmp_path / "pictures", "--weights", colour_run, *options)
    assert (code, err) == (0, "")
    _, card = models.load(tmp_path / "out")
    assert (card.model, card.classes, card.image_shape) == ("simple_cnn", ("green", "red"), (3, 32, 32))
    options[-1] = tmp_path / "other"
    code, _, err = run(capsys, "finetune", tmp_path / "pictures", "--weights", digit_run, *options)
    assert (code, "this cnn sees grey drawings; take a network for photographs" in err) == (2, True)
    assert not (tmp_path / "other").exists()


@pytest.fixture
def none_offered(monkeypatch):
    monkeypatch.setattr(networks, "OWN", {})
    networks.load.cache_clear()
    yield
    networks.load.cache_clear()


def test_explore(digit_run, colour_run, digit_files, none_offered):
    for given, size, kind in ((digit_run / "weights.safetensors", 28, "grey"), (colour_run, 32, "colour")):
        networks.load.cache_clear()
        networks.offer(str(given))
        first = explored.choices()[0]
        assert (first["name"], first["kind"]) == ("yours", kind)
        assert given.name in first["title"]
        layers = explored.describe({"network": "yours"})["layers"]
        picture = {"height": 2, "width": 2, "pixels": "AP8A/w=="}
        seen = explored.look({"network": "yours", "layer": layers[-1]["name"], "picture": picture})
        assert len(seen["classes"]) == 10
        assert (seen["input"]["height"], seen["input"]["channels"]) == (size, 1 if kind == "grey" else 3)
        why = explored.explain({"network": "yours", "picture": picture, "target": None})
        assert why["cam"]["height"] == size
    assert explored.describe({"network": "yours"})["labels"] == list(CIFAR10_CLASSES)


def test_explore_as_a_command(capsys, digit_run, none_offered, monkeypatch, tmp_path):
    from convcore.explore.server import Server

    monkeypatch.setattr(Server, "run", lambda self: self.socket.close())
    code, _, err = run(capsys, "explore", "--no-browser", "--weights", digit_run)
    assert (code, err) == (0, "")
    assert list(networks.OWN) == ["yours"]
    for weights, message in (
        (tmp_path, "weights.safetensors: there is no such file"),
        (tmp_path / "w.pth", "w.pth: there is no such file"),
    ):
        code, _, err = run(capsys, "explore", "--no-browser", "--weights", weights)
        assert (code, err.count("\n"), message in err) == (2, 1, True)


def test_python(digit_run, digit_files, tmp_path):
    for path in (digit_run, str(digit_run), digit_run / "weights.safetensors"):
        network, card = models.load(path)
        assert (card.model, card.classes, card.transforms) == ("cnn", tuple("0123456789"), DigitImage())
        assert not network.training
    x = cc.stack([card.transforms(read_image(path)) for path, _ in digit_files])
    with cc.no_grad():
        assert (network(x).argmax(1).numpy() == [label for _, label in digit_files]).sum() >= 9
    x = x[:1]
    assert tuple(x.shape[1:]) == card.image_shape
    loaded = models.get_model("cnn", weights=digit_run / "weights.safetensors")
    name, maps = next(iter(feature_maps(network, x).items()))
    np.testing.assert_array_equal(feature_maps(loaded, x)[name], maps)
    with pytest.raises(CheckpointError, match="nowhere: there is no such file"):
        models.load(tmp_path / "nowhere")
    cc.io.save_file(network.state_dict(), tmp_path / "plain.safetensors")
    with pytest.raises(
        UnsupportedError, match=r"plain.safetensors does not say which network .* get_model\(name, weig"
    ):
        models.load(tmp_path / "plain.safetensors")


def images(channels, height, width):
    return TensorDataset(np.zeros((4, channels, height, width), np.float32), np.zeros(4, np.int64))


def test_the_card_of_every_kind_of_data():
    def card(data, *shape):
        found = card_of(Settings(data=data, model="Simple-CNN"), images(*shape))
        assert found is not None
        return found

    assert card("mnist:x", 1, 28, 28) == models.ModelCard("simple_cnn", tuple("0123456789"), DigitImage(28, 20))
    assert card("digits", 1, 56, 56).transforms == DigitImage(56, 40)
    assert card("fashion-mnist:x", 1, 28, 28).transforms == DigitImage(28, 28)
    assert card("fashion-mnist:x", 1, 28, 28).classes == FASHION_MNIST_CLASSES
    assert card("cifar10:x", 3, 32, 32).transforms == ImageClassification(
        32, 32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
    )
    assert card_of(Settings(data="mnist:x"), images(1, 28, 20)) is None
    assert build(Settings(data="cifar10:x", model="squeezenet1_1")).classifier[1].out_channels == 10


def test_a_card_prepares_pictures_of_the_training_as_they_were():
    """MNIST's digits, but for a pixel to the side, and a colour image of CIFAR's size come out as they went in."""
    card = card_of(Settings(), images(1, 28, 28))
    assert card is not None
    for image in digits("test").tensors[0].numpy()[:20, 0]:
        again = card.transforms(Image.fromarray((image * 255).round().astype(np.uint8))).numpy()[0]
        shifted = [np.roll(again, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        assert min(np.abs(one - image).mean() for one in shifted) < 1e-3
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    card = card_of(Settings(data="cifar10:x"), images(3, 32, 32))
    assert card is not None
    np.testing.assert_array_equal(
        card.transforms(Image.fromarray(pixels)).numpy(), pixels.transpose(2, 0, 1).astype(np.float32) / 255
    )


@pytest.mark.parametrize(
    "transforms",
    [{"size": 0, "box": 20}, {"size": 28, "box": 29}, {"size": 28, "box": 20, "x": 1}, {"size": 1e9, "box": 2}],
)
def test_a_card_for_drawings_that_is_damaged(capsys, tmp_path, transforms):
    card = {"model": "cnn", "classes": list("0123456789"), "transforms": transforms}
    path = tmp_path / "weights.safetensors"
    cc.io.save_file(models.get_model("cnn").state_dict(), path, {"convcore": json.dumps(card)})
    with pytest.raises(CheckpointError, match="what the file says about its model is damaged"):
        models.load(path)
