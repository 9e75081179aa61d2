"""Models joined by the command: what the bundle answers, and what cannot be joined."""

import dataclasses
import hashlib
import json
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image

from deeplab.bundles.ensemble import make_ensemble
from deeplab.bundles.learnt_appearance import LearntAppearance
from deeplab.bundles.load import load_bundle
from deeplab.bundles.read import read_card
from deeplab.bundles.save import save_bundle
from deeplab.bundles.start import start_encoder, start_from
from deeplab.config.class_gate import ClassGateConfig
from deeplab.config.classes import ClassList
from deeplab.config.ensemble_request import EnsembleRequest
from deeplab.config.hovernet import HoverNetConfig
from deeplab.config.network_ensemble import NetworkEnsembleConfig
from deeplab.config.patch_classifier import PatchClassifierConfig
from deeplab.config.unet import UNetConfig
from deeplab.config.unetplusplus import UNetPlusPlusConfig
from deeplab.config.views import View
from deeplab.errors import BundleError, ConfigError
from deeplab.inference.predictor import GraphSpec
from deeplab.inference.runtime import start_predictor
from deeplab.models.outputs import CLASSES, LABELS, PROBABILITIES, SEMANTIC_LOGITS
from deeplab_cli.main import main
from tests.bundles.tiny_models import TINY, look_facts, noise_tile, tiny_card, tiny_network

pytestmark = pytest.mark.slow

WIDER = dataclasses.replace(TINY, depth_multiplier=0.15, crop_size=97, aspp_filters=12)


def write_member(path, config=TINY, seed=0, **card):
    save_bundle(tiny_network(config, seed), tiny_card(config=config, **card), path)
    return path


@pytest.fixture
def members(tmp_path):
    """Two models, the second of another width and another training crop."""
    second = write_member(
        tmp_path / "b.zip", WIDER, seed=1, mpp_range=(0.45, 0.7), trained_on="others", halo=32
    )
    return write_member(tmp_path / "a.zip"), second


@pytest.fixture
def joined(members, tmp_path):
    out = tmp_path / "both.zip"
    assert main(["ensemble", *map(str, members), "--output", str(out)]) == 0
    return out


def softmax(network, tiles):
    return keras.ops.softmax(network(tiles)[SEMANTIC_LOGITS]).numpy()


def test_probabilities_are_the_mean_of_the_members(members, joined):
    tiles = noise_tile(97, count=2)
    found = softmax(load_bundle(joined).network, tiles)
    each = [softmax(load_bundle(path).network, tiles) for path in members]
    assert np.abs(each[0] - each[1]).max() > 0.1
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-6)


def test_a_model_joined_with_itself_answers_as_it_does_in_every_view(members, tmp_path):
    out = tmp_path / "twice.zip"
    make_ensemble(EnsembleRequest(models=(members[0], members[0]), output=out))
    views = (View(), View(mirrored=True), View(quarters=6))
    answers = []
    for path in (out, members[0]):
        bundle = load_bundle(path)
        graph = bundle.family.predictor(bundle.network, maps=(LABELS, PROBABILITIES), views=views)
        answers.append(graph(noise_tile(129)))
    np.testing.assert_allclose(*(each[PROBABILITIES] for each in answers), atol=1e-5)
    assert np.mean(answers[0][LABELS] == answers[1][LABELS]) > 0.999


def test_openvino_computes_it_as_tensorflow_does(joined):
    pytest.importorskip("openvino")
    spec = GraphSpec(model=joined, maps=(LABELS, PROBABILITIES), views=(View(),), trial_side=129)
    answers = [
        start_predictor(spec, read_card(joined), tile=129, gpu=-1, runtime=runtime).predict(
            noise_tile(129)
        )
        for runtime in ("openvino", "tensorflow")
    ]
    assert np.mean(answers[0][LABELS] == answers[1][LABELS]) > 0.995


def test_the_card_names_the_members_and_where_all_may_be_run(joined):
    card = read_card(joined)
    assert card.family == "network_ensemble"
    assert [member.crop_size for member in card.config.members] == [65, 97]
    told = {name: fact for name, fact in card.training.items() if name != "models"}
    assert told == {"member 1": "a.zip, nothing", "member 2": "b.zip, others"}
    assert (card.mpp_range, card.halo, card.metrics) == ((0.45, 0.6), 32, {})
    assert card.config.describe().startswith("the mean of 2 networks, each DeepLabV3+")
    assert card.config.tiling.reach == WIDER.tiling.reach


def test_slides_and_models_of_all_members_are_known_and_not_listed_to_a_person(tmp_path, capsys):
    paths = [
        write_member(
            tmp_path / f"{number}.zip",
            training={"slides": told, "models": f"m0 m{told}", **look_facts(-2.0)},
        )
        for number, told in enumerate(("1 2", "2 3"))
    ]
    output = tmp_path / "e.zip"
    assert main(["ensemble", *map(str, paths), "--output", str(output)]) == 0
    assert read_card(output).slides == ("1", "2", "3")
    assert LearntAppearance.from_card(read_card(output)).slides == 2
    own = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    assert read_card(output).models == (*own, "m0", "m1", "2", "m2", "3")
    said = capsys.readouterr().out
    for unsaid in ("slides:", "models:", "appearance"):
        assert unsaid not in said


def test_the_summary_says_what_was_joined(members, tmp_path, capsys):
    assert main(["ensemble", *map(str, members), "--output", str(tmp_path / "e.zip")]) == 0
    said = capsys.readouterr().out
    assert "the mean of 2 networks" in said
    assert "member 2: b.zip, others" in said


PATCHES = PatchClassifierConfig(
    classes=2, crop_size=64, problem="multi_label", backbone="mobilenet_v2", depth_multiplier=0.35
)
EXCLUSIVE = dataclasses.replace(PATCHES, problem="multi_class")


def write_classifier(path, config=PATCHES, seed=0, **card):
    return write_member(path, config, seed, tile=config.crop_size, halo=0, **card)


@pytest.mark.parametrize(
    ("config", "answer"), [(PATCHES, keras.ops.sigmoid), (EXCLUSIVE, keras.ops.softmax)]
)
def test_scores_of_patches_are_the_mean_of_the_members(tmp_path, config, answer):
    small = dataclasses.replace(config, backbone="mobilenet_v3_small_seg")
    paths = [
        write_classifier(tmp_path / "a.zip", config),
        write_classifier(tmp_path / "b.zip", small, seed=1),
    ]
    out = tmp_path / "both.zip"
    assert main(["ensemble", *map(str, paths), "--output", str(out)]) == 0
    tiles = noise_tile(64, count=3)
    each = [answer(load_bundle(path).network(tiles)[CLASSES]).numpy() for path in paths]
    assert np.abs(each[0] - each[1]).max() > 0.05
    joined = load_bundle(out)
    found = answer(joined.network(tiles)[CLASSES]).numpy()
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-6)
    decoded = [
        joined.family.decode(joined.card.config, {CLASSES: one}).scores
        for one in joined.network(tiles)[CLASSES].numpy()
    ]
    np.testing.assert_allclose(decoded, found, atol=1e-6)


def test_an_ensemble_of_classifiers_has_the_mean_thresholds_and_classifies(tmp_path, capsys):
    names = ("glomerulus", "vessel")
    thresholds = [
        {"threshold glomerulus": low, "threshold vessel": low, "f1": 1} for low in (0, 0.5)
    ]
    paths = [
        write_classifier(tmp_path / f"{n}.zip", seed=n, metrics=kept)
        for n, kept in enumerate([*thresholds, {"threshold vessel": 0.5}])
    ]
    out, image = tmp_path / "two.zip", tmp_path / "image.png"
    make_ensemble(EnsembleRequest(models=(paths[0], paths[1]), output=out))
    assert read_card(out).metrics == {f"threshold {name}": 0.25 for name in names}
    make_ensemble(EnsembleRequest(models=tuple(paths), output=tmp_path / "three.zip"))
    assert read_card(tmp_path / "three.zip").metrics == {"threshold vessel": pytest.approx(1 / 3)}
    Image.fromarray(noise_tile(128)[0]).save(image)
    words = ["classify", str(image), "--model", str(out), "--table", str(tmp_path / "t.csv")]
    words += ["--slide_mpp", "0.5", "--tissue", "off", "--gpu", "-1"]
    assert main(words) == 0
    assert "vessel: " in capsys.readouterr().out
    rows = (tmp_path / "t.csv").read_text().splitlines()
    assert len(rows) == 1 + 4
    assert main([*words, "--activations", "grad_cam"]) == 2
    assert "off for a model of several networks" in capsys.readouterr().err


def test_classifiers_of_one_class_and_of_any_are_not_joined(tmp_path):
    paths = [write_classifier(tmp_path / f"{c.problem}.zip", c) for c in (PATCHES, EXCLUSIVE)]
    assert "its kind of answer is one class a patch" in refusal(*paths, out=tmp_path / "no.zip")


def refusal(*paths, out):
    with pytest.raises((BundleError, ConfigError)) as caught:
        make_ensemble(EnsembleRequest(models=tuple(paths), output=out))
    assert not out.exists()
    return str(caught.value)


def test_what_cannot_be_joined_is_one_sentence(members, joined, tmp_path):
    first, out = members[0], tmp_path / "no.zip"
    other = write_member(tmp_path / "c.zip", classes=ClassList.named(["glomerulus", "tubule"]))
    assert "its list of classes is glomerulus, tubule" in refusal(first, other, out=out)
    other = write_member(tmp_path / "d.zip", work_mpp=0.6)
    assert "its um per pixel is 0.6, there it is 0.5" in refusal(first, other, out=out)
    coarse = dataclasses.replace(TINY, decoder_output_stride=None)
    other = write_member(tmp_path / "e.zip", coarse)
    assert "its number of pixels per logit is 16, there it is 4" in refusal(first, other, out=out)
    config = HoverNetConfig(type_count=2, depth_multiplier=0.1, decoder_width=16, crop_size=64)
    other = write_member(tmp_path / "f.zip", config, tile=128)
    assert "finds objects, which have no mean" in refusal(first, other, out=out)
    other = write_classifier(tmp_path / "g.zip")
    assert (
        "its kind of answer is any classes a patch, there it is a class for every pixel"
        in refusal(first, other, out=out)
    )
    assert "none of which is several itself" in refusal(joined, first, out=out)
    assert "two or more" in refusal(first, out=out)


def rewritten(path, out, change):
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "card.json":
                card = json.loads(content)
                change(card)
                content = json.dumps(card).encode()
            new.writestr(name, content)
    return out


def test_a_damaged_list_of_members_is_one_sentence(joined, tmp_path):
    def nest(card):
        whole = {"family": card["family"], "config": card["config"]}
        card["config"] = {"members": [whole, whole]}

    def objects(card):
        config = {"type_count": 2, "mode": "light", "crop_size": 64, "decoder_width": 8}
        config["depth_multiplier"] = 0.1
        card["config"]["members"] = [{"family": "hovernet", "config": config}] * 2
        card |= {"tile": 128, "halo": 16}

    def words(card):
        card["config"]["members"] = ["a", "b"]

    def many(card):
        card["config"]["members"] *= 9

    for change, sentence in (
        (nest, "members must be single networks"),
        (objects, "networks that give every pixel a class"),
        (words, "members must be networks"),
        (many, "from 2 to 16 networks"),
    ):
        with pytest.raises(BundleError, match=sentence):
            load_bundle(rewritten(joined, tmp_path / "damaged.zip", change))


def test_members_of_two_kinds_of_tiles_are_refused():
    class Padded:
        label_count, class_count = TINY.label_count, TINY.class_count
        channels = TINY.channels
        tiling = dataclasses.replace(TINY.tiling, extra=0)

    with pytest.raises(ConfigError, match="kind of tile of one is a multiple plus 1"):
        NetworkEnsembleConfig(members=(TINY, Padded()))


def test_models_with_a_gate_are_several_networks_and_refused():
    gated = ClassGateConfig(segmenter=TINY, classifier=PATCHES)
    with pytest.raises(ConfigError, match="none of which is several itself"):
        NetworkEnsembleConfig(members=(gated, gated))


def test_no_training_asks_for_it(tmp_path, capsys):
    words = ["train", str(tmp_path), str(tmp_path / "m.zip"), "--classes", "a"]
    assert main([*words, "--network", "network_ensemble"]) == 2
    capsys.readouterr()


def test_networks_of_two_families_and_depths_are_joined(tmp_path):
    shared = {"label_count": 3, "depth_multiplier": 0.1, "crop_size": 64}
    deep = UNetConfig(**shared, decoder_channels=(16, 8, 8, 8))
    flat = UNetPlusPlusConfig(**shared, depth=3, decoder_channels=(16, 16, 16))
    halos = {deep: 64, flat: 32}
    paths = [
        write_member(tmp_path / f"{n}.zip", config, tile=512, halo=halos[config])
        for n, config in enumerate((deep, flat))
    ]
    out = tmp_path / "all.zip"
    make_ensemble(EnsembleRequest(models=tuple(paths), output=out))
    bundle = load_bundle(out)
    assert bundle.card.config.tiling.multiple == deep.tiling.multiple > flat.tiling.multiple
    assert bundle.card.config.tiling.accepts(bundle.card.tile)
    tiles = noise_tile(96)
    each = [softmax(load_bundle(path).network, tiles) for path in paths]
    np.testing.assert_allclose(softmax(bundle.network, tiles), np.mean(each, axis=0), atol=1e-6)


def test_no_training_begins_with_it(joined):
    network = tiny_network()
    classes = ClassList.named(["glomerulus", "vessel"])
    for begin in (
        lambda: start_from(network, TINY, classes, joined, fresh=()),
        lambda: start_encoder(network, TINY, joined),
    ):
        with pytest.raises(BundleError, match="has not one backbone to begin with; give the model"):
            begin()
