"""Bad input about nuclei through the command: one clear sentence each, and nothing half written."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.io import savemat

from deeplab.bundles.card import Card
from deeplab.bundles.save import save_bundle
from deeplab.config.classes import ClassList
from deeplab.config.hovernet import HoverNetConfig
from deeplab.models.registry import family_of
from deeplab_cli.main import main
from tests.bundles import torch_for_tests as torch
from tests.bundles.tiny_models import tiny_card, tiny_network
from tests.exchange.test_unpack_dataset import conic, consep, monuseg, pannuke
from tests.flows.nuclei_for_tests import TYPES, paint_nuclei, write_polygons

SIDE = 96
RGB, IDS, KINDS = paint_nuclei(3, SIDE)
TYPE_MAP = KINDS[IDS]
UNKNOWN = np.where(TYPE_MAP == 2, 5, TYPE_MAP)
CUTS = {"rows": np.s_[:60], "half": np.s_[::2, ::2], "nearly": np.s_[:90, :90]}
SCALE = ("--work_mpp", "0.5", "--slide_mpp", "0.5", "--patch_size", "64")
TRAIN = ("--network", "hovernet", *SCALE)
LIGHT = ("--network_options", "decoder_width=8", "--depth_multiplier", "0.1", "--gpu", "-1")
BOTH = ("--classes", ",".join(TYPES))
ONE = ("--classes", "nucleus")


def there(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def refused(tmp_path, capsys):
    """The one sentence of a command that ends with 2 and leaves nothing behind."""

    def run(*words):
        before = there(tmp_path)
        code = main([str(word) for word in words])
        said = capsys.readouterr().err
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        assert (code, len(errors), "Traceback" in said) == (2, 1, False), said
        assert there(tmp_path) == before
        return errors[0]

    return run


# ---- labels


def numbers_png(folder, ids=IDS):
    Image.fromarray(ids.astype(np.uint16)).save(folder / "a.instances.png")


def numbers_tif(folder, ids=IDS, kind=np.uint32):
    tifffile.imwrite(folder / "a.instances.tif", ids.astype(kind))


def labels_png(folder, ids=IDS):
    Image.fromarray((ids > 0).astype(np.uint8)).save(folder / "a.mask.png")


def labels_tif(folder, ids=IDS):
    tifffile.imwrite(folder / "a.mask.tif", (ids > 0).astype(np.uint8))


def mat(folder, ids=IDS, **more):
    savemat(folder / "a.mat", {"inst_map": ids.astype(float), **more})


def counted(folder, *words):
    return ("train", folder, folder / "m.zip", "--dry-run", *TRAIN, *words)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("write", [numbers_png, numbers_tif, labels_png, labels_tif, mat])
def test_labels_of_another_size_than_their_picture(refused, tmp_path, write, cut):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    ids = IDS[CUTS[cut]]
    write(tmp_path, ids)
    size = f"the label image has {ids.shape[1]} x {ids.shape[0]} pixels and the slide 96 x 96; it"
    assert size in refused(*counted(tmp_path, *ONE))


def typed(folder, types, ids=IDS):
    numbers_png(folder, ids)
    Image.fromarray(types.astype(np.uint8)).save(folder / "a.types.png")


def matlab_7_3(folder):
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512)
    (folder / "a.mat").write_bytes(head + b"\x89HDF\r\n\x1a\n" + bytes(600))


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (lambda f: savemat(f / "a.mat", {"type_map": TYPE_MAP}), "has no inst_map, so it holds no"),
        (lambda f: mat(f, np.stack([IDS, IDS])), "inst_map has the shape (2, 96, 96), not height"),
        (lambda f: mat(f, IDS.ravel()), "the label image has 9216 x 1 pixels and the slide 96 x"),
        (lambda f: mat(f, inst_type=KINDS[1:-2].reshape(-1, 1)), "inst_type has 8 rows for 10"),
        (lambda f: mat(f, type_map=TYPE_MAP[:9]), "type_map has the shape (9, 96), but inst_map"),
        (matlab_7_3, "is of MATLAB 7.3, which is HDF5 and not read here; save it with -v7"),
        (lambda f: typed(f, TYPE_MAP[:50]), "has 96 x 50 pixels, but the objects 96 x 96"),
        (
            lambda f: numbers_tif(f, IDS + 0.5, np.float32),
            "holds fractions; numbers of objects are",
        ),
        (lambda f: numbers_tif(f, IDS - 1, np.int32), "holds -1; objects are numbered from 1 on"),
        (numbers_png, "(there are: objects), whose types nobody told: name one class for all"),
        (mat, "(there are: nuclei), whose types nobody told: name one class for all of them"),
    ],
)
def test_labels_that_make_no_sense(refused, tmp_path, write, sentence):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    write(tmp_path)
    assert sentence in refused(*counted(tmp_path, *BOTH))


def polygons(folder):
    write_polygons(folder / "a.geojson", IDS, KINDS, ("", TYPES[0], "mitosis"))


@pytest.mark.parametrize(
    ("write", "unknown"),
    [
        (polygons, "mitosis"),
        (lambda f: mat(f, type_map=UNKNOWN), "type 5"),
        (lambda f: mat(f, inst_type=np.where(KINDS == 2, 5, KINDS)[1:]), "type 5"),
        (lambda f: typed(f, UNKNOWN), "type 5"),
    ],
)
def test_types_that_the_model_does_not_know_are_named_with_what_to_do(
    tmp_path, capsys, caplog, refused, write, unknown
):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    write(tmp_path)
    assert main(list(map(str, counted(tmp_path, *BOTH)))) == 0
    said = capsys.readouterr()
    sentence = (
        f"layer '{unknown}' (3 objects on 1 slide) is not learnt from: what it alone outlines "
        "counts as background; if that is wrong, add it to classes, or set aliases to "
        f'"{unknown}=ignore"'
    )
    assert said.out.count(sentence) == 1
    assert "called after no slide" not in said.err + caplog.text
    # A training needs every class.
    words = [word for word in counted(tmp_path, *BOTH, *LIGHT) if word != "--dry-run"]
    assert f"has a shape of lymphocyte (there are: {TYPES[0]}, {unknown})" in refused(*words)


@pytest.mark.parametrize(
    ("layout", "title"),
    [(pannuke, "PanNuke"), (conic, "CoNIC"), (consep, "CoNSeP"), (monuseg, "MoNuSeg")],
)
def test_a_data_set_that_is_not_unpacked(refused, tmp_path, layout, title):
    layout(tmp_path)
    sentence = f"is laid out as {title}; unpack it to a folder to train from: deeplab unpack "
    assert sentence in refused(*counted(tmp_path, *ONE))


# ---- models


class Runs:
    """What a pickle makes by calling something that leaves a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def program(folder, kind):
    """A file that would make `folder/ran` when it is opened as pickles are."""
    path, words = folder / f"evil.{kind}", f"touch {folder / 'ran'}"
    value = torch.name("os", "system") + b"(" + torch.text(words) + b"tR"
    if kind == "tar":
        return torch.write_zip(path, torch.table({"desc": value}), {})
    if kind == "pth":
        return torch.write_legacy(path, torch.table({"desc": value}), {})
    if kind == "npz":
        np.savez(path, a=np.array([Runs(folder / "ran")], object))
    else:
        path.write_bytes(pickle.dumps({"desc": Runs(folder / "ran")}))
    return path


PROGRAMS = {
    "tar": "is refused: it would run os.system when it is opened in PyTorch",
    "pth": "is refused: it would run os.system when it is opened in PyTorch",
    "npz": "has an array that is not made of plain numbers: a",
    "pkl": "is a pickle, which is never opened",
    "weights": "is a pickle, which is never opened",
}


def test_these_pickles_do_run_something(tmp_path):
    pickle.loads(program(tmp_path, "pkl").read_bytes())
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", PROGRAMS)
def test_a_pickle_that_would_run_something_is_not_imported(refused, tmp_path, kind):
    path = program(tmp_path, kind)
    words = ("import-checkpoint", path, "--output", tmp_path / "m.zip")
    assert PROGRAMS[kind] in refused(*words)


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--initial_encoder", "--initial_model"])
def test_nor_does_a_training_begin_with_it(refused, tmp_path, flag):
    (tmp_path / "data").mkdir()
    Image.fromarray(RGB).save(tmp_path / "data/a.png")
    typed(tmp_path / "data", TYPE_MAP)
    words = ("train", tmp_path / "data", tmp_path / "m.zip", *TRAIN, *LIGHT, *BOTH)
    for kind, sentence in PROGRAMS.items():
        assert sentence in refused(*words, flag, program(tmp_path, kind))


def hover_bundle(path):
    config = HoverNetConfig(type_count=2, depth_multiplier=0.1, decoder_width=8, crop_size=64)
    card = Card(config=config, classes=ClassList.named(TYPES), work_mpp=0.25, tile=256, halo=80)
    save_bundle(family_of(config).build(config), card, path)
    return path


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_bundle(tiny_network(), tiny_card(), folder / "deeplab.zip")
    hover_bundle(folder / "hovernet.zip")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deeplab.zip", "hovernet.zip"])
@pytest.mark.parametrize("words", [(), ("--nr-types", "5")])
def test_a_model_is_not_imported_twice(refused, bundles, tmp_path, name, words):
    sentence = "is a model of this program already; use it as it is"
    output = ("--output", tmp_path / "m.zip")
    assert sentence in refused("import-checkpoint", bundles / name, *output, *words)


def hovernet_tar(path, types=6):
    """The tensors of a HoVer-Net that tell what it is, and no more of them."""
    kernel = np.zeros((1, 1, 3, 3), np.float32)
    state = {"conv0./.weight": kernel, "decoder.np.u3.conva.weight": kernel}
    state |= {"decoder.tp.u0.conv.bias": np.zeros(types, np.float32)} if types else {}
    return torch.write_state(path, state, wrap="desc")


INFO = '{"1": ["a", [0, 0, 0]]}'


@pytest.mark.parametrize(
    ("types", "words", "sentence"),
    [
        (6, ("--nr-types", "5"), "tells 6 types apart, with the background, not 5; leave nr_types"),
        (0, ("--nr-types", "5"), "tells no types apart, not 5; leave nr_types away"),
        (6, ("--nr-types", "-1"), "nr_types must be"),
        (
            6,
            ("--type-info-path", "types.json"),
            "of types 1 to 5, those of the network, but is '1'",
        ),
        (0, ("--type-info-path", "types.json"), "type_info must be left away, but is '1'"),
        (6, ("--classes", "a,b"), "classes must be 5 names, or 6 with the background's first"),
        (6, ("--output-stride", "8"), "is a HoVer-Net, which has no output stride; leave it away"),
        (6, ("--atrous-rates", "6"), "is a HoVer-Net, which has no atrous rates; leave it away"),
        (6, ("--architecture", "xception_65"), "is of preact_resnet50, not of xception_65"),
        pytest.param(
            *(
                6,
                (),
                "does not fit HoVer-Net (fast) on preact_resnet50, 5 types: it lacks conv0.bn",
            ),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_is_said_of_a_hovernet_must_be_so(refused, tmp_path, types, words, sentence):
    path = hovernet_tar(tmp_path / "h.tar", types)
    (tmp_path / "types.json").write_text(INFO)
    given = [tmp_path / word if word == "types.json" else word for word in words]
    assert sentence in refused("import-checkpoint", path, "--output", tmp_path / "m.zip", *given)


@pytest.mark.slow
def test_a_model_of_another_family_starts_no_training(refused, bundles, tmp_path):
    (tmp_path / "data").mkdir()
    Image.fromarray(RGB).save(tmp_path / "data/a.png")
    typed(tmp_path / "data", TYPE_MAP)
    data = (
        "train",
        tmp_path / "data",
        tmp_path / "m.zip",
        *BOTH,
        *SCALE,
        "--depth_multiplier",
        0.1,
    )
    advice = "give it as the initial encoder (--initial_encoder) to take its encoder alone"
    first = ("--gpu", "-1", "--initial_model")
    said = refused(*data, *first, bundles / "hovernet.zip")
    assert "is HoVer-Net (light) on mobilenet_v2, 2 types" in said
    assert said.endswith(advice)
    nuclei = ("--network", "hovernet", "--network_options", "decoder_width=8")
    said = refused(*data, *nuclei, *first, bundles / "deeplab.zip")
    assert "is DeepLabV3+ on mobilenet_v2, output stride 16" in said
    assert "the network to be trained is HoVer-Net (light)" in said
    said = refused(*data, *nuclei, *first, hovernet_tar(tmp_path / "h.tar"))
    assert "is of HoVer-Net, whose encoder is preact_resnet50; set backbone to that" in said


@pytest.mark.slow
def test_a_slide_is_segmented_by_no_file_of_tensors_and_not_where_it_is_too_coarse(
    refused, bundles, tmp_path
):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    hovernet_tar(tmp_path / "h.tar")
    words = ("segment", tmp_path / "a.png", "--annotation", tmp_path / "a.anot")
    said = refused(*words, "--model_path", tmp_path / "h.tar")
    assert "is a file of tensors" in said
    assert said.endswith("make a model of it: deeplab import-checkpoint")
    model = ("--model_path", bundles / "hovernet.zip")
    assert "--nr_types has no counterpart: the model says it" in refused(
        *words, *model, "--nr_types", "5"
    )
    said = refused(*words, *model, "--slide_mpp", "1")
    assert "a.png has 1 um per pixel, too coarse for a model of 0.25" in said
