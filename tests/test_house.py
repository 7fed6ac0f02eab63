"""The house rules: tools and sizes."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("configs", "pipeline", "matcher", "manager")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").glob("test_*.py"))

MOST_LINES = 250
MOST_LINES_OF_A_FUNCTION = 40
LONGER_MODULES: dict[str, str] = {
    "configs/settings.py": "a literal table: every setting with its manual",
}
LONGER_FUNCTIONS: dict[str, str] = {
    "matcher/health.py:application": "the handlers are closures over one service, ten lines each",
}
FORBIDDEN = {"utils", "util", "helpers", "helper", "base", "common", "misc", "shared"}


def run(*command: str) -> None:
    """Fail with the tool's own words."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_mypy_strict() -> None:
    run("mypy")


def test_ruff_check() -> None:
    run("ruff", "check", ".")


def test_ruff_format() -> None:
    run("ruff", "format", "--check", ".")


def test_import_contracts() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports"))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module(path: Path) -> None:
    """Sizes, names, and a first line that says what the module is for."""
    name, text = str(path.relative_to(ROOT)), path.read_text()
    if name not in LONGER_MODULES:
        assert text.count("\n") <= MOST_LINES, f"{name} has {text.count(chr(10))} lines"
    assert path.stem not in FORBIDDEN
    assert path.stem == "__init__" or path.stem not in sys.stdlib_module_names or path.stem in PACKAGES
    tree = ast.parse(text)
    first = (ast.get_docstring(tree) or "").splitlines()
    assert first, f"{name} has no docstring"
    assert first[0].endswith((".", ":", "?")), f"{name}: the first line is a sentence, {first[0]!r} is none"
    if path.stem == "__init__" and name != "pipeline/artifact/__init__.py":
        assert len(tree.body) == 1, f"{name} holds more than its docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            where = f"{name}:{node.name}"
            assert length <= MOST_LINES_OF_A_FUNCTION or where in LONGER_FUNCTIONS, f"{where} has {length} lines"


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_every_test_can_fail(path: Path) -> None:
    """A test asserts, expects an error, or calls something that does."""
    tree = ast.parse(path.read_text())
    checks = {"raises", "wait_until", "warns", "fail", "run", "check"}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            inside = list(ast.walk(node))
            asserts = any(isinstance(one, ast.Assert) for one in inside)
            called = {
                getattr(one.func, "attr", getattr(one.func, "id", "")) for one in inside if isinstance(one, ast.Call)
            }
            helpers = {name for name in called if name.startswith(("assert_", "check_", "expect"))}
            assert asserts or called & checks or helpers, f"{path.name}:{node.name} cannot fail"


def test_importing_costs_nothing() -> None:
    """`import pipeline` loads none of the heavy libraries."""
    code = "import sys, pipeline; print([m for m in ('numpy', 'faiss', 'dask', 'pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_matcher_never_loads_dask() -> None:
    code = "import sys, matcher.cli, matcher.client; print([m for m in ('dask', 'distributed') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_client_loads_neither_faiss_nor_arrow() -> None:
    code = "import sys, matcher.client_sync; print([m for m in ('faiss', 'pyarrow', 'uvicorn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_path_of_a_machine_and_no_registry_is_committed() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    pattern = re.compile("|".join(["/" + "work/", "/" + "root/", "files." + "pythonhosted", "pypi" + ".org/simple"]))
    found = []
    for name in listed:
        path = ROOT / name
        if path.suffix in {".py", ".toml", ".md", ".yaml", ".yml", ".j2", ""} and path.is_file():
            found += [
                f"{name}: {line.strip()}"
                for line in path.read_text(errors="ignore").splitlines()
                if pattern.search(line)
            ]
    assert not found
