"""A bare Debian with git and make alone: make does all of the set-up, or names what is missing."""

import re
import subprocess
import tarfile

import pytest

from local_stack.containers import check_docker
from local_stack.plan import REPOSITORY, StackError

BASE = re.search(r"^ARG BASE=(\S+)", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)[1]
SET_UP = """
set -e
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends git make >/dev/null
mkdir /project
tar -x -C /project -f /project.tar
cd /project
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The files of this checkout as an archive."""
    try:
        check_docker()
    except StackError as missing:
        pytest.skip(str(missing))  # in CI the stack's own tests fail then
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    path = tmp_path_factory.mktemp("bare") / "project.tar"
    with tarfile.open(path, "w") as archive:
        for name in filter(None, listed.stdout.split("\0")):
            if (REPOSITORY / name).exists():  # not one that was deleted and is still tracked
                archive.add(REPOSITORY / name, name, recursive=False)
    return path


def run_bare(project, script):
    mount = ["--volume", f"{project}:/project.tar:ro"]
    return subprocess.run(
        ["docker", "run", "--rm", *mount, BASE, "bash", "-c", SET_UP + script],
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_demo_and_tests_need_nothing_but_git_and_make(project):
    ran = run_bare(
        project,
        """
        make demo
        find demo -type f -size +0 | sort
        make test-fast TESTS=tests/geometry
        PYTEST_ADDOPTS="-k 'not every_slide_has'" make test-plugin  # 50 seeds say no more here
        """,
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    for suffix in ("anot", "csv", "geojson", "png"):
        assert f"demo/nuclei.{suffix}\n" in ran.stdout
    assert re.search(r"nucleus: \d{3,} outlined", ran.stdout)
    assert len(re.findall(r"= \d+ passed.* in ", ran.stdout)) == 2


def test_what_is_missing_is_named_in_one_line_to_who_may_not_install(project):
    ran = run_bare(project, "chmod -R a+rX . && su nobody -s /bin/bash -c 'make demo'")
    assert ran.returncode
    (line,) = (line for line in ran.stderr.splitlines() if line.startswith("error:"))
    assert "this machine lacks" in line
    assert re.search(r"apt-get install .*\blibtiff6\b", line)
