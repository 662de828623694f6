"""The house stands: imports run one way, optional packages are optional, and what pyproject.toml names exists."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())

ROOMS = ("evaluation", "configs", "stage2_nerf", "stage1_edit", "tracking")
"""A room may import those that come after it; but evaluation none of the configs."""

FOREIGN_TO = {
    "evaluation": {"configs", "diffusers"},
    "tracking": {"nerfstudio", "diffusers", "transformers"},
    "stage1_edit": {"nerfstudio"},
    "stage2_nerf": {"diffusers", "transformers"},
    "configs": {"diffusers", "transformers"},
}
OPTIONAL_PACKAGES = ("diffusers", "transformers", "face_alignment", "pytorch3d", "tinycudann")
MOST_LINES = 400

HIDE_OPTIONAL_PACKAGES = f"""
from importlib.machinery import PathFinder

hidden = {OPTIONAL_PACKAGES}
find_spec, find_distributions = PathFinder.find_spec, PathFinder.find_distributions

@classmethod
def find_other_spec(cls, name, path=None, target=None):
    return None if name.partition(".")[0] in hidden else find_spec(name, path, target)

@staticmethod
def find_other_distributions(context):
    return iter(()) if (context.name or "").replace("-", "_") in hidden else find_distributions(context)

PathFinder.find_spec, PathFinder.find_distributions = find_other_spec, find_other_distributions
"""
"""Makes the optional packages as absent as if they were not installed, also to those who merely look for them."""


def modules(room: str) -> list[Path]:
    return sorted((REPOSITORY / room).rglob("*.py"))


def imported_names(module: Path) -> Iterator[tuple[str, bool]]:
    """The top-level packages that a module imports, and whether it needs them to be there when it is imported."""
    tree = ast.parse(module.read_text())
    late = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or is_type_checking(node)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            names = [node.module or ""]
        else:
            continue
        for name in names:
            yield name.partition(".")[0], node not in late


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


@pytest.fixture
def without_optional_packages(tmp_path: Path) -> dict[str, str]:
    """The environment of a Python that has none of the optional packages."""
    (tmp_path / "sitecustomize.py").write_text(HIDE_OPTIONAL_PACKAGES)
    return {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}


def run_python(code: str, environment: dict[str, str]) -> str:
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("room", ROOMS)
def test_imports_run_one_way(room: str) -> None:
    allowed = set(ROOMS[ROOMS.index(room) :])
    for module in modules(room):
        imported = {name for name, _ in imported_names(module)}
        assert imported & set(ROOMS) <= allowed, module
        assert not imported & FOREIGN_TO[room], module
        assert not imported & {"scripts", "tests", "conftest"}, module


def test_optional_packages_are_imported_in_functions_of_one_file() -> None:
    """One file of the product; and one of evaluation, which measures the product by means of its own."""
    for package in OPTIONAL_PACKAGES:
        importers: dict[bool, set[Path]] = {True: set(), False: set()}
        for room in ROOMS:
            for module in modules(room):
                for name, at_once in imported_names(module):
                    if name == package:
                        assert not at_once, f"{module} needs {package} to be imported at all"
                        importers[room == "evaluation"].add(module)
        assert all(len(files) <= 1 for files in importers.values()), importers


def test_rooms_are_complete_and_plain() -> None:
    folders = {path.parent.name for path in REPOSITORY.glob("*/__init__.py") if path.parent.name != "tests"}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == set(ROOMS) == folders
    for room in ROOMS:
        assert [path.relative_to(REPOSITORY) for path in (REPOSITORY / room).rglob("__init__.py")] == [
            Path(room, "__init__.py")
        ]
        assert (REPOSITORY / room / "__init__.py").read_text() == ""


def test_files_are_short() -> None:
    for folder in (*ROOMS, "scripts", "tests"):
        for path in modules(folder):
            lines = len(path.read_text().splitlines())
            assert lines <= MOST_LINES, f"{path} has {lines} lines"


def test_every_module_and_entry_point_loads_without_optional_packages(
    without_optional_packages: dict[str, str],
) -> None:
    names = [f"{room}.{path.stem}" for room in ROOMS for path in modules(room) if path.stem != "__init__"]
    groups = [PROJECT["project"]["scripts"], *PROJECT["project"]["entry-points"].values()]
    targets = [target for group in groups for target in group.values()]
    code = f"""
import importlib.util, pathlib, sys
for package in {OPTIONAL_PACKAGES}:
    assert importlib.util.find_spec(package) is None, package
for name in {names}:
    module = importlib.import_module(name)
    assert pathlib.Path(module.__file__).parent.parent == pathlib.Path({str(REPOSITORY)!r}), module
for target in {targets}:
    module, _, attribute = target.partition(":")
    getattr(importlib.import_module(module), attribute)
assert not set({OPTIONAL_PACKAGES}) & set(sys.modules)
"""
    run_python(code, without_optional_packages)


def test_tracking_and_editing_load_neither_nerfstudio_nor_diffusers() -> None:
    names = [f"{room}.{path.stem}" for room in ("tracking", "stage1_edit") for path in modules(room)]
    code = f"""
import importlib, sys
for name in {[name for name in names if not name.endswith("__init__")]}:
    importlib.import_module(name)
assert not {{"nerfstudio", "diffusers", "transformers"}} & set(sys.modules), "loaded unasked"
"""
    run_python(code, dict(os.environ))


def test_other_methods_are_listed_and_help_is_given_without_optional_packages(
    without_optional_packages: dict[str, str],
) -> None:
    code = "import sys; sys.argv = ['ns-train', 'nerfacto', '--help']; from nerfstudio.scripts.train import entrypoint"
    output = run_python(f"{code}; entrypoint()", without_optional_packages)
    assert "--pipeline.model" in output
    assert "Error loading" not in output


def test_installed_metadata_names_what_pyproject_names() -> None:
    """nerfstudio finds the method through the installed project: a stale install would hide what is new."""
    from importlib.metadata import entry_points

    for group, named in PROJECT["project"]["entry-points"].items():
        installed = {entry.name: entry.value for entry in entry_points(group=group)}
        assert named.items() <= installed.items()


def test_constraints_hold_what_the_project_pins() -> None:
    pins = re.findall(r'"([\w.-]+)(?:\[\w+\])?==([\w.]+)"', (REPOSITORY / "pyproject.toml").read_text())
    constraints = (REPOSITORY / "constraints.txt").read_text().splitlines()
    assert pins
    for name, version in pins:
        assert f"{name}=={version}" in constraints


@pytest.mark.parametrize("script", ["scripts/install.sh", "scripts/test.sh", "scripts/demo.sh", ".ci/run"])
def test_scripts_are_bash(script: str) -> None:
    assert subprocess.run(["bash", "-n", REPOSITORY / script], check=False).returncode == 0
