"""Training on from a bundle: what is taken, what starts fresh, and that it is said."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest

from deeplab.bundles.card import Card
from deeplab.bundles.save import save_bundle
from deeplab.bundles.start import LoadedWeights, card_before, start_encoder, start_from
from deeplab.bundles.weights import named_weights
from deeplab.config.channels import USUAL_WINDOW, Channels
from deeplab.config.classes import ClassList
from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.config.hovernet import HoverNetConfig
from deeplab.config.network import NetworkConfig
from deeplab.config.train_request import StartSettings
from deeplab.errors import BundleError
from deeplab.models.registry import family_of
from tests.bundles import torch_for_tests as torch
from tests.bundles.tiny_models import TINY, tiny_card, tiny_network

SAME = ClassList.named(["glomerulus", "vessel"])  # those of the tiny card
LAST = ("image_pooling", "aspp", "decoder", "logits")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "tiny.zip"
    save_bundle(tiny_network(), tiny_card(), path)
    return path


def values(network: keras.Model) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in named_weights(network).items()}


def started(
    bundle: Path,
    names: list[str],
    fresh: tuple[str, ...] = (),
    config: DeepLabV3PlusConfig = TINY,
) -> tuple[LoadedWeights, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What was taken, and the weights before and after."""
    config = dataclasses.replace(config, label_count=len(names) + 1)
    network = tiny_network(config, seed=1)
    before = values(network)
    return (
        start_from(network, config, ClassList.named(names), bundle, fresh=fresh),
        before,
        values(network),
    )


@pytest.mark.parametrize(
    ("settings", "fresh"),
    [
        ({}, LAST),
        ({"last_layers_contain_logits_only": True}, ("logits",)),
        ({"init_last_layer": True}, ()),
        ({"init_last_layer": True, "last_layers_contain_logits_only": True}, ()),
    ],
)
def test_the_last_layers_start_fresh_unless_asked_for(
    bundle: Path, settings: dict[str, bool], fresh: tuple[str, ...]
):
    family = family_of(TINY)
    assert family.fresh_layers(StartSettings(**settings)) == fresh
    taken, before, after = started(bundle, ["glomerulus", "vessel"], fresh)
    old = values(tiny_network())
    for name, value in after.items():
        source = before if name.startswith(fresh) else old
        np.testing.assert_array_equal(value, source[name], err_msg=name)
    assert taken.taken == tuple(name for name in after if not name.startswith(fresh))
    assert (taken.absent, taken.unfit, taken.classes) == ((), (), ())
    assert f"{len(taken.taken)} weights taken from" in taken.summary()
    assert ("fresh as asked: " + ", ".join(fresh) in taken.summary()) == bool(fresh)


def test_a_model_to_start_from_says_which_slides_it_learnt_from_and_an_encoder_does_not(
    tmp_path: Path,
):
    card = tiny_card(training={"slides": "1 2"})
    save_bundle(tiny_network(), card, tmp_path / "told.zip")
    before = card_before(tmp_path / "told.zip")
    assert before is not None
    assert before.slides == ("1", "2")
    np.savez(tmp_path / "encoder.npz", a=np.zeros(3))
    assert card_before(tmp_path / "encoder.npz") is None


def test_every_layer_of_the_network_is_of_the_backbone_or_of_the_last_ones():
    assert {n.startswith(("backbone.", *LAST)) for n in values(tiny_network())} == {True}


@pytest.mark.parametrize(
    ("names", "from_labels", "fresh"),
    [
        (["vessel", "glomerulus"], [0, 2, 1], ()),
        (["vessel"], [0, 2], ()),
        (["glomerulus", "tubule", "vessel"], [0, 1, None, 2], ("tubule",)),
        (["tubule", "nerve"], [0, None, None], ("tubule", "nerve")),
    ],
)
def test_logits_go_to_the_classes_of_the_same_names(
    bundle: Path, names: list[str], from_labels: list[int | None], fresh: tuple[str, ...]
):
    taken, before, after = started(bundle, names)
    old = values(tiny_network())
    for weight in ("logits/kernel", "logits/bias"):
        for label, source in enumerate(from_labels):
            expected = before[weight][..., label] if source is None else old[weight][..., source]
            np.testing.assert_array_equal(after[weight][..., label], expected)
    assert taken.fresh_classes == fresh
    assert taken.classes == ("background", *(n for n in names if n not in fresh))
    assert ("logits fresh of: " + ", ".join(fresh) in taken.summary()) == bool(fresh)


def test_what_does_not_fit_starts_fresh_and_is_named(bundle: Path):
    config = dataclasses.replace(TINY, decoder_filters=12, atrous_rates=(2, 4))
    taken, before, after = started(bundle, ["glomerulus", "vessel"], config=config)
    assert any(text.startswith("decoder.conv_0.pointwise/kernel is (1, 1,") for text in taken.unfit)
    assert "aspp.atrous_2.depthwise/kernel" in taken.absent
    summary = taken.summary()
    assert "fresh because it has none: aspp.atrous_2.depthwise, " in summary
    assert "fresh because it has others: " in summary
    assert "logits/kernel is (1, 1, 8, 3) there and (1, 1, 12, 3) here" in taken.unfit
    old = values(tiny_network())
    np.testing.assert_array_equal(after["aspp.point/kernel"], old["aspp.point/kernel"])
    np.testing.assert_array_equal(
        after["decoder.conv_0.pointwise/kernel"], before["decoder.conv_0.pointwise/kernel"]
    )


def test_a_model_of_another_backbone_is_refused(bundle: Path):
    config = dataclasses.replace(TINY, backbone="resnet_v1_18", depth_multiplier=1.0)
    network = tiny_network(config)
    with pytest.raises(
        BundleError,
        match=r"has the backbone mobilenet_v2, where .* resnet_v1_18; set backbone to mobilenet_v2",
    ):
        start_from(network, config, SAME, bundle, fresh=LAST)


def test_a_model_of_another_width_is_refused_and_changes_nothing(bundle: Path):
    config = dataclasses.replace(TINY, depth_multiplier=0.5)
    network = tiny_network(config)
    before = values(network)
    with pytest.raises(BundleError, match="backbone of another width: backbone.*depth_multiplier"):
        start_from(network, config, SAME, bundle, fresh=LAST)
    for name, value in values(network).items():
        np.testing.assert_array_equal(value, before[name])


def test_a_model_of_which_nothing_fits_is_refused(bundle: Path):
    with pytest.raises(BundleError, match="has no weights that fit the network to be trained"):
        start_from(tiny_network(), TINY, SAME, bundle, fresh=("backbone.", *LAST))


def of_nuclei(backbone: str = "mobilenet_v2") -> HoverNetConfig:
    width = TINY.depth_multiplier if backbone == "mobilenet_v2" else 1.0
    return HoverNetConfig(
        type_count=2, backbone=backbone, depth_multiplier=width, decoder_width=8, crop_size=64
    )


def test_types_go_to_those_of_the_same_names_and_the_rest_starts_fresh(tmp_path: Path):
    config = of_nuclei()
    old = tiny_network(config)
    card = Card(config=config, classes=ClassList.named(["a", "b"]), work_mpp=0.5, tile=256, halo=80)
    save_bundle(old, card, tmp_path / "two.zip")
    network = tiny_network(dataclasses.replace(config, type_count=3), seed=1)
    fresh = values(network)
    names = ClassList.named(["b", "c", "a"])
    taken = start_from(
        network, dataclasses.replace(config, type_count=3), names, tmp_path / "two.zip", fresh=()
    )
    assert taken.classes == ("background", "b", "a")
    assert taken.fresh_classes == ("c",)
    after, before = values(network), values(old)
    for weight in ("logits.tp/kernel", "logits.tp/bias"):
        for label, source in enumerate((0, 2, None, 1)):
            expected = fresh[weight][..., label] if source is None else before[weight][..., source]
            np.testing.assert_array_equal(after[weight][..., label], expected)
    for name in after.keys() - {"logits.tp/kernel", "logits.tp/bias"}:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)


def test_a_model_of_another_family_gives_no_more_than_its_encoder(bundle: Path):
    config = of_nuclei()
    network = family_of(config).build(config)
    with pytest.raises(
        BundleError, match=r"is DeepLabV3\+ on .* trained is HoVer-Net .*_encoder\)"
    ):
        start_from(network, config, SAME, bundle, fresh=())


def encoder_of(config: NetworkConfig, path: Path) -> keras.Model:
    network = family_of(config).build(config)
    start_encoder(network, config, path)
    return network


def test_an_encoder_of_one_family_starts_another_one_and_nothing_else_of_it(bundle: Path):
    config = of_nuclei()
    network = family_of(config).build(config)
    before, old = values(network), values(tiny_network())
    taken = start_encoder(network, config, bundle)
    encoder = {name for name in before if name.startswith("backbone.")}
    assert set(taken.taken) == encoder
    for name, value in values(network).items():
        expected = old[name] if name in encoder else before[name]
        np.testing.assert_array_equal(value, expected, err_msg=name)
    assert f"{len(encoder)} weights taken from" in taken.summary()
    assert "fresh as asked: decoder, logits" in taken.summary()


@pytest.mark.parametrize(
    ("backbone", "state", "sentence"),
    [
        (
            "resnet_18",
            {"conv1.weight": (64, 3, 7, 7)},
            "is of another network than resnet_18: it lacks bn1.weight",
        ),
        ("resnet_18", {"a.b": (3,)}, "has no weights of resnet_18; of files of tensors those of"),
        ("mobilenet_v3_small_seg", {"a.b": (3,)}, "has no weights of mobilenet_v3_small_seg; of"),
        ("mobilenet_v2", {"conv_stem.weight": (32, 3, 3, 3)}, "it lacks bn1.weight"),
    ],
)
def test_a_file_without_the_encoder_names_what_was_expected(
    tmp_path: Path, backbone: str, state: dict[str, tuple[int, ...]], sentence: str
):
    arrays = {name: np.zeros(shape, np.float32) for name, shape in state.items()}
    path = torch.write_state(tmp_path / "a.pth", arrays)
    with pytest.raises(BundleError, match=sentence):
        encoder_of(of_nuclei(backbone), path)


def test_a_bundle_of_another_encoder_or_width_is_refused(bundle: Path):
    with pytest.raises(BundleError, match="has the backbone mobilenet_v2, where the network"):
        encoder_of(of_nuclei("resnet_18"), bundle)
    wider = dataclasses.replace(of_nuclei(), depth_multiplier=0.5)
    with pytest.raises(BundleError, match="has a backbone of another width"):
        encoder_of(wider, bundle)


def of_channels(*names: str) -> DeepLabV3PlusConfig:
    windows = (USUAL_WINDOW,) * len(names)
    return dataclasses.replace(TINY, channels=Channels(names, 0, windows))


@pytest.mark.parametrize("names", [("DAPI",), ("DAPI", "CD3", "CD8", "CD20", "PanCK")])
def test_weights_of_colours_are_averaged_for_channels(bundle: Path, names: tuple[str, ...]):
    """A grey picture in all channels is then answered as in all colours."""
    _, _, after = started(bundle, ["glomerulus", "vessel"], config=of_channels(*names))
    differing = {n: (a, b) for (n, a), b in zip(after.items(), values(tiny_network()).values(),
                                                strict=True) if a.shape != b.shape}  # fmt: skip
    ((_, (mine, theirs)),) = differing.items()
    assert mine.shape[2] == len(names)
    assert np.allclose(mine.sum(axis=2), theirs.sum(axis=2), atol=1e-6)
    assert np.allclose(mine, mine[:, :, :1])


def test_an_encoder_of_colours_starts_a_network_of_channels(bundle: Path):
    config = of_channels("DAPI")
    network = tiny_network(config, seed=1)
    assert start_encoder(network, config, bundle).taken


def test_a_model_of_channels_starts_one_of_the_same_channels_only(tmp_path: Path):
    config = of_channels("DAPI")
    path = tmp_path / "dapi.zip"
    save_bundle(tiny_network(config), dataclasses.replace(tiny_card(), config=config), path)
    _, _, after = started(path, ["glomerulus", "vessel"], config=config)
    theirs = values(tiny_network(config))
    assert all(np.array_equal(theirs[name], after[name]) for name in theirs)
    for other in (of_channels("CD3"), of_channels("DAPI", "CD3"), TINY):
        with pytest.raises(BundleError, match="sees the channels DAPI, and the network to be"):
            started(path, ["glomerulus", "vessel"], config=other)
