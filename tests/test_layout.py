"""The repository root is the package `foveate`: the traps of that layout, each closed and each tested."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

import foveate
import layout

LONGEST_FILE = 500
PYTHON_FOLDERS = ("tests", "examples", "benchmarks")


@pytest.fixture(scope="module")
def setuptools_table(root: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    return table


def run_python(code: str, *, cwd: Path, safe_path: bool = True) -> str:
    """Run `code` in a fresh interpreter and return what it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    if safe_path:
        environment["PYTHONSAFEPATH"] = "1"
    ended = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


# Trap 1: with the root on sys.path, transformers takes our kernels/ for the public package of that name.


def test_transformers_does_not_find_our_kernels_from_the_root(root: Path) -> None:
    code = "import sys; from transformers import LlavaForConditionalGeneration; print('kernels' in sys.modules)"
    assert run_python(code, cwd=root) == "False"


def test_transformers_imports_even_where_it_does_find_them(root: Path) -> None:
    code = "import sys, kernels; from transformers import LlavaForConditionalGeneration; print(kernels.__file__)"
    assert Path(run_python(code, cwd=root, safe_path=False)) == root / "kernels" / "__init__.py"


def test_kernels_init_holds_a_docstring_only(root: Path) -> None:
    tree = ast.parse((root / "kernels" / "__init__.py").read_text())
    assert len(tree.body) == 1
    assert ast.get_docstring(tree)


def test_make_and_ci_set_the_safe_path(root: Path) -> None:
    assert "export PYTHONSAFEPATH := 1" in (root / "Makefile").read_text()
    assert "export PYTHONSAFEPATH=1" in (root / ".ci" / "run").read_text()


# Trap 2: pytest imports the root __init__.py a second time, under the name of the clone's folder.


def test_the_root_imports_nothing_and_can_be_imported_twice(root: Path) -> None:
    code = f"""
import importlib.util, sys, importlib, typing
before = set(sys.modules)
import foveate
spec = importlib.util.spec_from_file_location("clone", {str(root / "__init__.py")!r}, submodule_search_locations=[])
again = importlib.util.module_from_spec(spec)
spec.loader.exec_module(again)
assert again.__all__ == foveate.__all__
print(sorted(set(sys.modules) - before - set(sys.stdlib_module_names)))
"""
    assert run_python(code, cwd=root) == "['foveate']"


@pytest.mark.parametrize("name", foveate.__all__)
def test_every_public_name_is_a_function_from_below(name: str) -> None:
    function = getattr(foveate, name)
    assert callable(function)
    assert function.__module__.startswith("foveate.")
    assert name in dir(foveate)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'foveate' has no attribute 'plam'"):
        foveate.plam  # noqa: B018


def test_no_module_at_the_root_covers_a_public_function(root: Path) -> None:
    at_root = {path.stem for path in root.glob("*.py")} | {path.name for path in root.iterdir() if path.is_dir()}
    assert at_root & set(foveate.__all__) == set()


def test_modules_import_each_other_relatively() -> None:
    """`import foveate` inside the package would start a second copy where the root goes by another name."""
    absolute = [
        f"{layout.dotted(path)}:{node.lineno}"
        for path in layout.module_files()
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "foveate")
        or (isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "foveate" for alias in node.names))
    ]
    assert absolute == []


# Trap 3 (type checkers name modules after the clone's folder) is closed by `make lint`.


def test_type_checking_goes_through_a_link_named_foveate(root: Path) -> None:
    made = subprocess.run(["make", "-B", "build/typecheck/foveate"], cwd=root, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert (root / "build" / "typecheck" / "foveate").resolve() == root
    assert "cd $(dir $(LINK)) && $(abspath $(BIN))/mypy" in (root / "Makefile").read_text()


# Trap 4: what is listed by name can be forgotten, and what is listed by a wide pattern sweeps docs and tests along.


def test_packages_are_those_on_disk(setuptools_table: dict[str, Any]) -> None:
    with_python = {layout.dotted(folder) for folder in layout.folders() if any(folder.glob("*.py"))}
    assert sorted(setuptools_table["packages"]) == sorted(with_python)


def test_every_folder_with_python_is_a_package() -> None:
    bare = [
        str(folder) for folder in layout.folders() if any(folder.glob("*.py")) and not (folder / "__init__.py").exists()
    ]
    assert bare == []


def test_package_data_are_the_data_on_disk(root: Path, setuptools_table: dict[str, Any]) -> None:
    listed: set[Path] = set()
    for package, patterns in setuptools_table["package-data"].items():
        folder = root.joinpath(*package.split(".")[1:])
        for pattern in patterns:
            found = {path for path in folder.glob(pattern) if path.is_file()}
            assert found, f"{package}: {pattern} matches nothing"
            assert "**" not in pattern, f"{package}: {pattern} may sweep more than data"
            listed |= found
    on_disk = {path for folder in layout.folders() if folder != root for path in folder.iterdir() if _is_data(path)}
    assert sorted(listed) == sorted(on_disk | {root / "py.typed"})


def _is_data(path: Path) -> bool:
    return path.is_file() and path.suffix not in {".py", ".pyc"} and not path.name.startswith(".")


def test_the_wheel_holds_the_package_and_nothing_else(
    tmp_path: Path, root: Path, setuptools_table: dict[str, Any]
) -> None:
    source = layout.copy_sources(tmp_path / "source")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(source)], check=True)
    with ZipFile(next(tmp_path.glob("foveate-*.whl"))) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
        metadata = wheel.read(next(name for name in wheel.namelist() if name.endswith("/METADATA"))).decode()
    data = {path for folder in layout.folders() if folder != root for path in folder.iterdir() if _is_data(path)}
    wanted = {*layout.module_files(), *data, root / "py.typed"}
    assert held == {f"foveate/{path.relative_to(root).as_posix()}" for path in wanted}
    assert f"Version: {foveate.__version__}" in metadata


# And what keeps the house light.


def test_files_stay_short(root: Path) -> None:
    others = [path for folder in PYTHON_FOLDERS for path in (root / folder).rglob("*.py")]
    lengths = {path: len(path.read_text().splitlines()) for path in [*layout.module_files(), *others]}
    assert {str(path): length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_asking_for_help_imports_no_heavy_library(root: Path) -> None:
    code = """
import sys
sys.argv = ["foveate", "--help"]
from foveate.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
heavy = {"torch", "transformers", "triton", "onnx", "optuna", "scipy"} & set(sys.modules)
print(f"heavy: {sorted(heavy)}")
"""
    assert run_python(code, cwd=root).endswith("heavy: []")
