"""A network trained from scratch against a per-pixel regression, on slides neither has seen.

    python benchmarks/composed/tumour.py DATA WORK --composer PROGRAM

DATA holds two folders, each with `images/` and `masks/` of the same file stems:

camelyon_tumour_cc0     lymph node H&E with metastases (CAMELYON, CC0): class metastasis
ocdc_tumour_ccby4       oral mucosa H&E with carcinoma (OCDC, CC BY 4.0): class carcinoma

The last fifth of each folder's tiles, by name, is held out. PROGRAM composes slides of the others
to learn from, and of those held out to be compared on; it is called as

    PROGRAM out.svs --size 4096 --seed N --pairs FOLDER:1:metastasis FOLDER:2:carcinoma

and writes `out.mask.tif`, the exact labels, beside the slide. One command, `deeplab train`, then
makes the model, the one after the last step; its CPU time is measured. The peer is a multinomial
logistic regression on the colour of each pixel and its surroundings (Gaussians of 2, 8 and 32 um),
fitted on the same slides. Both are judged on the same pixels of the held-out slides, and
WORK/report.html shows both figures and what limits them.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import logging
import math
import resource
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from deeplab.bundles.card import Card
from deeplab.bundles.load import load_bundle
from deeplab.config.progress import silent
from deeplab.config.toml import read_settings
from deeplab.config.train_request import TrainRequest
from deeplab.data.opening import OpenedSlides, open_slides
from deeplab.data.truth import AnnotatedSlide
from deeplab.evaluation.semantic import Confusion
from deeplab.training.reporting.examples import examples_of
from deeplab.training.reporting.facts import OtherMethod, TrainingReportFacts
from deeplab.training.reporting.outcome import slide_fact
from deeplab.training.reporting.page import write_report
from deeplab.training.reporting.settings_words import all_settings, settings_in_words
from deeplab.training.validation.results import Validation
from deeplab.training.validation.validate import Validator

log = logging.getLogger("composed")

HERE = Path(__file__).parent
SOURCES = {"metastasis": "camelyon_tumour_cc0", "carcinoma": "ocdc_tumour_ccby4"}
HELD_OUT = 0.2
SLIDE_PX = 4096
LEARN, JUDGE = 4, 2  # slides
LIMIT_CPU_MIN = 45
WANTED = 0.10  # mean IoU above the peer's
ALL = 10**12
PEER = "logistic regression on blurred colour"
WORK_MPP = 1.0
SURROUNDINGS_UM = (2, 8, 32)
PIXELS = 40_000  # of each slide, drawn for the regression
RIDGE = 1e-4


def main() -> None:
    """Compose, train, judge both, and say which is better by how much."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--composer", type=Path, required=True)
    parser.add_argument("--settings", type=Path, default=HERE / "tumour.toml")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)

    slides = compose(options.data, options.work, options.composer)
    listing = write_list(options.work / "list.csv", slides)
    model, cpu_min = train(listing, options.work / "model.zip", options.settings)

    request = request_of(options.settings, listing, model)
    opened = open_slides(request, silent)
    bundle = load_bundle(model)
    validator = Validator(
        network=bundle.network, card=bundle.card, slides=opened.held_out, most_px=ALL, seed=0
    )
    found = validator(int(bundle.card.training["steps"] or 0))
    peer = judge_regression(opened, found)
    own = Confusion.of(found.pooled.counts)
    for line in table({"mobilenet_v2 from scratch": own, PEER: peer}):
        print(line)
    print(f"its training took {cpu_min:.0f} CPU minutes (limit: {LIMIT_CPU_MIN})")
    write_comparison(options.work / "report.html", request, opened, bundle.card, found, peer)


def compose(data: Path, work: Path, composer: Path) -> dict[Path, str]:
    """Slides with their exact masks beside them, and the side of the split of each."""
    slides: dict[Path, str] = {}
    for side, count in (("train", LEARN), ("validation", JUDGE)):
        pairs = [
            f"{tiles_of(data / folder, work / side / folder, side)}:{label}:{name}"
            for label, (name, folder) in enumerate(SOURCES.items(), start=1)
        ]
        for number in range(count):
            slide = work / f"{side}_{number}.svs"
            seed = number + (0 if side == "train" else 100)
            subprocess.run(
                [
                    *(sys.executable, str(composer), str(slide), "--size", str(SLIDE_PX)),
                    *("--seed", str(seed), "--pairs", *pairs),
                ],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            with tifffile.TiffFile(slide.with_suffix(".mask.tif")) as file:
                Image.fromarray(file.series[0].asarray()).save(slide.with_suffix(".mask.png"))
            slides[slide] = side
    return slides


def tiles_of(source: Path, folder: Path, side: str) -> Path:
    """A folder of links to the tiles of one side; the last fifth by name is held out."""
    images = sorted((source / "images").iterdir())
    first_held = len(images) - math.ceil(HELD_OUT * len(images))
    return link_tiles(images[:first_held] if side == "train" else images[first_held:], folder)


def link_tiles(images: Iterable[Path], folder: Path) -> Path:
    """Link tiles and the masks of their names into a folder, and return it."""
    for image in images:
        for file in (image, image.parents[1] / "masks" / f"{image.stem}.png"):
            link = folder / file.parent.name / file.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(file.absolute())
    return folder


def write_list(path: Path, slides: Mapping[Path, str]) -> Path:
    """The list of the slides for the training; those held out are only looked at."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["slide", "annotation", "split"])
        for slide, side in slides.items():
            rows.writerow([slide.name, slide.with_suffix(".mask.png").name, side])
    return path


def train(listing: Path, model: Path, settings: Path) -> tuple[Path, float]:
    """The model that one command makes, and the CPU minutes that it took."""
    before = cpu_seconds()
    command = [str(Path(sys.executable).with_name("deeplab")), "train", str(listing), str(model)]
    subprocess.run([*command, "--config", str(settings)], check=True)
    return model, (cpu_seconds() - before) / 60


def cpu_seconds() -> float:
    """Return the processor time, s, of processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def request_of(settings: Path, listing: Path, model: Path) -> TrainRequest:
    """Return the request of that command."""
    given = read_settings(settings, {field.name for field in dataclasses.fields(TrainRequest)})
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    return TrainRequest(source=str(listing), output_model=model, **values)


def judge_regression(opened: OpenedSlides, found: Validation) -> Confusion:
    """Agreement of the regression with the truth, on the very pixels the network was judged on."""
    random = np.random.default_rng(0)
    features, labels = [], []
    for slide in opened.learn:
        frame = slide.slide.frame(WORK_MPP)
        truth = slide.labels(frame, frame.box).ravel()
        chosen = random.choice(truth.size, PIXELS, replace=False)
        features.append(blurred(slide).reshape(truth.size, -1)[chosen])
        labels.append(truth[chosen])
    weights = fit(np.concatenate(features), np.concatenate(labels))
    confusion = Confusion(len(SOURCES) + 1)
    for slide in opened.held_out:
        prediction = (blurred(slide) @ weights[:-1] + weights[-1]).argmax(axis=-1).astype(np.uint8)
        for region in (region for region in found.regions if region.slide == slide.name):
            truth = slide.labels(region.frame, region.box)
            confusion.add(truth, prediction[region.box.within(region.frame.box)])
    return confusion


def blurred(slide: AnnotatedSlide) -> NDArray[np.float32]:
    """Colours around each pixel of a slide at the working scale, (h, w, 9)."""
    frame = slide.slide.frame(WORK_MPP)
    rgb = slide.slide.read(frame, frame.box).astype(np.float32) / 127.5 - 1
    return np.concatenate(
        [cv2.GaussianBlur(rgb, (0, 0), um / WORK_MPP) for um in SURROUNDINGS_UM], axis=-1
    )


def fit(features: NDArray[np.float32], labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Weights (features + 1, labels) of a multinomial regression with a small ridge."""
    mean, spread = features.mean(axis=0), features.std(axis=0)
    x = np.column_stack([(features - mean) / spread, np.ones(len(features))])
    truth = np.eye(len(SOURCES) + 1)[labels]
    shape = (x.shape[1], truth.shape[1])

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.reshape(shape)
        scores = x @ weights
        gradient = x.T @ (softmax(scores, axis=1) - truth) / len(x) + 2 * RIDGE * weights
        known = -np.mean((log_softmax(scores, axis=1) * truth).sum(axis=1))
        return known + RIDGE * (weights**2).sum(), gradient.ravel()

    found = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B")
    weights = found.x.reshape(shape)
    weights[:-1] /= spread[:, None]  # so that features need not be normalised
    weights[-1] -= mean @ weights[:-1]
    return weights.astype(np.float32)


def table(results: Mapping[str, Confusion]) -> Iterator[str]:
    """The figures of all methods, and what they come to."""
    names = ("background", *SOURCES)
    yield f"{'':40}{'mean IoU':>10}" + "".join(f"{f'IoU {name}':>18}" for name in names)
    for method, confusion in results.items():
        iou = "".join(f"{value:18.3f}" for value in confusion.iou)
        yield f"{method:40}{confusion.mean_iou:10.3f}{iou}"
    network, peer = results.values()
    gain = network.mean_iou - peer.mean_iou
    yield f"the network is better by {gain:+.3f} mean IoU (wanted: at least {WANTED:+.2f})"


def write_comparison(
    path: Path,
    request: TrainRequest,
    opened: OpenedSlides,
    card: Card,
    found: Validation,
    peer: Confusion,
) -> None:
    """The report of the training, with the peer's figures beside the network's."""
    slides = {slide.name: slide for slide in opened.held_out}
    write_report(
        path,
        TrainingReportFacts(
            model=request.output_model.name,
            classes=card.classes,
            work_mpp=WORK_MPP,
            mpp_range=card.mpp_range,
            source="slides composed of public tiles: straight seams, repeated tiles, one carcinoma",
            slides=tuple(slide_fact(count, card.classes.names) for count in opened.census.slides),
            planned_steps=request.steps,
            kept=request.keep,
            kept_step=found.step,
            validation=found,
            examples=tuple(examples_of(found, slides, card.classes, each=3)),
            comparisons=(
                OtherMethod(name=PEER, mean_iou=peer.mean_iou, dice=tuple(peer.dice[1:].tolist())),
            ),
            settings=settings_in_words(request, card),
            all_settings=all_settings(request),
            versions=card.versions,
            seed=request.seed,
        ),
    )


if __name__ == "__main__":
    main()
