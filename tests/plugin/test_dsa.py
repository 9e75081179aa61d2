"""What a Digital Slide Archive is told to do so that it has the plugin."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytest.importorskip("girder")

from girder.models.setting import Setting

from girder_deeplab.settings import SettingKey

REPOSITORY = Path(__file__).parents[2]
DSA = REPOSITORY / "docker/dsa"
MOUNTED = "/opt/histomics-deeplab"


@pytest.fixture(scope="module")
def provision():
    return yaml.safe_load((DSA / "provision.deeplab.yaml").read_text())


def test_its_lines_install_the_whole_plugin(provision, tmp_path):
    # Not into the environment of these tests, which has what the plugin depends on.
    programs, target, copy = (tmp_path / name for name in ("bin", "installed", "girder-deeplab"))
    programs.mkdir()
    pip = programs / "pip"
    pip.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -m pip "$@" --no-deps --target "{target}"\n'
    )
    pip.chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    for line in provision["shell"]:
        here = line.replace(MOUNTED, str(REPOSITORY)).replace("/opt/girder-deeplab", str(copy))
        subprocess.run(["/bin/sh", "-c", here], check=True, env={**os.environ, "PATH": path})
    installed = target / "girder_deeplab"
    wanted = REPOSITORY / "plugin/girder_deeplab"
    files = {
        each.relative_to(wanted) for each in wanted.rglob("*") if each.suffix in (".py", ".js")
    }
    assert files <= {each.relative_to(installed) for each in installed.rglob("*")}


@pytest.mark.plugin("deeplab")
def test_its_settings_are_the_plugins(provision, server):
    for key, value in provision["settings"].items():
        Setting().set(key, value)
        assert Setting().get(key) == value
    assert set(provision["settings"]) == {SettingKey.IMAGES}


def test_the_containers_see_the_files_that_are_named():
    services = yaml.safe_load((DSA / "docker-compose.override.yml").read_text())["services"]
    (mount,) = services["girder"]["volumes"]
    assert mount.endswith(f":{MOUNTED}:ro")
    named = services["girder"]["environment"]["DSA_PROVISION_YAML"]
    assert (REPOSITORY / Path(named).relative_to(MOUNTED)).is_file()
    options = json.loads(services["worker"]["environment"]["GIRDER_WORKER_DOCKER_RUN_OPTIONS"])
    (volume,) = options["volumes"]
    # Of jobs that the plugin starts the environment is its own: the image's place is taken.
    place = volume.split(":")[1]
    assert f"DEEPLAB_CACHE={place} " in (REPOSITORY / "Dockerfile").read_text()
    assert set(options) == {"volumes"}
