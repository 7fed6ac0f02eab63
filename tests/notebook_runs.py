"""Runs the notebooks in a real kernel, in a folder with a small bucket; `python tests/notebook_runs.py` renews them."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from nbformat import NotebookNode

from configs.settings import Build, Quality, Settings, Storage
from pipeline.build import Order, build
from pipeline.generate.faces import Generator
from pipeline.progress import Lines
from pipeline.stage import serial

ROOT = Path(__file__).parent.parent
NOTEBOOKS = tuple(sorted((ROOT / "notebooks").glob("*.ipynb")))
LABEL = "mine"
VERSIONS = (("january", 4_500, 2_000, "exact"), ("february", 5_000, 2_500, "scan"))
"""Source, people, those with a second photo, recipe: such short lists would be searched exactly if nobody said more."""
TARGET = 0.003


def prepare(folder: Path) -> None:
    """A bucket with two versions of a list, the second longer and of another recipe."""
    faces, before = Generator("tree", 3), Path.cwd()
    os.chdir(folder)  # so that reports name `january.npz`, and no folder of this machine
    try:
        for name, people, twice, recipe in VERSIONS:
            first, second = faces.chunk(0, people), faces.probes(np.arange(twice))
            np.savez(
                f"{name}.npz", descriptors=np.concatenate([first.descriptors, second.descriptors]),
                id=np.array(first.ids + second.ids), person=np.array(first.people + second.people),
            )  # fmt: skip
            settings = Settings(
                storage=Storage(bucket="bucket"), build=Build(partition_rows=2_500, sample_rows=4_000, recipe=recipe),
                quality=Quality(mated_probes=2_000, non_mates=1_500, added_fnir=TARGET),
            )  # fmt: skip
            build(Order(f"{name}.npz", LABEL), settings, lambda: serial, Lines())
    finally:
        os.chdir(before)


def run(path: Path, folder: Path, **environ: str) -> NotebookNode:
    """The notebook with the outputs of a fresh kernel whose working folder is `folder`.

    Raises nbclient's CellExecutionError with the cell's traceback.
    """
    notebook = nbformat.read(path, as_version=4)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LIM_", "AWS_", "XDG_"))}
    given = {**clean, "HOME": str(folder), "PYTHONPATH": str(ROOT), "BUCKET": "bucket", **environ}
    with tempfile.TemporaryDirectory(prefix="lim-") as sockets:  # short: names of Unix sockets end at 107 letters
        resources = {"metadata": {"path": str(folder)}}
        client = NotebookClient(notebook, timeout=120, resources=resources, record_timing=False)
        # not over TCP, where anybody on the machine could listen
        kernel = client.create_kernel_manager()
        kernel.transport, kernel.ip = "ipc", f"{sockets}/kernel"
        client.execute(env=given)
    return notebook


def text_of(notebook: NotebookNode) -> str:
    """All plain-text outputs."""
    return "\n".join(
        "".join(output.get("data", {}).get("text/plain", output.get("text", "")))
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )


def renew(paths: tuple[Path, ...]) -> None:
    """Write outputs of small made data into the notebooks that are committed."""
    with tempfile.TemporaryDirectory(prefix="lim-") as name:
        folder = Path(name)
        prepare(folder)
        for path in paths:
            notebook = run(path, folder)
            notebook.metadata = {
                "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                "language_info": {"name": "python"},  # without the version of the interpreter, which differs
            }
            nbformat.write(notebook, path)
            sys.stdout.write(f"{path.name}: {len(notebook.cells)} cells\n")


if __name__ == "__main__":
    renew(NOTEBOOKS)
