"""Labels of a URL template with their rows, in folders and on a real S3 server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError
from configs.settings import Settings, Source, Storage
from manager.embedded.seaweed import S3
from pipeline.order import Order, listed
from pipeline.sources.counting import Survey, survey
from pipeline.sources.errors import SourceMissing
from pipeline.sources.labels import Labels
from pipeline.sources.places import Place
from pipeline.sources.templates import Template

DIM = 4
ODD = ["plain", "with space", "a[1]", "a1", "50%", "q?", "st*r", "ü#+", "{b}"]


class Lists:
    """A place for lists."""

    def __init__(self, root: str, storage: Storage) -> None:
        self.root, self.storage = root, storage
        self.fs, _ = Place.of(root, storage).open()
        self.fs.auto_mkdir = True  # where there are folders

    def put(self, name: str, rows: int, *, version: int = 0) -> None:
        """Write a list; another version of it has other bytes."""
        with self.fs.open(f"{self.root}/{name}", "wb") as stream:
            if name.endswith(".parquet"):
                vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(rows * DIM, dtype=np.float32)), DIM)
                ids = pa.array([f"{version}-{row}" for row in range(rows)])
                pq.write_table(pa.table({"id": ids, "descriptor": vectors}), stream)
            elif name.endswith(".id.npy"):
                np.save(stream, np.arange(rows) + version)
            else:
                np.save(stream, np.full((rows, DIM), version + 1, np.float32))

    def settings(self, template: str, **columns: Any) -> Settings:
        return Settings(source=Source(template=f"{self.root}/{template}", **columns), storage=self.storage)

    def look(self, template: str, known: Survey | None = None, label: str = "", **columns: Any) -> Survey:
        chosen = self.settings(template, **columns)
        return survey(Labels(chosen), chosen, known.lists if known else {}, label=label)


@pytest.fixture(params=["folder", "s3"])
def lists(request: pytest.FixtureRequest, tmp_path: Path) -> Lists:
    if request.param == "folder":
        return Lists(f"file://{tmp_path}/lists", Storage())
    server: S3 = request.getfixturevalue("s3_server")
    return Lists(request.getfixturevalue("s3_url"), Storage(endpoint_url=server.endpoint))


def rows(found: Survey) -> dict[str, int]:
    assert found.errors == {}
    return {label: counted.rows for label, counted in found.lists.items()}


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ("{label}/*.parquet", ["{}/0.parquet", "{}/1.parquet"]),
        ("{label}.npy", ["{}.npy", "{}.id.npy"]),
        ("{label}/", ["{}/a.npy", "{}/deep/b.npy", "{}/b.npy"]),
        ("people/{label}/{label}.npy", ["people/{}/{}.npy"]),
        ("*/x-{label}/**/*.npy", ["n/x-{}/a/b.npy", "m/x-{}/a/c.npy"]),
    ],
)
def test_every_label_is_what_a_build_of_it_reads(lists: Lists, template: str, names: list[str]) -> None:
    """The rows and the fingerprint are those of the source that the template names for the label."""
    for size, label in enumerate(ODD, 1):
        for name in names:
            lists.put(name.format(label, label), size)
    found = lists.look(template)
    assert sorted(rows(found)) == sorted(ODD)
    chosen = lists.settings(template)
    for label in ODD:
        listing, fingerprint = listed(Order(Template(chosen.source.template).fill(label), label), chosen)
        assert (found.lists[label].rows, found.lists[label].fingerprint) == (listing.rows, fingerprint), label
    for label in ODD[:4]:
        assert lists.look(template, label=label).lists == {label: found.lists[label]}


def test_only_what_changed_is_opened_again(lists: Lists) -> None:
    for number in range(5):
        lists.put(f"{number}/a.parquet", 10 + number)
        lists.put(f"{number}/b.npy", 1)
        lists.put(f"{number}/b.id.npy", 1)
    template = "{label}/a.parquet"
    first = lists.look(template)
    assert first.opened == 5
    assert lists.look(template, first).opened == 0
    lists.put("1/a.parquet", 20)
    lists.put("2/a.parquet", 12, version=1)
    lists.fs.rm_file(f"{lists.root}/3/a.parquet")
    lists.put("5/a.parquet", 50)
    second = lists.look(template, first)
    assert (second.opened, rows(second)) == (3, {"0": 10, "1": 20, "2": 12, "4": 14, "5": 50})
    changed = {label for label in second.lists if second.lists[label] != first.lists.get(label)}
    assert changed == {"1", "2", "5"}
    assert (
        lists.look("{label}/a.parquet", second, precision="float32").opened == 5
    )  # what the rows mean is another thing


@pytest.mark.parametrize(("name", "each"), [("{label}/*.parquet", 3), ("{label}.npy", 1)])
def test_few_requests(s3_server: S3, s3_url: str, name: str, each: int) -> None:
    """One for a thousand files while nothing changed; so many more for each list that is new."""
    lists = Lists(s3_url, Storage(endpoint_url=s3_server.endpoint))
    for number in range(20):
        lists.put(name.replace("{label}", str(number)).replace("*", "a"), 5)
    sent: list[str] = []
    lists.fs.s3.meta.events.register("before-send.s3", lambda request, **_: sent.append(request.method))
    first = lists.look(name)
    assert rows(first) == {str(number): 5 for number in range(20)}
    assert len(sent) <= 2 + each * 20
    sent.clear()
    assert lists.look(name, first).lists == first.lists
    assert sent == ["GET"]


def test_ids_beside_a_list_are_its_content(lists: Lists) -> None:
    lists.put("a.npy", 3)
    before = lists.look("{label}.npy")
    lists.put("a.id.npy", 3, version=7)
    after = lists.look("{label}.npy", before)
    assert list(after.lists) == ["a"]
    assert after.lists["a"].fingerprint != before.lists["a"].fingerprint


def test_a_list_that_cannot_be_read_stops_no_other(lists: Lists) -> None:
    lists.put("good/a.parquet", 3)
    for label, name in (("torn", "a.parquet"), ("mixed", "a.parquet"), ("mixed", "b.jpg"), ("notes", "README.md")):
        lists.fs.makedirs(f"{lists.root}/{label}", exist_ok=True)
        lists.fs.pipe_file(f"{lists.root}/{label}/{name}", b"PAR1 nothing")
    lists.put("a::b/a.parquet", 3)
    found = lists.look("{label}/")
    assert {label: counted.rows for label, counted in found.lists.items()} == {"good": 3}
    assert sorted(found.errors) == ["a::b", "mixed", "torn"]
    assert "expected descriptors or photos, found both" in str(found.errors["mixed"])
    assert "torn/a.parquet" in str(found.errors["torn"])


def test_nothing_there(lists: Lists) -> None:
    with pytest.raises(SourceMissing, match="expected lists, found nothing at"):
        lists.look("{label}/*.npy")


def test_a_list_that_changes_while_it_is_opened_is_not_believed(lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    lists.put("a.npy", 3)
    seen = Labels.seen
    puts: list[Callable[[], None]] = [lambda: None, lambda: lists.put("a.npy", 4)]

    def looked(self: Labels, label: str = "") -> Any:
        puts.pop(0)()
        return seen(self, label)

    with monkeypatch.context() as patch:
        patch.setattr(Labels, "seen", looked)
        first = lists.look("{label}.npy")
    assert (first.lists["a"].watermark, first.lists["a"].fingerprint) == ("", "")
    second = lists.look("{label}.npy", first)
    assert (second.opened, rows(second)) == (1, {"a": 4})


@pytest.mark.parametrize("text", ["s3://lists/a.npy", ""])
def test_what_is_no_template(text: str) -> None:
    with pytest.raises(ConfigError, match=r"source.template: expected where the descriptors of a list are"):
        Labels(Settings(source=Source(template=text)))


@pytest.mark.parametrize("text", ["s3://lists/{label}-*.npy", "s3://{label}/a.npy"])
def test_labels_that_cannot_be_told_from_what_is_there(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected a folder before \{label\} and no"):
        Labels(Settings(source=Source(template=text))).seen()


label_text = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(label=label_text, folder=st.booleans())
def test_any_name_of_a_folder_leads_back_to_it(tmp_path: Path, label: str, folder: bool) -> None:
    """Or is refused, but never taken for another."""
    template = Template(f"{tmp_path}/{'{label}/v.npy' if folder else 'x/{label}.npy'}")
    layout = template.layout(Place(template.text))
    path = f"{tmp_path}/{label}/v.npy" if folder else f"{tmp_path}/x/{label}.npy"
    assert layout.label_of(path) == label
    try:
        url = template.fill(label)
    except SourceMissing:
        assert label in (".", "..") or "::" in label or not label.isprintable()
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.ones((2, DIM), np.float32))
    chosen = Settings(source=Source(template=template.text))
    assert [file.url for file in listed(Order(url, label), chosen)[0].files] == [f"file://{path}"]
