"""A published file means by its path what it means by its name, whatever the user calls it."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convcore as cc
from convcore import io, models, nn
from convcore.errors import CheckpointError, UnsupportedError
from convcore.models.pretrained.card import ModelCard, load_classifier
from convcore.models.pretrained.weights import TABLES, find_weights, locate, published

MEMBERS = [member for table in TABLES.values() for member in table]
LITE0 = models.EfficientNet_Lite0_Weights.DEFAULT.value


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder of weights, and none of torch's."""
    monkeypatch.setenv("CONVCORE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


@pytest.fixture
def lite0(tmp_path):
    """The real file of a package, under another name."""
    source = locate(LITE0)
    assert source is not None
    return Path(shutil.copy(source, tmp_path / "mine.pth"))


def same(first, second):
    states = first.state_dict(), second.state_dict()
    assert states[0].keys() == states[1].keys()
    return all(np.array_equal(states[0][key].numpy(), states[1][key].numpy()) for key in states[0])


@pytest.mark.parametrize("member", MEMBERS, ids=str)
def test_every_file_is_known_by_its_name(tmp_path, member):
    path = tmp_path / member.value.file
    path.write_bytes(b"some weights")
    model = next(name for name, table in TABLES.items() if isinstance(member, table))
    for weights in (path, str(path)):
        assert find_weights(model, weights).known is member.value
    other = "alexnet" if model != "alexnet" else "vgg11"
    with pytest.raises(CheckpointError, match=rf"{other}: weights: .*/{path.name} is {path.name}, weights of {model}$"):
        find_weights(other, path)


def test_a_renamed_file_is_known_by_its_content(tmp_path, lite0):
    assert published(lite0) is models.EfficientNet_Lite0_Weights.IMAGENET1K_V1
    digits = locate(models.Digit_CNN_Weights.DIGITS.value)
    assert digits is not None
    assert published(Path(shutil.copy(digits, tmp_path / "a"))) is models.Digit_CNN_Weights.DIGITS
    named_like_another = Path(shutil.copy(lite0, tmp_path / "resnet18-f37072fd.pth"))
    assert published(named_like_another) is models.EfficientNet_Lite0_Weights.IMAGENET1K_V1
    (tmp_path / "a").write_bytes(b"changed")
    assert published(tmp_path / "a") is None


def test_networks_are_equal_by_path_and_by_name(lite0):
    expected = models.efficientnet_lite0(weights="imagenet")
    assert same(models.efficientnet_lite0(weights=lite0), expected)
    for model in (None, "efficientnet-lite0"):
        network, card = load_classifier("classify", model, str(lite0))
        assert same(network, expected)
        assert card.transforms == LITE0.transforms()
    with pytest.raises(CheckpointError, match=r"resnet18: weights: .*mine\.pth is efficientnet-lite0-57934424\.pth"):
        models.resnet18(weights=lite0)


def test_the_model_is_made_as_the_file_wants_it(tmp_path, folder):
    io.save_file(models.googlenet().state_dict(), tmp_path / "googlenet-1378be20.pth")
    by_path = models.googlenet(weights=tmp_path / "googlenet-1378be20.pth")
    assert (by_path.transform_input, by_path.aux1) == (True, None)
    network, _ = load_classifier("classify", None, str(tmp_path / "googlenet-1378be20.pth"))
    assert network.transform_input
    whole = models.googlenet(weights=tmp_path / "googlenet-1378be20.pth", aux_logits=True)
    assert whole.aux1 is not None


def test_old_keys_of_any_file(tmp_path):
    dense = models.densenet121(num_classes=3)
    state = {re.sub(r"(norm|conv)([12])\.", r"\1.\2.", key): value for key, value in dense.state_dict().items()}
    io.save_file(state, tmp_path / "densenet121-a639ec97.pth")
    with pytest.raises(CheckpointError, match=r"classifier\.weight is \(3, 1024\) in the file, \(1000, 1024\) in the"):
        models.densenet121(weights=tmp_path / "densenet121-a639ec97.pth")
    io.save_file(state, tmp_path / "mine")
    assert same(models.densenet121(weights=tmp_path / "mine", num_classes=3), dense)


@pytest.mark.parametrize(
    ("name", "preparation"),
    [
        ("mobilenet_v2-b0353104.pth", (224, 256)),
        ("mobilenet_v2-7ebf99e0.pth", (224, 232)),
        ("mine.pth", (224, 232)),
        ("mine", (224, 232)),
    ],
)
def test_pictures_are_prepared_as_the_file_wants_it(tmp_path, name, preparation):
    io.save_file(models.mobilenet_v2().state_dict(), tmp_path / name)
    _, card = load_classifier("classify", "mobilenet_v2", str(tmp_path / name))
    transforms: Any = card.transforms
    assert (transforms.crop_size, transforms.resize_size) == preparation


def test_a_file_of_other_classes_says_how_many(tmp_path):
    for model, save in (("resnet18", cc.save), ("squeezenet1_1", io.save_file), ("mobilenet_v1", cc.save)):
        six = models.get_model(model, num_classes=6)
        save({f"module.{key}": value for key, value in six.state_dict().items()}, tmp_path / "six.pth")
        network, card = load_classifier("classify", model, str(tmp_path / "six.pth"))
        assert same(network, six)
        assert card.classes == ()


def test_a_file_that_does_not_fit_is_named_with_a_key(tmp_path):
    cc.save(models.resnet18(num_classes=6).state_dict(), tmp_path / "w.pth")
    for model, message in (
        ("resnet34", r"resnet34: the weights in .*w\.pth do not fit: missing layer1\.2\.conv1\.weight, and \d+ more"),
        (
            "vgg11",
            r"vgg11: the weights in .*w\.pth do not fit: none of its keys \('conv1\.weight', \.\.\) is one of vgg11",
        ),
    ):
        with pytest.raises(CheckpointError, match=message) as caught:
            load_classifier("classify", model, str(tmp_path / "w.pth"))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "no weights found; the checkpoint has the keys (none), and the weights were looked for"),
        (
            {"epoch": 3, "best": {"fc.weight": cc.ones(2)}},
            "no weights found; the checkpoint has the keys 'epoch', 'best'",
        ),
        ([cc.ones(2)], "a dictionary of tensors is wanted, got list"),
        (cc.ones(2), "a dictionary of tensors is wanted, got Tensor"),
    ],
)
def test_a_file_without_weights_is_named(tmp_path, content, message):
    cc.save(content, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=rf"resnet18: {tmp_path / 'w.pth'}: {re.escape(message)}") as caught:
        models.resnet18(weights=tmp_path / "w.pth")
    assert "key=" not in str(caught.value)  # which a command does not have


def test_names_with_a_prefix_of_the_users(tmp_path):
    network = models.squeezenet1_1()
    cc.save({f"backbone.{key}": value for key, value in network.state_dict().items()}, tmp_path / "w.pth")
    assert same(models.squeezenet1_1(weights=tmp_path / "w.pth"), network)


def test_names_with_a_part_in_a_data_parallel(tmp_path):
    """As PyTorch's own example of ImageNet wraps the features of AlexNet and VGG."""
    network = models.squeezenet1_1()
    cc.save(
        {key.replace("features.", "features.module."): v for key, v in network.state_dict().items()}, tmp_path / "w"
    )
    assert same(models.squeezenet1_1(weights=tmp_path / "w"), network)


def lite_keys(network):
    """The author's names of the network's entries, in their order."""
    parts, block = [], -1
    places = ("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2")
    for module_name, module in network.named_modules():
        if type(module).__name__.endswith("MBConv"):
            block += 1
            layers = [m for m in module.modules() if isinstance(m, (nn.Conv2d, nn.BatchNorm2d))]
            parts += [f"_blocks.{block}.{place}" for place in places[-len(layers) :]]
        elif isinstance(module, (nn.Conv2d, nn.BatchNorm2d, nn.Linear)) and ".block." not in module_name:
            ends = {"features.0.0": "_conv_stem", "features.0.1": "_bn0", "features.8.0": "_conv_head"}
            parts.append({**ends, "features.8.1": "_bn1", "classifier.1": "_fc"}[module_name])
    suffixes = [key.rpartition(".")[2] for key in network.state_dict()]
    keys, at = [], -1
    for suffix in suffixes:
        at += suffix == "weight"
        keys.append(f"{parts[at]}.{suffix}")
    return keys


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_keys_of_lite(folder, number):
    network = models.get_model(f"efficientnet_lite{number}")
    state = network.state_dict()
    keys = lite_keys(network)
    assert keys[0] == "_conv_stem.weight"
    assert f"_blocks.{[15, 20, 20][number]}._bn2.bias" in keys
    known = TABLES[f"efficientnet_lite{number}"]["DEFAULT"].value
    io.save_file(dict(zip(keys, state.values(), strict=True)), folder / known.file)
    assert same(models.get_model(f"efficientnet_lite{number}", weights="imagenet"), network)
    assert known.transforms().crop_size == models.image_shape(f"efficientnet_lite{number}")[1]
    assert known.transforms().resize_size == known.transforms().crop_size + 32
    own = models.get_model(f"efficientnet_lite{number}", weights=folder / known.file).state_dict()
    io.save_file(own, folder / "saved again")
    assert same(models.get_model(f"efficientnet_lite{number}", weights=folder / "saved again"), network)


@pytest.mark.parametrize("name", ["best.st", "MODEL.SAFETENSORS", "best", "best.pth", "a.b.SafeTensors"])
def test_the_card_is_found_whatever_the_file_is_called(tmp_path, name):
    card = ModelCard("mobilenet_v2", ("cat", "dog"), LITE0.transforms())
    io.save_file(models.mobilenet_v2(num_classes=2).state_dict(), tmp_path / name, card.metadata())
    network, found = load_classifier("classify", None, str(tmp_path / name))
    assert found == card
    assert network.classifier[1].out_features == 2
    with pytest.raises(UnsupportedError, match="holds weights of mobilenet_v2, not of resnet18"):
        load_classifier("classify", "resnet18", str(tmp_path / name))


@pytest.mark.parametrize(
    "change",
    [
        {"model": "nothing"}, {"classes": [1, 2]}, {"classes": 3}, {"arguments": {"image_size": 10**6}},
        {"arguments": {"norm_layer": "x"}}, {"transforms": {"crop_size": 10**9}}, {"transforms": {"resize_size": -1}},
        {"transforms": {"mean": [0.5]}}, {"transforms": {"interpolation": "x"}}, {"transforms": {"more": 1}},
        {"transforms": {"crop_size": True}}, {"transforms": 3},
    ],
)  # fmt: skip
def test_a_card_that_is_damaged_or_asks_for_more(tmp_path, change):
    card = {"model": "mobilenet_v2", "classes": ["a", "b"], "transforms": {"crop_size": 224}}
    path = tmp_path / "w"
    io.save_file({"x": cc.ones(1)}, path, {"convcore": json.dumps({**card, **change})})
    with pytest.raises(CheckpointError, match=r"/w: what the file says about its model is damaged") as caught:
        load_classifier("classify", None, str(path))
    assert "\n" not in str(caught.value)


def test_a_card_keeps_the_models_arguments(tmp_path):
    arguments = models.GoogLeNet_Weights.DEFAULT.value.arguments
    card = ModelCard("googlenet", ("cat", "dog"), LITE0.transforms(), arguments)
    network = models.googlenet(num_classes=2, aux_logits=False)
    io.save_file(network.state_dict(), tmp_path / "w", card.metadata())
    loaded, found = load_classifier("classify", None, str(tmp_path / "w"))
    assert found == card
    assert loaded.transform_input
