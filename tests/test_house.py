"""The house rules: what tools check, sizes, names, and what may stand where."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from configs.extras import EXTRAS

ROOT = Path(__file__).parent.parent
PACKAGES = ("configs", "pipeline", "matcher", "manager")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").glob("*.py"))

MOST_LINES = 250
MOST_LINES_OF_TESTS = 300
MOST_LINES_OF_A_FUNCTION = 40
MOST_PARAMETERS = 5

LONGER_MODULES = {
    "configs/settings.py": "a literal table: every setting with its manual",
}
LONGER_FUNCTIONS = {
    "matcher/health.py:application": "the table of routes; its handlers, of ten lines each, share one service",
}
MORE_PARAMETERS: dict[str, str] = {}
TWO_THINGS = {
    "matcher/messages.py": "a request is read, its answer written: the two halves of one format",
    "pipeline/quality/bounds.py": "two authors",
    "pipeline/quality/figures.py": "two standards",
}
"""Modules whose first line has an `and`, but not between two purposes."""

READ_THE_ENVIRONMENT = {
    "configs/cli.py": "the entry point of every command",
    "configs/discovery.py": "the default of an argument",
    "configs/load.py": "the default of an argument; the one place that exports credentials",
    "matcher/cli.py": "the entry point of the service",
    "manager/": "the embedded stack, the demo and the benchmarks start commands, which inherit it",
}
FORBIDDEN = {"utils", "util", "helpers", "helper", "base", "common", "misc", "shared", "tools"}
PUBLIC_NAMES = "pipeline/artifact/__init__.py"


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def python(*arguments: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, stdin=subprocess.DEVNULL
    )


TOOLS = {
    "ruff check": ["-m", "ruff", "check", "--no-fix", "."],
    "ruff format": ["-m", "ruff", "format", "--check", "."],
    "mypy --strict": ["-m", "mypy"],
    "import contracts": ["-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("tool", TOOLS)
def test_tools(tool: str) -> None:
    done = python(*TOOLS[tool])
    assert done.returncode == 0, done.stdout + done.stderr


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_sizes(path: Path) -> None:
    """A page per idea: long modules and functions, and many parameters, are ideas without a name."""
    name, text = name_of(path), path.read_text()
    lines = len(text.splitlines())
    assert lines <= MOST_LINES or name in LONGER_MODULES, f"{name} has {lines} lines, {MOST_LINES} are the most"
    for function in functions(ast.parse(text)):
        where = f"{name}:{function.name}"
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        assert length <= MOST_LINES_OF_A_FUNCTION or where in LONGER_FUNCTIONS, f"{where} has {length} lines"
        given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        count = len([one for one in given if one.arg not in {"self", "cls"}])
        is_command = any("command" in ast.unparse(decorator) for decorator in function.decorator_list)
        assert count <= MOST_PARAMETERS or is_command or where in MORE_PARAMETERS, f"{where} has {count} parameters"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_first_lines(path: Path) -> None:
    """The first line of a module is a sentence that says what it is for; an `and` between purposes means two modules."""
    name, tree = name_of(path), ast.parse(path.read_text())
    first = (ast.get_docstring(tree) or "").partition("\n")[0]
    assert first, f"{name} has no docstring"
    assert first.endswith((".", ":", "?")), f"{name}: the first line is a sentence, {first!r} is none"
    assert len(first) <= 110, f"{name}: the first line has {len(first)} characters"
    if path.stem == "__init__":
        assert len(tree.body) == 1 or name == PUBLIC_NAMES, f"{name} holds more than its docstring"
    else:
        assert "from __future__ import annotations" in path.read_text(), f"{name} lacks the future import"
        purpose = re.split(r"[:.?] ", first)[0]  # what follows is an enumeration or a second sentence
        assert " and " not in purpose or name in TWO_THINGS, f"{name}: one purpose a module, got {first!r}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_names(path: Path) -> None:
    name = name_of(path)
    for part in path.relative_to(ROOT).with_suffix("").parts:
        assert part not in FORBIDDEN, f"{name}: {part} says nothing"
    assert path.stem not in sys.stdlib_module_names - {"__init__"}, f"{name} hides the standard library's {path.stem}"
    classes = [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
    vague = [one for one in classes if one.endswith(("Helper", "Utils", "Base"))]
    if path.is_relative_to(ROOT / "manager"):  # where everything manages
        vague += [one for one in classes if one.endswith(("Manager", "Handler"))]
    assert not vague, f"{name}: {vague} say nothing"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_is_left_open(path: Path) -> None:
    """No placeholder, and no setting that comes by another way than `configs`."""
    name, text = name_of(path), path.read_text()
    for word in ("TODO", "FIXME", "XXX", "HACK", "raise NotImplementedError"):
        assert word not in text, f"{name}: {word}"
    if re.search(r"\bos\.(environ|getenv)\b", text):
        is_listed = name.startswith(tuple(READ_THE_ENVIRONMENT))
        assert is_listed, f"{name} reads the environment: take a section or a value as argument"


def test_no_exception_outlives_its_reason() -> None:
    for where in (*LONGER_MODULES, *LONGER_FUNCTIONS, *MORE_PARAMETERS, *TWO_THINGS, *READ_THE_ENVIRONMENT):
        name, _, function = where.partition(":")
        assert (ROOT / name).exists(), f"{where} is gone"
        assert f"def {function}(" in (ROOT / name).read_text() if function else True, f"{where} is gone"


def test_tests_are_flat() -> None:
    """A folder of tests named like a package hides the package."""
    inside = {path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("*.py")}
    assert {path for path in inside if len(path.parts) > 1 or path.name == "__init__.py"} == set()
    too_long = {
        path.name: lines for path in TESTS if (lines := len(path.read_text().splitlines())) > MOST_LINES_OF_TESTS
    }
    assert not too_long


CHECKS = {"raises", "warns", "fail", "wait_until", "bind", "verify"}
"""Calls that can fail a test: `bind` of a signature raises TypeError, `verify` of a folder ArtifactCorrupt."""


def can_fail(test: ast.AST, helpers: dict[str, ast.AST]) -> bool:
    """Whether a test asserts, expects an error, or calls a function of its file that does."""
    inside = list(ast.walk(test))
    called = {getattr(one.func, "attr", getattr(one.func, "id", "")) for one in inside if isinstance(one, ast.Call)}
    if any(isinstance(one, ast.Assert) for one in inside) or called & CHECKS:
        return True
    if any(name.startswith("assert_") for name in called):  # NumPy's, unittest.mock's
        return True
    rest = {name: node for name, node in helpers.items() if node is not test}
    return any(can_fail(rest[name], rest) for name in called & set(rest))


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_every_test_can_fail(path: Path) -> None:
    everything = {function.name: function for function in functions(ast.parse(path.read_text()))}
    helpers: dict[str, ast.AST] = {name: node for name, node in everything.items() if not name.startswith("test_")}
    idle = [name for name, node in everything.items() if name.startswith("test_") and not can_fail(node, helpers)]
    assert not idle, f"{path.name}: {idle} cannot fail"


@pytest.mark.parametrize("path", [path for path in TESTS if path.name != "waiting.py"], ids=name_of)
def test_no_test_sleeps_for_luck(path: Path) -> None:
    tree = ast.parse(path.read_text())
    polling = {id(node) for loop in ast.walk(tree) if isinstance(loop, ast.While) for node in ast.walk(loop)}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and id(node) not in polling]
    # up to a millisecond makes two times differ; longer is a guess how long something takes
    sleeps = [text for node in calls if re.match(r"(time|asyncio)\.sleep\((?!0(\.001)?\))", text := ast.unparse(node))]
    assert not sleeps, f"{path.name}: {sleeps}: use wait_until"


BROUGHT_ALONG = {
    "aiobotocore": "s3fs",
    "botocore": "s3fs",
    "markupsafe": "jinja2",
    "openapi_spec_validator": "moto",
    "tornado": "distributed",
}
"""Libraries that another one is made of."""

OF_TESTS = {"hypothesis", "minio", "moto", "nbclient", "nbformat", "playwright", "pytest", "schemathesis"}


def imported(paths: list[Path]) -> set[str]:
    """Names of the libraries that these files import, ours and the standard library's left out."""
    found = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - set(PACKAGES)


def test_every_library_is_declared() -> None:
    """In pyproject.toml, hence in a new environment."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core = {re.split(r"[\[><=]", line)[0] for line in project["dependencies"]}
    assert imported(MODULES) <= core | set(EXTRAS) | set(BROUGHT_ALONG)
    declared = {re.split(r"[\[><=]", line)[0] for line in project["optional-dependencies"]["dev"]}
    assert declared >= OF_TESTS
    ours = {path.stem for path in TESTS}
    assert imported(TESTS) - ours <= core | set(EXTRAS) | set(BROUGHT_ALONG) | OF_TESTS


def loaded_by(imports: str, libraries: set[str]) -> set[str]:
    """Which of the libraries a fresh interpreter has loaded after these imports."""
    done = python("-c", f"import {imports}, sys; print(*sys.modules)", timeout_s=60)
    assert done.returncode == 0, done.stderr
    return libraries & set(done.stdout.split())


@pytest.mark.parametrize(
    ("imports", "libraries"),
    [
        ("configs, pipeline, matcher, manager", {"numpy", "faiss", "dask", "pyarrow", "redis", "click"}),
        ("configs.load", {"numpy", "click", "rich"}),
        ("matcher.service", {"dask", "distributed", "bokeh", "jinja2", "pandas"}),
        ("matcher.cli", {"dask", "distributed", "bokeh", "jinja2", "pandas"}),
        ("matcher.client_sync", {"dask", "distributed", "faiss", "pyarrow", "uvicorn", "starlette"}),
        ("pipeline.artifact", {"faiss", "dask", "distributed", "s3fs", "redis"}),
        ("pipeline.search.index", {"dask", "distributed", "redis", "cupy"}),
        ("pipeline.stages", {"distributed", "redis", "cupy"}),
    ],
)
def test_imports_are_cheap(imports: str, libraries: set[str]) -> None:
    assert loaded_by(imports, libraries) == set()


ELSEWHERE = re.compile(
    "|".join(["/" + "work/", "/" + r"root\b", "/" + r"home/\w", "python" + "hosted", "py" + r"pi\.org", "--index" + "-url"])
)  # fmt: skip


def test_no_path_of_a_machine_and_no_registry_is_committed() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    assert len(names) > 100, "git ls-files lists the project"
    found = []
    for name in names:
        data = (ROOT / name).read_bytes()
        lines = [] if b"\0" in data else data.decode().splitlines()
        found += [f"{name}:{i}: {line.strip()}" for i, line in enumerate(lines, 1) if ELSEWHERE.search(line)]
    assert not found, "\n".join(found)
