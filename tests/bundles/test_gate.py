"""A model behind a gate of classes, joined by the command: what it answers, and on any tiles."""

import numpy as np
import pytest
import tifffile

from deeplab.bundles.load import load_bundle
from deeplab.bundles.read import read_card
from deeplab.bundles.save import save_bundle
from deeplab.config.classes import ClassList
from deeplab.config.views import View
from deeplab.errors import BundleError
from deeplab.files import file_digest
from deeplab.inference.predictor import GraphSpec
from deeplab.inference.runtime import start_predictor
from deeplab.models.outputs import CLASSES, LABELS, PROBABILITIES, SEMANTIC_LOGITS
from deeplab_cli.main import main
from tests.bundles.test_ensemble import rewritten, write_member
from tests.bundles.tiny_models import noise_tile, tiny_card, tiny_network
from tests.flows.models_for_tests import balanced_model
from tests.models.test_families import PATCHES
from tests.slides_for_tests import tissue, write_tiff

pytestmark = pytest.mark.slow

SIDE = PATCHES.crop_size


def write_classifier(path, config=PATCHES, **card):
    """A classifier that sees each class in about half of the patches of a slide."""
    network = tiny_network(config, seed=3)
    tiles = np.concatenate([cut(noise_tile(4 * SIDE)), cut(tissue(4 * SIDE, 4 * SIDE)[0][None])])
    kernel, bias = network.get_layer("logits").get_weights()
    found = network(tiles)[CLASSES].numpy()
    bias = bias - np.median(found, axis=0)
    network.get_layer("logits").set_weights([kernel, bias])
    side = config.crop_size
    save_bundle(network, tiny_card(config=config, tile=side, halo=0, **card), path)
    return path


def cut(tiles):
    """The patches of tiles in reading order, as NumPy cuts them."""
    _, height, width, channels = tiles.shape
    rows, columns = height // SIDE, width // SIDE
    whole = tiles[:, : rows * SIDE, : columns * SIDE]
    parts = whole.reshape(-1, rows, SIDE, columns, SIDE, channels).swapaxes(2, 3)
    return parts.reshape(-1, SIDE, SIDE, channels)


@pytest.fixture
def both(tmp_path):
    return write_member(tmp_path / "a.zip"), write_classifier(tmp_path / "c.zip")


def join(model, classifier, out, *words):
    words = (model, "--classifier", classifier, "--output", out, *words)
    return main(["gate", *map(str, words)])


@pytest.fixture
def gated(both, tmp_path):
    assert join(*both, tmp_path / "gated.zip", "--threshold", "0.5") == 0
    return tmp_path / "gated.zip"


def test_no_pixel_has_a_class_that_its_patch_has_not(both, gated):
    tiles = noise_tile(4 * SIDE + 1, count=2)
    scores = load_bundle(both[1]).network(cut(tiles))[CLASSES].numpy().reshape(2, 4, 4, 2)
    present = scores > 0  # a score of 0.5
    assert 0.2 < present.mean() < 0.8
    present = present.repeat(SIDE, 1).repeat(SIDE, 2)
    maps = {}
    for path in (both[0], gated):
        bundle = load_bundle(path)
        graph = bundle.family.predictor(bundle.network, maps=(LABELS, PROBABILITIES))
        maps[path] = {name: np.asarray(value) for name, value in graph(tiles).items()}
    free = load_bundle(gated).network(tiles)[SEMANTIC_LOGITS].numpy()[:, :-1, :-1]
    for label in (1, 2):
        absent = ~present[..., label - 1]
        assert (free[..., label][absent] == -1e9).all()
        assert (maps[gated][PROBABILITIES][:, :-1, :-1, label][absent] == 0).all()
    open_gate = present.all(axis=-1)
    labels = {path: value[LABELS][:, :-1, :-1] for path, value in maps.items()}
    np.testing.assert_array_equal(labels[both[0]][open_gate], labels[gated][open_gate])
    assert (labels[gated][~present.any(axis=-1)] == 0).all()
    assert (labels[both[0]] != labels[gated]).mean() > 0.1


def test_the_gate_lies_on_the_slide_and_not_on_the_tiles(tmp_path):
    rgb = tissue(500, 430)[0]
    write_tiff(tmp_path / "slide.tiff", rgb, levels=1, compression="deflate")
    model = balanced_model(tmp_path / "a.zip", rgb[:257, :257])
    classifier = write_classifier(tmp_path / "c.zip", classes=read_card(model).classes)
    gated = tmp_path / "gated.zip"
    assert join(model, classifier, gated, "--threshold", "0.5") == 0
    white = np.full((8 * SIDE, 8 * SIDE, 3), 255, np.uint8)  # what is beyond the slide
    white[: len(rgb), : rgb.shape[1]] = rgb
    scores = load_bundle(classifier).network(cut(white[None]))[CLASSES].numpy()
    present = (scores > 0).reshape(8, 8, 2).repeat(SIDE, 0).repeat(SIDE, 1)
    present = present[: len(rgb), : rgb.shape[1]]
    everything = present.all(axis=-1)
    assert 0.1 < everything.mean() < 0.9

    def mask_of(path, *words):
        mask = tmp_path / "mask.tiff"
        words = ("--model", path, "--output_mask", mask, "--tissue", "off", *words)
        words += ("--runtime", "tensorflow", "--gpu", -1)
        assert main(["segment", str(tmp_path / "slide.tiff"), *map(str, words)]) == 0
        return tifffile.imread(mask)

    for tile in (257, 449):
        words = ("--tile_size", tile, "--halo", SIDE)  # the same tiles for both
        free, kept = mask_of(model, *words), mask_of(gated, *words)
        np.testing.assert_array_equal(kept[everything], free[everything])
        for label in (1, 2):
            assert not (kept == label)[~present[..., label - 1]].any()
            assert (kept == label).any()
    # Neither a region nor tissue, to which tiles are moved, has its own grid of patches.
    for words in (("--region", "100,90,150,200"), ("--tissue", "auto", "--tile_size", 257)):
        part = mask_of(gated, *words)
        for label in (1, 2):
            assert not (part == label)[~present[..., label - 1]].any()


def test_openvino_computes_it_as_tensorflow_does(gated):
    pytest.importorskip("openvino")
    spec = GraphSpec(model=gated, maps=(LABELS, PROBABILITIES), views=(View(),), trial_side=129)
    answers = [
        start_predictor(spec, read_card(gated), tile=129, gpu=-1, runtime=runtime).predict(
            noise_tile(129)
        )
        for runtime in ("openvino", "tensorflow")
    ]
    assert np.mean(answers[0][LABELS] == answers[1][LABELS]) > 0.99


def test_the_card_says_what_was_joined(gated, capsys):
    card = read_card(gated)
    assert card.family == "class_gate"
    assert (card.config.threshold, card.config.tiling.multiple, card.halo) == (0.5, SIDE, SIDE)
    assert card.training["gate"] == "c.zip, nothing"
    assert "behind a gate of the classes that score above 0.5 in a patch" in card.config.describe()
    assert main(["train", "x", "m.zip", "--classes", "a", "--network", "class_gate"]) == 2
    capsys.readouterr()


def test_the_slides_of_both_are_learnt_from(tmp_path):
    model = write_member(tmp_path / "a.zip", training={"slides": "1 2", "layers": "7 8"})
    classifier = write_classifier(tmp_path / "c.zip", training={"slides": "2 3"})
    assert join(model, classifier, tmp_path / "g.zip") == 0
    card = read_card(tmp_path / "g.zip")
    assert card.slides == ("1", "2", "3")
    assert card.models == (file_digest(model), file_digest(classifier))
    assert "layers" not in card.training  # the segmenter's card tells them


def test_what_does_not_go_together_is_one_sentence(both, gated, tmp_path, capsys):
    model, classifier = both
    out = tmp_path / "no.zip"

    def said(*paths, words=()):
        assert join(*paths, out, *words) == 2
        assert not out.exists()
        return capsys.readouterr().err.strip().splitlines()[-1]

    other = write_classifier(tmp_path / "d.zip", classes=ClassList.named(["vessel", "glomerulus"]))
    assert "its list of classes is vessel, glomerulus, there it is glomerulus, vessel" in said(
        model, other
    )
    other = write_classifier(tmp_path / "e.zip", work_mpp=0.55)
    assert "its um per pixel is 0.55, there it is 0.5; train both stages alike" in said(
        model, other
    )
    assert "is not of a network that classifies patches" in said(model, model)
    assert "is not of a network that gives every pixel a class" in said(classifier, classifier)
    assert "segmenter must be one network" in said(gated, classifier)
    assert "threshold must be from 0 to 1" in said(model, classifier, words=("--threshold", "2"))
    assert "does not exist" in said(tmp_path / "gone.zip", classifier)

    def damage(card):
        card["config"]["classifier"] = {"family": "unet", "config": {}}

    with pytest.raises(BundleError, match="config must be given"):
        load_bundle(rewritten(gated, tmp_path / "damaged.zip", damage))
