"""What TensorFlow 1 trained: a checkpoint, its archives and its frozen graph."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

from deeplab.bundles.importers.deeplab_wsi import read_arguments
from deeplab.bundles.importers.frozen_graph import read_frozen_graph
from deeplab.bundles.importers.tf1_architecture import GraphOptions
from deeplab.bundles.importers.tf1_checkpoint import open_checkpoint
from deeplab.bundles.importers.tf1_network import Variables, config_of
from deeplab.bundles.read import is_bundle
from tests.bundles.test_import_model import CONFIG
from tests.bundles.tf1_for_tests import tf1_variables, write_checkpoint, write_frozen_graph
from tests.bundles.tiny_models import tiny_network
from tests.fuzz.harness import Target

NAME = "model.ckpt-7"
ARGUMENTS = '{"num_classes": 3, "compartments": "gland,vessel", "patch_size": 65}'


def write_checkpoints(folder: Path) -> list[Path]:
    """Write a checkpoint as a folder, a zip and a tar.gz."""
    inside = folder / "checkpoint"
    inside.mkdir()
    write_checkpoint(inside / NAME, tf1_variables(tiny_network(CONFIG), "mobilenet_v2"))
    (inside / "args.txt").write_text(ARGUMENTS)
    (inside / "checkpoint").write_text(f'model_checkpoint_path: "/home/u/{NAME}"\n')
    with zipfile.ZipFile(folder / "zipped.zip", "w") as zipped:
        for file in sorted(inside.iterdir()):
            zipped.write(file, file.name)
    with tarfile.open(folder / "packed.tar.gz", "w:gz") as tar:
        tar.add(inside, "train")
    return [inside, inside, inside, folder / "zipped.zip", folder / "packed.tar.gz"]


def parse_checkpoint(path: Path) -> object:
    """Read the class names, the knobs and all variables."""
    is_bundle(path)
    read_arguments(path)
    given = path / "checkpoint" if path.is_dir() else path
    with open_checkpoint(given) as variables:
        return read_all(variables)


def write_graphs(folder: Path) -> list[Path]:
    """Write a frozen graph."""
    variables = tf1_variables(tiny_network(CONFIG), "mobilenet_v2")
    return [write_frozen_graph(folder / "graph.pb", variables)]


def parse_graph(path: Path) -> object:
    """Read the knobs and all variables."""
    return read_all(read_frozen_graph(path))


def read_all(variables: Variables) -> object:
    """Work out the knobs of the network, then read every value that it would take."""
    config = config_of(variables, GraphOptions(atrous_rates=CONFIG.atrous_rates, crop_size=65))
    return config, [variables.tensor(name).sum() for name in variables.shapes]


CHECKPOINT = Target(name="tf1_checkpoint", seeds=write_checkpoints, parse=parse_checkpoint)
GRAPH = Target(name="frozen_graph", seeds=write_graphs, parse=parse_graph)
