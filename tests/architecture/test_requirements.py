"""What setup.py requires is what is imported: nothing less, and nothing that nobody uses."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"deeplab", "deeplab_cli"}
# Installed without its requirements (Makefile, Dockerfile), half of which are readers of slides
# that need libraries of the system; those it does use are required here.
WITHOUT_REQUIREMENTS = {"histomicstk"}
FOR_TESTS = {"girder-large-image-annotation"}
WITH_TENSORFLOW = {"keras", "google"}
EXTRAS = {"cpu": {"tensorflow", "openvino"}, "ray": {"ray"}, "onnx": {"onnx", "tf2onnx"}}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def argument(name: str) -> object:
    """What setup.py gives to setup()."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    (call,) = [node.value for node in tree.body if isinstance(node, ast.Expr)][1:]
    (value,) = [keyword.value for keyword in call.keywords if keyword.arg == name]
    return ast.literal_eval(value)


def names_of(requirements: object) -> set[str]:
    return {normal(re.split(r"[\s<>=!~\[;]", each)[0]) for each in requirements}


def imported() -> dict[str, str]:
    """Each package from elsewhere that is imported, and one place where."""
    found = {}
    for folder in ("deeplab", "cli"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = []
                if isinstance(node, ast.Import):
                    names = [each.name for each in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module]
                for name in names:
                    found.setdefault(name.partition(".")[0], str(path.relative_to(ROOT)))
    return {
        name: path
        for name, path in found.items()
        if name not in OURS and name not in sys.stdlib_module_names
    }


REQUIRED = names_of(argument("install_requires"))
OPTIONAL = set().union(*EXTRAS.values())


def distributions(module: str) -> set[str]:
    return {normal(each) for each in packages_distributions().get(module, [module])}


@pytest.mark.parametrize(("module", "path"), sorted(imported().items()))
def test_what_is_imported_is_required(module, path):
    may_be = distributions(module)
    assert may_be & (REQUIRED | WITHOUT_REQUIREMENTS) or module in OPTIONAL | WITH_TENSORFLOW, (
        f"{path} imports {module}, which setup.py does not require"
    )


def test_what_is_required_is_imported():
    used = set().union(*map(distributions, imported()))
    assert REQUIRED - used == set()


def test_an_extra_holds_what_its_imports_need():
    extras = argument("extras_require")
    for name, needed in EXTRAS.items():
        assert needed & set(imported()), f"nothing of the extra {name} is imported"
        assert all(any(each.startswith(n) for each in names_of(extras[name])) for n in needed)


@pytest.mark.parametrize("file", ["Makefile", "Dockerfile"])
def test_what_is_installed_without_its_requirements_is_what_is_imported_so(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    told = {normal(each) for each in re.findall(r"--no-deps\s+([A-Za-z][\w-]*)==", text)}
    assert told - FOR_TESTS == WITHOUT_REQUIREMENTS
