"""A machine that gives too little is one sentence and an end, before anything large is loaded."""

import errno
import os
import resource
import shutil
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from deeplab import cgroups
from deeplab.errors import MachineError
from deeplab_cli.machine import NETWORK, TABLES, as_lack, check_machine
from deeplab_cli.main import main
from tests.data.folders import square, write_slide
from tests.small_runs import make_inputs, small_runs

MAIN = [sys.executable, "-m", "deeplab_cli.entry"]
SEGMENT = ["segment", "a.svs", "--model", "m.zip", "--annotation", "o.anot"]
FEATURES = ["features", "a.svs", "--csv", "o.csv"]
TRAIN = ["train", "slides", "m.zip", "--classes", "a"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.svs").touch()
    (tmp_path / "m.zip").touch()
    (tmp_path / "slides").mkdir()
    return tmp_path


def run_under(limits, words, folder, environment=None):
    def limit():
        for kind, soft in limits.items():
            resource.setrlimit(kind, (soft, resource.getrlimit(kind)[1]))

    return subprocess.run(
        [*MAIN, *words], cwd=folder, preexec_fn=limit, capture_output=True, text=True,
        timeout=300, check=False, env=os.environ | (environment or {}),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "gigabytes"),
    [(SEGMENT, 0.3), (SEGMENT, 1.5), (SEGMENT, 2.5), (TRAIN, 1.5), (FEATURES, 0.3), (FEATURES, 0.7),
     (["export", "m.zip", "--format", "onnx", "--output", "o"], 1.5)],
)  # fmt: skip
def test_too_little_room_for_addresses_is_one_sentence(folder, words, gigabytes):
    answer = run_under({resource.RLIMIT_AS: int(gigabytes * 1e9)}, words, folder)
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: there is not enough memory: this process may use ")
    assert f"use {gigabytes} GB (ulimit -v), and at least " in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == ["a.svs", "m.zip", "slides"]


# Claims a number of cores to all libraries of a process.
CORES = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int cores(void) { return atoi(getenv("CLAIMED_CORES")); }
static int fill(size_t bytes, cpu_set_t *set) {
  memset(set, 0, bytes);
  for (int i = 0; i < cores(); i++) CPU_SET_S(i, bytes, set);
  return 0;
}
long sysconf(int name) {
  long (*real)(int) = dlsym(RTLD_NEXT, "sysconf");
  int asked = name == _SC_NPROCESSORS_ONLN || name == _SC_NPROCESSORS_CONF;
  return asked ? cores() : real(name);
}
int get_nprocs(void) { return cores(); }
int get_nprocs_conf(void) { return cores(); }
int sched_getaffinity(pid_t p, size_t bytes, cpu_set_t *set) { return fill(bytes, set); }
int sched_setaffinity(pid_t p, size_t bytes, const cpu_set_t *set) { return 0; }
int pthread_getaffinity_np(pthread_t t, size_t bytes, cpu_set_t *set) { return fill(bytes, set); }
int pthread_setaffinity_np(pthread_t t, size_t bytes, const cpu_set_t *set) { return 0; }
"""


@pytest.fixture(scope="module")
def claimed(tmp_path_factory):
    """The environment in which a process has some number of cores."""
    folder = tmp_path_factory.mktemp("cores")
    (folder / "cores.c").write_text(CORES)
    compiler = shutil.which("gcc") or pytest.skip("there is no C compiler here")
    words = [compiler, "-shared", "-fPIC", "-o", "cores.so", "cores.c", "-ldl"]
    subprocess.run(words, cwd=folder, check=True)
    return lambda cores: {"LD_PRELOAD": str(folder / "cores.so"), "CLAIMED_CORES": str(cores)}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    make_inputs(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "more", "need", "kinds"),
    [
        ("segment", (), NETWORK, [resource.RLIMIT_AS, resource.RLIMIT_DATA]),
        ("train", ("--dry-run",), TABLES, [resource.RLIMIT_AS]),
        ("convert", (), TABLES, [resource.RLIMIT_AS, resource.RLIMIT_DATA]),
        ("features", (), TABLES, [resource.RLIMIT_AS, resource.RLIMIT_DATA]),
        ("evaluate", (), TABLES, [resource.RLIMIT_AS]),
    ],
)
def test_what_is_let_through_ends_well_on_64_cores(
    inputs, tmp_path, claimed, name, more, need, kinds
):
    words = [*small_runs(inputs, tmp_path)[name].words, *more]
    environment = claimed(64) | {"OPENBLAS_NUM_THREADS": "64"}
    least = {
        resource.RLIMIT_AS: need.address_gb[0] + 64 * need.address_gb[1],
        resource.RLIMIT_DATA: need.data_gb[0] + 64 * need.data_gb[1],
    }
    for kind in kinds:
        short = {kind: round(1e9 * (least[kind] - 0.01))}
        assert (
            "not enough memory: this process may use"
            in run_under(short, words, tmp_path, environment).stderr
        )
    enough = {kind: round(1e9 * (least[kind] + 0.01)) for kind in kinds}
    answer = run_under(enough, words, tmp_path, environment)
    assert answer.returncode == 0, answer.stderr


def test_too_little_memory_of_its_own_is_one_sentence(folder):
    answer = run_under({resource.RLIMIT_DATA: 500_000_000}, SEGMENT, folder)
    assert answer.returncode == 2
    assert "may use 0.5 GB (ulimit -d), and at least " in answer.stderr


def test_a_dry_run_needs_no_network(folder):
    answer = run_under({resource.RLIMIT_AS: int(1.5e9)}, [*TRAIN, "--dry-run"], folder)
    assert "holds no slide" in answer.stderr


@pytest.fixture
def cgroup(tmp_path, monkeypatch):
    monkeypatch.setattr(cgroups, "CGROUPS", tmp_path)

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{text}\n")

    return write


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_the_limit_of_a_container_counts(cgroup, name):
    cgroup(name, "max")
    check_machine(NETWORK)
    cgroup(name, 2**63 - 4096)  # no limit, in the first version
    check_machine(NETWORK)
    cgroup(name, 500_000_000)
    check_machine(TABLES)
    with pytest.raises(MachineError, match="may use 0.5 GB .the limit of its container"):
        check_machine(NETWORK)


def test_too_few_threads_are_one_sentence(cgroup):
    cgroup("pids.max", 1000)
    cgroup("pids.current", 10)
    check_machine(NETWORK)
    cgroup("pids.current", 995)
    with pytest.raises(MachineError, match="5 more are allowed"):
        check_machine(NETWORK)


def test_few_open_files_become_as_many_as_may_be(folder):
    script = (
        "import resource; from deeplab_cli.machine import *; check_machine(TABLES);"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    hard = min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    answer = subprocess.run(
        ["/bin/sh", "-c", f'ulimit -Sn 64; exec "{sys.executable}" -c "{script}"'],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(answer.stdout) == hard


def test_the_age_of_a_process_counts_from_its_start():
    script = (
        "import time; time.sleep(0.2); from deeplab_cli.machine import *; print(process_age_s())"
    )
    began_s = time.monotonic()
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    took_s = time.monotonic() - began_s
    assert 0.2 <= float(answer.stdout) <= took_s + 0.02  # the system counts in hundredths


class ResourceExhaustedError(Exception):
    """As TensorFlow's, by its name."""


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "not enough memory"),
        (ResourceExhaustedError("OOM when allocating tensor"), "not enough memory"),
        (RuntimeError("std::bad_alloc"), "not enough memory"),
        (ImportError("libx.so: failed to map segment from shared object"), "not enough memory"),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "not enough memory"),
        (RuntimeError("can't start new thread"), "no more threads"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE), "a.svs"), "too many files are open"),
        (OSError(errno.ENOSPC, "", "o.png"), "cannot write o.png: No space left on device"),
        (ResourceExhaustedError("x.v2; No space left on device"), "No space left on device"),
        (KeyError("a"), None),
        (OSError(errno.ENOENT, "no such file"), None),
    ],
)
def test_an_error_for_want_of_means_is_told_from_a_defect(error, sentence):
    wrapped = ValueError("told")
    wrapped.__cause__ = error
    for each in (error, wrapped):
        lack = as_lack(each)
        assert (lack is None) == (sentence is None)
        assert sentence is None or sentence in str(lack)


def test_the_edge_makes_one_line_of_it(folder, monkeypatch, capsys):
    stub = types.ModuleType("deeplab.inference.segment_each")

    def segment_each(request, progress, **_):
        raise MemoryError

    monkeypatch.setattr(stub, "segment_each", segment_each, raising=False)
    monkeypatch.setitem(sys.modules, stub.__name__, stub)
    monkeypatch.chdir(folder)
    assert main(SEGMENT) == 2
    assert capsys.readouterr().err.startswith("error: there is not enough memory, of the machine")


def test_a_folder_that_is_gone_is_one_sentence(folder):
    line = f'mkdir gone; cd gone; rmdir ../gone; exec "{sys.executable}" -m deeplab_cli.entry'
    answer = subprocess.run(
        ["/bin/sh", "-c", f"{line} features {folder / 'a.svs'} --csv {folder / 'o.csv'}"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: the folder that this was started in is no longer there")


@pytest.mark.slow
def test_an_odd_home_and_settings_of_others_change_nothing(tmp_path):
    write_slide(tmp_path / "a.tiff", lesion=[square(10, 10, 20)])
    odd = {"HOME": "/proc", "MPLBACKEND": "nonsense", "MPLCONFIGDIR": "/proc/x", "LC_ALL": "C",
           "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "XDG_CACHE_HOME": "/proc/y"}  # fmt: skip
    words = ["features", "a.tiff", "--report", "Größe.html", "--pixels", "off"]
    answer = subprocess.run(
        [*MAIN, *words], cwd=tmp_path, env=os.environ | odd, capture_output=True, timeout=120,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "Größe.html").exists()
    assert answer.stderr == b""
