"""The notebooks: run in a real kernel, what they show, what is committed of them."""

from __future__ import annotations

import ast
import base64
import platform
import re
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from notebook_runs import LABEL, NOTEBOOKS, TARGET, prepare, run, text_of

from pipeline.artifact import Store, open_store, read_head
from pipeline.notebooks import show_quality
from pipeline.plan import propose
from pipeline.quality.reading import Report, read_report
from pipeline.recipes.candidate import Facts
from pipeline.recipes.known import memory

NAMES = [path.stem for path in NOTEBOOKS]
MOST_LINES = 8
MOST_PARAMETERS = 10
PARAMETERS = {
    "quality": {},
    "thresholds": {"SEARCHES_A_DAY": "4000", "MATED_SHARE": "0.5", "ALARMS_A_DAY": "0.2"},
    "capacity": {"ROWS": "3000000", "MACHINE_GB": "8"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the kernels work in, with two versions of a label in `bucket`."""
    where = tmp_path_factory.mktemp("notebooks")
    prepare(where)
    return where


@pytest.fixture(scope="module")
def fresh(folder: Path) -> dict[str, NotebookNode]:
    """Every notebook, run with PARAMETERS."""
    return {path.stem: run(path, folder, **PARAMETERS[path.stem]) for path in NOTEBOOKS}


@pytest.fixture(scope="module")
def store(folder: Path) -> Store:
    return open_store(str(folder / "bucket"))


@pytest.fixture(scope="module")
def report(store: Store) -> Report:
    return read_report(store, LABEL)


def committed(name: str) -> NotebookNode:
    return nbformat.read(next(path for path in NOTEBOOKS if path.stem == name), as_version=4)


def code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: NotebookNode) -> list[dict[str, Any]]:
    return [output for cell in code(notebook) for output in cell.outputs]


def tables(notebook: NotebookNode) -> list[dict[str, list[str]]]:
    """Every table shown as text: rows by their first cell, split where two blanks are."""
    found = []
    for output in outputs(notebook):
        lines = output["data"]["text/plain"].splitlines()
        if len(lines) > 1 and re.fullmatch(r"[- ]+", lines[1]):
            cells = [re.split(r"\s{2,}", line.strip()) for line in lines[2:]]
            found.append({row[0]: row[1:] for row in cells})
    return found


def shapes(notebook: NotebookNode) -> list[list[list[str]]]:
    """What each cell shows, without figures: kinds of output and headings of tables."""
    return [
        [[*sorted(output["data"]), *re.findall(r"<th [^>]*>(.*?)</th>", output["data"].get("text/html", ""))]
         for output in cell.outputs]
        for cell in code(notebook)
    ]  # fmt: skip


def test_three_notebooks_are_here() -> None:
    assert NAMES == ["capacity", "quality", "thresholds"]


@pytest.mark.parametrize("name", NAMES)
def test_cells_hold_no_logic(name: str) -> None:
    """Names, calls and a default with `or`; what is more than that belongs into the library."""
    for number, cell in enumerate(code(committed(name))):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        most = MOST_PARAMETERS if "parameters" in cell.metadata.get("tags", []) else MOST_LINES
        assert len(lines) <= most, f"{name}, cell {number} has {len(lines)} lines"
        nodes = list(ast.walk(ast.parse(cell.source)))
        logic = (
            ast.FunctionDef,
            ast.AsyncFunctionDef,
            ast.ClassDef,
            ast.Lambda,
            ast.For,
            ast.While,
            ast.If,
            ast.IfExp,
            ast.Try,
        )
        assert not [node for node in nodes if isinstance(node, logic)], f"{name}, cell {number}"
        assert not [
            node for node in nodes if isinstance(node, ast.ListComp | ast.DictComp | ast.GeneratorExp | ast.With)
        ]


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_that_shows_something_is_explained(name: str) -> None:
    """A text stands above whatever is shown, or above the picture beside it."""
    cells = committed(name).cells
    assert "How to get here" in cells[0].source
    assert cells[1].metadata["tags"] == ["parameters"]
    explained = ""
    for number, cell in enumerate(cells[1:], 1):
        if cell.cell_type == "markdown":
            explained = cell.source
        elif cell.outputs:
            before = [one.cell_type for one in cells[number - 2 : number]]
            assert "markdown" in before, f"{name}, cell {number} shows what no text explains"
            assert len(explained.split()) > 10


@pytest.mark.parametrize("name", NAMES)
def test_outputs_that_are_committed_are_of_this_code(name: str, fresh: dict[str, NotebookNode]) -> None:
    """Whole, in order and of today's shape; `python tests/notebook_runs.py` renews them."""
    kept = committed(name)
    assert [cell.execution_count for cell in code(kept)] == list(range(1, len(code(kept)) + 1))
    assert shapes(kept) == shapes(fresh[name]), "renew them: python tests/notebook_runs.py"


@pytest.mark.parametrize("name", NAMES)
def test_outputs_name_no_machine_and_run_no_script(name: str) -> None:
    """A code host shows what is committed to strangers, without scripts."""
    shown = "\n".join(str(output) for output in outputs(committed(name)))
    assert not re.search(r"/(tmp|root|home|Users|work|var|opt)/|file://|[A-Z]:\\\\", shown)
    assert platform.node() not in shown or len(platform.node()) < 4
    assert "<script" not in shown
    assert "<style" not in shown
    assert committed(name).metadata["language_info"] == {"name": "python"}, "without an interpreter's version"


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_without_a_word_of_warning(name: str, fresh: dict[str, NotebookNode]) -> None:
    assert {output["output_type"] for output in outputs(fresh[name])} == {"execute_result"}
    assert [cell.execution_count for cell in code(fresh[name])] == list(range(1, len(code(fresh[name])) + 1))


def test_quality_shows_what_was_measured(fresh: dict[str, NotebookNode], report: Report, store: Store) -> None:
    versions, overview, points, cohorts, comparison = tables(fresh["quality"])
    head, quality = read_head(store, LABEL)[0], report.manifest.quality
    assert list(versions) == [head.index_id, *head.previous]
    assert versions[head.index_id][-1] == "serves"
    assert overview["threshold"] == [f"{quality['threshold']:.4f}"]
    assert overview["mated probes, non-mates"] == [f"{quality['probes']:,}, {quality['non_mates']:,}"]
    low, high = report.data["decision"]["intervals"]["exact_fnir"]
    assert overview["FNIR of exact search"] == [f"{quality['exact_fnir']:.3g}", f"{low:.3g} – {high:.3g}"]
    assert set(points) == {one["name"] for one in report.curve}
    assert [row[0] for row in cohorts.values()] == [f"{one['probes']:,}" for one in report.cohorts]
    before = read_report(store, LABEL, head.previous[0]).manifest.quality
    row = comparison["FNIR of exact search"]
    assert (row[0], row[2]) == (f"{before['exact_fnir']:.3g}", f"{quality['exact_fnir']:.3g}")
    assert row[-1] in {"better", "worse", "not told apart"}
    assert "the list had 6,500 rows, has 7,500" in text_of(fresh["quality"])
    pictures = [output["data"]["image/png"] for output in outputs(fresh["quality"]) if "image/png" in output["data"]]
    assert len(set(pictures)) == 5
    histogram = show_quality.pictures(report)["histogram"]
    assert base64.b64decode(pictures[1]) == histogram._repr_png_()[0]
    bars = np.count_nonzero(report.histograms.mates) + np.count_nonzero(report.histograms.impostors)
    assert histogram.svg.count("<rect") == bars + 2, (
        "a bar for every bin that is not empty, and two marks of the legend"
    )


def test_thresholds_are_those_of_the_report(fresh: dict[str, NotebookNode], report: Report) -> None:
    thresholds, day, wish, needed, tried, pairs = tables(fresh["thresholds"])
    told = {f"{one['fpir']:g}": one for one in report.thresholds if one["resolvable"]}
    assert set(day) == set(told) < set(thresholds)
    for fpir, one in told.items():
        assert thresholds[fpir][0] == f"{one['threshold']:.4f}"
        alarms = float(day[fpir][1].replace(",", ""))
        assert alarms == pytest.approx(one["fpir_index"] * 2_000, rel=0.05, abs=0.5), "of 4,000 searches half are mated"
    assert thresholds["0.0001"][-1] == "too few non-mates to tell"
    assert wish["threshold"] == ["none: measure with at least 29,956 non-mates"], "0.2 of 2,000 are 1 in 10,000"
    assert needed["0.001"] == ["1,000", "2,995", "30,000", "bounding it"]
    assert set(tried) >= {"FPIR", "FNIR"}
    assert tried["FPIR"][-1] == "agrees"
    similarities = [float(row[1]) for row in pairs.values()]
    assert similarities == sorted(similarities, reverse=True)


def test_capacity_is_the_planner_s(fresh: dict[str, NotebookNode], report: Report) -> None:
    basis, options, stages = tables(fresh["capacity"])
    out = report.manifest.parameters["out"]
    rerank = report.data["spec"]["build"]["rerank"]
    facts = Facts(rows=3_000_000, dim=512, out=out, recipe="auto", rerank=rerank, device="cpu", memory_limit=0)
    planned = {one.name: one for one in propose(facts)}
    assert set(options) == set(planned)
    assert basis["rows, dimensions"] == ["7,500 × 512"]
    exact = memory(planned["exact"]).anonymous
    assert options["exact"][2] == f"{exact / 1e9:.3g} GB"
    assert int(options["exact"][7]) == -(-exact // int(8e9 * 0.8 / 2)) == 2, "3.2 of 8 GB are for one version"
    assert int(options["scan"][7]) == 1
    assert int(options["exact"][7]) > int(options["scan"][7])
    assert options["scan"][-1].startswith(f"bound {report.manifest.quality['added_fnir_bound']:.2g} measured")
    assert stages["truth"][-1] == "the rows"
    assert set(stages) == {*report.data["stages"], "all"}
    assert report.manifest.quality["target"] == TARGET


def test_a_label_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(
        CellExecutionError, match=r"label 'nobody': nothing is published in .*build an index for it first"
    ):
        run(next(path for path in NOTEBOOKS if path.stem == "thresholds"), folder, LABEL="nobody")
