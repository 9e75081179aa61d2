"""What is typed becomes the request, or one sentence says why not."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deeplab.config.requests import AverageRequest, SegmentRequest
from deeplab.config.train_request import TrainRequest
from deeplab.errors import ConfigError, OutputError, SlideNotFoundError
from deeplab_cli.AverageModels.AverageModels import TASK as AVERAGE
from deeplab_cli.binding import bind, regions_of, texts_of, value_of
from deeplab_cli.ConvertAnnotations.ConvertAnnotations import TASK as CONVERT
from deeplab_cli.forms import read_spec
from deeplab_cli.parser import TaskParser, UsageError, flags_of
from deeplab_cli.SegmentWSI.SegmentWSI import TASK as SEGMENT
from deeplab_cli.TrainNetwork.TrainNetwork import TASK as TRAIN

ID = "5f0c0ffee0ddba11deadbeef"
SQUARE = ((10, 20), (40, 20), (40, 60), (10, 60))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slide.svs").touch()
    (tmp_path / "model.zip").touch()
    (tmp_path / "slides").mkdir()
    return tmp_path


def asked(task, *words: str):
    spec = read_spec(task.name)
    typed = TaskParser(spec, task.aliases, prog=task.name).values(words)
    return bind(spec, task.request, task.fields, typed)


def all_flags(task):
    return flags_of(read_spec(task.name).parameters, task.aliases)


def segment(*words: str) -> SegmentRequest:
    return asked(SEGMENT, "slide.svs", "--model", "model.zip", "--annotation", "out.json", *words)


def train(*words: str) -> TrainRequest:
    return asked(TRAIN, "slides", "out.zip", "--classes", "a", *words)


def test_a_short_command_line_fills_in_the_defaults(files: Path):
    assert segment() == SegmentRequest(
        slide="slide.svs", model=Path("model.zip"), output_annotation=Path("out.json")
    )
    assert train() == TrainRequest(source="slides", output_model=Path("out.zip"), classes=("a",))


def test_the_forms_own_flags_and_the_short_words_mean_the_same(files: Path):
    form = asked(
        SEGMENT,
        *("slide.svs", "--inputModelFile", "model.zip", "--outputAnnotationFile=out.json"),
        *("--output_geojson", "o.geojson", "--wsi_downsample", "2"),
    )
    assert form == segment("--geojson", "o.geojson", "--wsi-downsample", "2")


@pytest.mark.parametrize(
    "words",
    [
        ("--region", "-1,-1,-1,-1"),
        ("--region=-1,-1,-1,-1",),
        ("--region", "-1, -1, -1, -1"),
        ("--region", "-1.0,-1.0,-1.0,-1.0"),
        ("--region", ""),
    ],
)
def test_the_whole_slide_is_asked_for_in_every_form(files: Path, words):
    assert segment(*words).regions == ()


def test_a_parameter_with_a_place_is_known_by_its_flag_too(files: Path):
    by_flag = asked(TRAIN, "--output_model", "out.zip", "--classes", "a", "slides")
    assert by_flag == train()
    assert asked(TRAIN, "out.zip", "--classes=a", "--source", "slides") == train()


def test_a_list_may_be_given_in_parts(files: Path):
    assert train("--atrous_rates=6", "--atrous_rates=12").atrous_rates == (6, 12)


@given(
    st.lists(
        st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1)
        .map(str.strip)
        .filter(bool)
    )
)
def test_names_in_a_file_of_settings_may_hold_commas_and_quotes(names):
    spec = read_spec("TrainNetwork")
    (parameter,) = (each for each in spec.parameters if each.name == "classes")
    texts = texts_of(spec, {}, {"classes": names})
    assert value_of(parameter, texts["classes"]) == tuple(names)


@pytest.mark.parametrize("text", ['"other, unsure",tumour', ' "other, unsure" , tumour'])
def test_a_name_with_a_comma_stands_in_quotes(files: Path, text):
    assert asked(TRAIN, "slides", "out.zip", "--classes", text).classes == (
        "other, unsure",
        "tumour",
    )


def test_a_list_of_several_lines_is_one_sentence(files: Path):
    with pytest.raises(ConfigError, match="classes must be on one line"):
        train("--classes", "a\nb")


def test_models_to_average_may_stand_one_word_each(files: Path):
    words = ("model.zip", "b.zip", "--weights", "3,1,1", "c.zip", "--output", "mean.zip")
    assert asked(AVERAGE, *words) == AverageRequest(
        source="model.zip",
        models=("b.zip", "c.zip"),
        weights=(3, 1, 1),
        output_model=Path("mean.zip"),
    )


def test_the_ancestors_script_for_training_is_understood(files: Path):
    (files / "model.ckpt-400000.index").touch()
    words = """--model_variant xception_65 --atrous_rates=6 --atrous_rates=12 --atrous_rates=18
        --output_stride 16 --train_crop_size 512 --train_logdir logs --dataset_dir slides
        --tf_initial_checkpoint model.ckpt-400000 --fine_tune_batch_norm=True
        --train_batch_size=12 --training_number_of_steps=400000 --slow_start_step 1000
        --wsi_downsample=1 --wsi_downsample=2 --include_background_prob .15
        --slow_start_learning_rate 1e-5 --base_learning_rate 1e-3
        --last_layer_gradient_multiplier 10 --learning_policy poly --learning_power 0.9
        --end_learning_rate 0 --hard_example_mining_step 100 --top_k_percent_pixels 0.25
        --initialize_last_layer=false --last_layers_contain_logits_only=true
        --upsample_logits=true --drop_path_keep_prob 1 --ignore_label ignore
        --optimizer momentum --weight_decay 4e-5 --num_clones 2 --GPU 1"""
    assert asked(TRAIN, *words.split(), "--classes", "a", "out.zip") == TrainRequest(
        source="slides",
        output_model=Path("out.zip"),
        classes=("a",),
        backbone="xception_65",
        atrous_rates=(6, 12, 18),
        patch_size=512,
        work_folder=Path("logs"),
        initial_model=Path("model.ckpt-400000"),
        batch_norm=True,
        batch_size=12,
        steps=400_000,
        slow_start_step=1000,
        wsi_downsample=(1, 2),
        include_background_prob=0.15,
        learning_rate_start=1e-5,
        learning_rate=1e-3,
        last_layer_gradient_multiplier=10,
        learning_policy="poly",
        hard_example_mining_step=100,
        top_k_percent_pixels=0.25,
        last_layers_contain_logits_only=True,
        optimizer="momentum",
        num_clones=2,
        gpu=1,
    )


def test_the_ancestors_script_for_prediction_is_understood(files: Path):
    words = "--vis_crop_size 2000 --vis_remove_border=100 --vis_batch_size 2 --wsi_downsample 2"
    request = asked(
        SEGMENT,
        *("slide.svs", "--checkpoint_dir", "slides", "--annotation", "out.json", *words.split()),
    )
    assert (request.tile_size, request.halo, request.batch_size) == (2000, 100, 2)
    assert (request.wsi_downsample, request.model) == (2, Path("slides"))


@pytest.mark.parametrize(("task", "rows"), [(SEGMENT, 23), (TRAIN, 15)], ids=["segment", "train"])
def test_a_flag_without_counterpart_says_what_to_do_instead(files: Path, task, rows: int):
    assert len(task.aliases.removed) == rows
    parameters = {flag for own in all_flags(task).values() for flag in own}
    for flag, instead in task.aliases.removed.items():
        assert flag not in parameters
        named = set(re.findall(r"--\w+", instead))
        assert named <= parameters, "what it says to use is there"
        for words in ([flag, "1"], [f"{flag}=1"]):
            with pytest.raises(UsageError, match=f"^{flag} has no counterpart: "):
                asked(task, "slide.svs", *words)


# Of DeepLab-WSI's forms; the second column of each of its tasks in Girder.
FORM_OF_ANCESTOR = {
    "SegmentWSI": """inputImageFile inputModelFile outputAnnotationFile save_heatmap wsi_downsample
        patch_size remove_border batch_size gpu""",
    "TrainNetwork": """inputFolder output_model classes inputModelFile patch_size steps global_step
        batch_size num_clones slow_start_step decay_steps ignore_label GPU WSI_downsample
        learning_rate learning_rate_start end_learning_rate learning_power augment
        last_layer_gradient_multiplier batch_norm init_last_layer last_layers_contain_logits_only
        upsample_logits girderApiUrl girderToken""",
}


@pytest.mark.parametrize("name", FORM_OF_ANCESTOR)
def test_a_rest_call_of_the_ancestor_names_parameters_that_are_there(name: str):
    ours = {parameter.name for parameter in read_spec(name).parameters}
    assert set(FORM_OF_ANCESTOR[name].split()) <= ours


def test_values_that_begin_with_a_minus_are_values(files: Path):
    assert segment("--gpu", "-1", "--region", "-5,-6,10,20").regions == (
        ((-5, -6), (5, -6), (5, 14), (-5, 14)),
    )
    assert train("--ignore_label", "-none-").ignore_class == "-none-"


def test_a_vector_loses_its_blanks_and_an_empty_one_is_empty(files: Path):
    request = asked(TRAIN, "slides", "m.zip", "--classes", " glomerulus , small vessel,,")
    assert request.classes == ("glomerulus", "small vessel")
    assert train("--wsi_downsample", "1, 2").wsi_downsample == (1.0, 2.0)
    assert train("--atrous_rates", "").atrous_rates == ()


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("True", True), ("1", True), ("false", False), ("0", False)]
)
def test_booleans_are_said_in_words(files: Path, text: str, value: bool):
    assert segment("--save_heatmap", text).save_heatmap is value


@pytest.mark.parametrize(
    "words", [("--save-heatmap",), ("--save_heatmap", "--gpu", "0"), ("--save-heatmap", "--gpu=0")]
)
def test_a_boolean_without_a_value_is_true(files: Path, words):
    assert segment(*words).save_heatmap is True


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--save_heatmap", "maybe"], "save_heatmap must be true or false, but is 'maybe'"),
        (["--tissue", "on"], "tissue must be one of auto, off, but is 'on'"),
        (["--batch_size", "two"], "batch_size must be a number, but is 'two'"),
        (["--batch_size", "1.5"], "batch_size must be a whole number, but is '1.5'"),
        (["--batch_size", "0"], "batch_size must be at least 1, but is 0"),
        (["--simplify_um", "nan"], "simplify_um must be a number, but is 'nan'"),
        (["--model", "none.zip"], "inputModelFile must be a file that exists, but is 'none.zip'"),
    ],
)
def test_a_bad_value_is_named_as_in_the_form(files: Path, words: list[str], sentence: str):
    with pytest.raises(ConfigError) as caught:
        segment(*words)
    assert str(caught.value) == sentence


def test_a_field_called_differently_is_named_as_in_the_form(files: Path):
    with pytest.raises(ConfigError, match=r"^inputImageFile must be the id of an item"):
        segment("--girderApiUrl", "https://host/api/v1")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--modell=x"], "unrecognized arguments: --modell (did you mean --model?)"),
        (["other.svs"], "unrecognized arguments: other.svs"),
        (["--gpu"], "--gpu needs a value (Number of the GPU; -1 for the CPU)"),
        (
            ["--work_mpp", "--gpu", "0"],
            "--work_mpp needs a value (Um per pixel at which the model looks; 0: the one it was"
            " trained at)",
        ),
    ],
)
def test_an_unknown_or_empty_option_is_one_sentence(files: Path, words: list[str], sentence: str):
    with pytest.raises(UsageError) as caught:
        segment(*words)
    assert str(caught.value) == f"{sentence}; see SegmentWSI --help"


def test_what_is_missing_is_named(files: Path):
    with pytest.raises(UsageError, match="^inputModelFile is missing"):
        asked(SEGMENT, "slide.svs", "--annotation", "out.json")
    with pytest.raises(UsageError, match="^inputImageFile is missing"):
        asked(SEGMENT, "", "--model", "model.zip")
    with pytest.raises(UsageError, match="^classes is missing"):
        asked(TRAIN, "slides", "m.zip")
    with pytest.raises(SlideNotFoundError, match=r"^none\.svs does not exist$"):
        asked(SEGMENT, "none.svs", "--model", "model.zip", "--annotation", "out.json")
    with pytest.raises(ConfigError, match="at least one file to write"):
        asked(SEGMENT, "slide.svs", "--model", "model.zip")


def test_a_slide_on_a_server_is_an_id_and_needs_no_file_to_write(files: Path):
    request = asked(
        SEGMENT,
        *(ID, "--inputModelFile", "model.zip"),
        *("--girderApiUrl", "https://host/api/v1", "--girderToken", "secret"),
    )
    assert (request.slide, request.api_url, request.token) == (ID, "https://host/api/v1", "secret")
    assert "secret" not in repr(request)


def test_an_id_without_a_server_says_which_keys_a_job_must_name(files: Path):
    with pytest.raises(UsageError, match="must name girderApiUrl and girderToken"):
        asked(SEGMENT, ID, "--model", "model.zip", "--girderApiUrl", "", "--girderToken", "")


def test_downsamples_are_taken_before_um_per_pixel(files: Path):
    assert train("--wsi_downsample", "1,2", "--work_mpp", "0.5").wsi_downsample == (1, 2)
    with pytest.raises(ConfigError, match="work_mpp"):
        train("--work_mpp", "0")


def test_settings_of_a_file_are_read_like_words(files: Path):
    spec = read_spec("TrainNetwork")
    settings = {"classes": ["a", "b"], "batch_norm": False, "steps": 7, "wsi_downsample": [1, 2.5]}
    settings |= {"source": "slides", "output_model": "m.zip"}
    request = bind(spec, TrainRequest, TRAIN.fields, texts_of(spec, TRAIN.fields, settings))
    assert request == TrainRequest(
        source="slides",
        output_model=Path("m.zip"),
        classes=("a", "b"),
        batch_norm=False,
        steps=7,
        wsi_downsample=(1.0, 2.5),
    )


@pytest.mark.parametrize("path", ["model.zip", "slides/../model.zip", "link.zip", "slide.svs"])
@pytest.mark.parametrize("flag", ["--table", "--geojson", "--overlay", "--mask"])
def test_no_result_takes_the_place_of_what_is_read(files: Path, flag: str, path: str):
    (files / "link.zip").symlink_to("model.zip")
    with pytest.raises((OutputError, ConfigError), match=r"it is read for the result|of type"):
        segment(flag, path)


def test_no_result_takes_the_place_of_the_settings_or_of_the_initial_model(files: Path):
    (files / "c.toml").touch()
    (files / "c.csv").symlink_to("c.toml")
    (files / "m.csv").symlink_to("model.zip")
    for words in (("--config", "c.toml", "--table", "c.csv"), ("--table", "m.csv")):
        with pytest.raises(OutputError, match="it is read for the result; name another file"):
            segment(*words)
    with pytest.raises(OutputError, match="it is read for the result"):
        asked(TRAIN, "slides", "model.zip", "--classes", "a", "--inputModelFile", "model.zip")


def test_two_results_are_two_files(files: Path):
    for words in (("--geojson", "out.json"), ("--table", "o", "--overlay", "./slides/../o")):
        with pytest.raises(ConfigError, match="must be another file than output"):
            segment(*words)


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": [1]},
        {"classes": ["a", [2]]},
        {"classes": ["a", {"b": 2}]},
        {"steps": {"a": 1}},
        {"source": "a", "inputFolder": "a"},
    ],
)
def test_settings_of_no_use_are_refused(settings: dict[str, object]):
    with pytest.raises(ConfigError):
        texts_of(read_spec("TrainNetwork"), TRAIN.fields, settings)


@pytest.mark.parametrize(
    ("text", "regions"),
    [
        ("10,20,30,40", (SQUARE,)),
        ("25, 40, 0, 15, 20, 0", (SQUARE,)),
        ("10,20,40,20,40,60,10,60", (SQUARE,)),
        ("0,0,9,0,9,9,0,0", (((0, 0), (9, 0), (9, 9)),)),
        ("0,0,9,0,9,9,0,0,0,0", (((0, 0), (9, 0), (9, 9)),)),
        (
            "10,20,40,20,40,60,10,60,-1,-1,0,0,9,0,9,9",
            (SQUARE, ((0, 0), (9, 0), (9, 9))),
        ),
        ("-1.0,-1.0,9,0,9,9,0,8", (((-1, -1), (9, 0), (9, 9), (0, 8)),)),
        ("-1,-1,-2,-1,-2,-2,-1,-2,-1,-1,10,20,40,20,40,60,10,60", (SQUARE,)),
    ],
    ids=[
        "rectangle",
        "centre and radii",
        "polygon",
        "closed triangle",
        "triangle closed twice",
        "two polygons",
        "corner at -1.0,-1.0",
        "shape added to the whole slide in HistomicsUI",
    ],
)
def test_regions_are_read_as_histomicsui_writes_them(text: str, regions):
    assert regions_of(text) == regions


@pytest.mark.parametrize(
    "text",
    ["1,2", "1,2,3", "0,0,0,5", "0,0,5,-5", "1,2,3,4,-2,-2,-2,-2", "1,2,3,4,1,2,3,4", "a,b,c,d"],
    ids=["point", "odd", "no width", "negative height", "line", "two corners", "letters"],
)
def test_what_is_no_region_is_refused(text: str):
    with pytest.raises(ConfigError, match="^region must be"):
        regions_of(text)


@pytest.mark.parametrize("name", ["slide", "model", "annotation"])
def test_a_pipe_or_a_device_is_no_file_to_read(files: Path, name: str):
    os.mkfifo(files / "pipe")
    words = {
        "slide": (SEGMENT, "pipe", "--model", "model.zip", "--annotation", "o.json"),
        "model": (SEGMENT, "slide.svs", "--model", "/dev/null", "--annotation", "o.json"),
        "annotation": (CONVERT, "pipe", "o.xml"),
    }[name]
    with pytest.raises(ConfigError, match="must be a plain file or a folder, but is"):
        asked(*words)


def test_a_name_that_no_file_can_have_is_none_that_exists(files: Path):
    with pytest.raises(SlideNotFoundError, match="does not exist"):
        asked(SEGMENT, "x" * 300, "--model", "model.zip", "--annotation", "o.json")
