"""Descriptors from photos, by real models where they are at hand."""

from __future__ import annotations

import builtins
import pickle
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.settings import Images, Source, Storage
from pipeline.sources.align import TEMPLATE, similarity
from pipeline.sources.errors import ModelsMissing, SourceChanged
from pipeline.sources.images import ImageSource, find_models, libraries
from pipeline.sources.opening import open_source
from pipeline.sources.rows import Rows, joined

cv2 = pytest.importorskip("cv2", reason="needs the extra `images`")

SHARED = Path(__file__).parents[2] / "shared" / "data"
MODELS, PHOTOS = SHARED / "models", SHARED / "photos"
with_models = pytest.mark.skipif(
    not (MODELS / "detect.onnx").exists() or not PHOTOS.exists(),
    reason="needs photos and models in ../shared/data; neither is part of the project",
)
FACE = PHOTOS / "p000" / "0.jpg"


def opened(url: Path | str, **images: Any) -> ImageSource:
    source = open_source(str(url), Source(), Images(**({"models": str(MODELS)} | images)), Storage())
    assert isinstance(source, ImageSource)
    return source


def read(source: ImageSource, partition_rows: int = 100) -> Rows:
    return joined([source.read(part) for part in source.partitions(partition_rows)], source.listing().dim)


@pytest.fixture(scope="module")
def photos() -> Rows:
    """All photos of the shared folder, read once."""
    return read(opened(PHOTOS, on_several="largest"))


@with_models
def test_every_photo_gives_a_descriptor(photos: Rows) -> None:
    assert (len(photos.ids), photos.rejects) == (180, ())
    assert photos.ids[:2] == ["p000/0.jpg", "p000/1.jpg"]
    assert photos.people is not None
    assert photos.people[:4] == ["p000", "p000", "p000", "p001"]
    norms = np.linalg.norm(photos.descriptors.astype(np.float32), axis=1)
    np.testing.assert_allclose(norms, 1, atol=1e-3)


@with_models
def test_photos_of_a_person_are_alike_and_those_of_two_are_not(photos: Rows) -> None:
    rows, people = photos.descriptors.astype(np.float32), np.array(photos.people)
    similarities, same = rows @ rows.T, people[:, None] == people[None]
    above = np.triu_indices(len(people), 1)
    mates, impostors = similarities[above][same[above]], similarities[above][~same[above]]
    assert np.median(mates) > 0.65
    assert np.median(impostors) < 0.05
    assert np.percentile(impostors, 99) < 0.3 < np.percentile(mates, 5)


@with_models
def test_descriptors_are_those_that_the_same_model_gave_elsewhere(photos: Rows) -> None:
    """The published descriptors of these photos, made by other code; one photo shows two faces of the same size."""
    known = np.load(SHARED / "faces.npz")["descriptors"].astype(np.float32)
    best = (photos.descriptors.astype(np.float32) @ known.T).max(axis=1)
    assert (best > 0.999).mean() > 0.99


@with_models
def test_photos_with_several_faces_are_rejects_unless_the_largest_is_wanted() -> None:
    source = opened(PHOTOS)
    rows = read(source)
    assert len(rows.ids) + len(rows.rejects) == 180
    assert rows.rejects[0].id == "p000/2.jpg"
    assert rows.rejects[0].row == 2
    assert rows.rejects[0].reason == "expected one face, found 2 (images.on_several is reject)"


@with_models
def test_the_version_names_the_model_and_the_fingerprint_knows_it(tmp_path: Path) -> None:
    listing = opened(PHOTOS).listing()
    assert listing.descriptor_version == "embed512-87aacdfe"
    assert (listing.rows, listing.dim, listing.has_people, listing.ids_kind) == (180, 512, True, "str")
    assert opened(PHOTOS).listing().fingerprint == listing.fingerprint
    assert opened(PHOTOS, min_score=0.7).listing().fingerprint != listing.fingerprint


@with_models
def test_an_archive_gives_what_its_folder_gives(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for person in ("p000", "p001"):
        (folder / person).mkdir(parents=True)
        for name in ("0.jpg", "1.jpg"):
            (folder / person / name).write_bytes((PHOTOS / person / name).read_bytes())
    expected = read(opened(folder, on_several="largest"))
    for name, mode in (("photos.tar", "w"), ("photos.tar.gz", "w:gz")):
        with tarfile.open(tmp_path / name, mode) as archive:  # type: ignore[call-overload]
            archive.add(folder, arcname=".", filter=lambda member: member)
        rows = read(opened(tmp_path / name, on_several="largest"), 3)
        order = sorted(range(4), key=lambda number: str(rows.ids[number]))
        assert [rows.ids[number] for number in order] == expected.ids
        np.testing.assert_array_equal(rows.descriptors[order], expected.descriptors)


def write(folder: Path) -> dict[str, str]:
    """Photos that cannot go into an index, with what is said of each."""
    face = cv2.imread(str(FACE))
    grey = np.full((200, 200, 3), 128, np.uint8)
    cv2.imwrite(str(folder / "a-empty-room.png"), grey)
    (folder / "b-text.jpg").write_text("this is no photo")
    (folder / "c-nothing.webp").write_bytes(b"")
    (folder / "d-cut.png").write_bytes(cv2.imencode(".png", face)[1].tobytes()[:200])
    (folder / "e-phone.heic").write_bytes(b"ftypheic")
    small = np.full((300, 300, 3), 128, np.uint8)
    small[100:150, 100:150] = cv2.resize(face, (50, 50), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(folder / "f-far-away.bmp"), small)
    cv2.imwrite(str(folder / "g-twins.png"), np.hstack([face, face]))
    return {
        "a-empty-room.png": "expected one face, found none (images.min_score is 0.8)",
        "b-text.jpg": "expected a photo, got 16 bytes that cannot be decoded",
        "c-nothing.webp": "expected a photo, got 0 bytes that cannot be decoded",
        "d-cut.png": "expected a photo, got 200 bytes that cannot be decoded",
        "e-phone.heic": "expected a photo that ends in .jpg, .jpeg, .png, .webp, .bmp",
        "f-far-away.bmp": "expected a face of at least 32 pixels, got ",
        "g-twins.png": "expected one face, found 2 (images.on_several is reject)",
    }


@with_models
def test_each_reject_has_its_reason(tmp_path: Path) -> None:
    expected = write(tmp_path)
    (tmp_path / "z.jpg").write_bytes(FACE.read_bytes())
    rows = read(opened(tmp_path))
    assert rows.ids == ["z.jpg"]
    assert rows.people is None
    assert [reject.row for reject in rows.rejects] == list(range(len(expected)))
    for reject in rows.rejects:
        assert reject.reason.startswith(expected[reject.id]), reject
    assert rows.descriptors.shape == (1, 512)


@with_models
def test_a_partition_without_a_face_is_empty(tmp_path: Path) -> None:
    write(tmp_path)
    rows = read(opened(tmp_path))
    assert (rows.ids, rows.descriptors.shape) == ([], (0, 512))


@with_models
def test_large_photos_are_seen_whole_and_cropped_sharp(tmp_path: Path) -> None:
    face = cv2.imread(str(FACE))
    cv2.imwrite(str(tmp_path / "large.png"), cv2.resize(face, (3_000, 3_000), interpolation=cv2.INTER_CUBIC))
    cv2.imwrite(str(tmp_path / "small.png"), face)
    rows = read(opened(tmp_path))
    assert rows.ids == ["large.png", "small.png"]
    assert float(rows.descriptors[0].astype(np.float32) @ rows.descriptors[1].astype(np.float32)) > 0.95


@with_models
def test_photos_that_change_under_a_build(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(FACE.read_bytes())
    source = opened(tmp_path)
    (part,) = source.partitions(10)
    (tmp_path / "b.jpg").write_bytes(FACE.read_bytes())
    with pytest.raises(SourceChanged, match="start the build again"):
        source.read(part)


@with_models
def test_a_source_survives_pickling_and_keeps_its_threads() -> None:
    source = replace(opened(PHOTOS), threads=2)
    assert pickle.loads(pickle.dumps(source)) == source  # noqa: S301


@with_models
def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "detect.onnx").write_bytes((MODELS / "detect.onnx").read_bytes())
    (tmp_path / "embed.onnx").write_bytes(b"no model")
    with pytest.raises(ModelsMissing, match=r"embed\.onnx: expected an ONNX model that embeds faces"):
        opened(PHOTOS, models=str(tmp_path)).listing()
    (tmp_path / "embed.onnx").write_bytes((MODELS / "detect.onnx").read_bytes())
    with pytest.raises(ModelsMissing, match=r"expected an input of \(n, 3, 112, 112\)"):
        opened(PHOTOS, models=str(tmp_path)).listing()
    pair = f"{tmp_path}/broken.onnx,{MODELS}/embed512.onnx"
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(ModelsMissing, match=r"broken\.onnx: expected a YuNet detector"):
        opened(PHOTOS, models=pair).listing()


def test_models_are_found_in_a_folder_or_named(tmp_path: Path) -> None:
    for name in ("detect.onnx", "embed7.onnx"):
        (tmp_path / name).write_bytes(b"")
    expected = (tmp_path / "detect.onnx", tmp_path / "embed7.onnx")
    assert find_models(str(tmp_path)) == expected
    assert find_models(f"{expected[0]}, {expected[1]}") == expected
    (tmp_path / "embed8.onnx").write_bytes(b"")
    with pytest.raises(ModelsMissing, match=r"one embed\*\.onnx.*got 3"):
        find_models(str(tmp_path))


def test_no_models(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(ModelsMissing, match="models are never downloaded"):
        opened(tmp_path, models="")
    with pytest.raises(ModelsMissing, match=r"missing: .*detect\.onnx, .*embed\*\.onnx"):
        opened(tmp_path, models=str(tmp_path))


def test_libraries_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "cv2":
            raise ImportError("No module named 'cv2'")
        return original(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "pipeline.sources.face_models", raising=False)
    monkeypatch.delattr("pipeline.sources.face_models", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ModelsMissing, match=r"pip install 'lim\[images\]'"):
        libraries()


@pytest.mark.parametrize("angle", [0.0, 0.4, -1.2, 3.0])
def test_any_turn_scale_and_shift_is_undone(angle: float) -> None:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (TEMPLATE @ turn.T) * 2.5 + [40, -7]
    matrix = similarity(moved)
    np.testing.assert_allclose(moved @ matrix[:, :2].T + matrix[:, 2], TEMPLATE, atol=1e-9)


def test_a_mirrored_face_is_not_turned_inside_out() -> None:
    matrix = similarity(TEMPLATE * [-1, 1])
    assert np.linalg.det(matrix[:, :2]) > 0


def test_the_transform_is_the_best_of_its_kind() -> None:
    """Against the normal equations of the four parameters, solved by another way."""
    points = TEMPLATE * 3 + np.random.default_rng(1).normal(0, 5, (5, 2))
    rows = [[[x, -y, 1, 0], [y, x, 0, 1]] for x, y in points]
    (a, b, right, down), *_ = np.linalg.lstsq(np.reshape(rows, (10, 4)), TEMPLATE.ravel(), rcond=None)
    np.testing.assert_allclose(similarity(points), [[a, -b, right], [b, a, down]], atol=1e-9)


def test_five_times_the_same_point_is_no_face() -> None:
    with pytest.raises(ValueError, match="one point five times"):
        similarity(np.ones((5, 2)))
