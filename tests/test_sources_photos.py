"""Which photos are found, in folders and in archives."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from pipeline.sources.errors import SourceChanged, SourceMismatch, SourceMissing, SourceUnreadable
from pipeline.sources.photos import Album, known_album, list_album, read_photos
from pipeline.sources.places import Place

NAMES = ["anna/1.jpg", "anna/2.JPEG", "bob/1.png", "bob/old/3.webp", "top.bmp", "bob/4.heic"]
PASSED_OVER = ["anna/notes.txt", ".git/5.jpg", "bob/_6.jpg"]


def content(name: str) -> bytes:
    return name.encode() * 100


def write_folder(folder: Path) -> Path:
    for name in NAMES + PASSED_OVER:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content(name))
    return folder


def write_archive(path: Path) -> Path:
    with tarfile.open(path, "w:" if path.suffix == ".tar" else "w:gz") as archive:
        for name in NAMES + PASSED_OVER:
            member = tarfile.TarInfo(name)
            member.size = len(content(name))
            archive.addfile(member, io.BytesIO(content(name)))
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return path


@pytest.fixture(params=["folder", "photos.tar", "photos.tar.gz", "photos.tgz"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    path = tmp_path / request.param
    (write_folder if request.param == "folder" else write_archive)(path)
    return Place(path.as_uri())


def test_photos_are_found_by_their_endings(place: Place) -> None:
    album = list_album(place)
    assert sorted(photo.name for photo in album.photos) == sorted(NAMES)
    assert {photo.name: photo.person for photo in album.photos} == {
        "anna/1.jpg": "anna",
        "anna/2.JPEG": "anna",
        "bob/1.png": "bob",
        "bob/old/3.webp": "old",
        "top.bmp": "",
        "bob/4.heic": "bob",
    }
    assert album.has_people


def test_some_photos_are_read_without_the_others(place: Place) -> None:
    album = list_album(place)
    for part in (album.photos, album.photos[1:3], album.photos[-1:]):
        assert [(photo.name, data) for photo, data in read_photos(place, part)] == [
            (photo.name, content(photo.name)) for photo in part
        ]


def test_an_album_is_known_by_its_state(place: Place) -> None:
    album = list_album(place)
    assert known_album(place, album.token) == album
    with pytest.raises(SourceChanged, match="start the build again"):
        known_album(place, album.token + "x")


def test_a_new_photo_changes_the_state(tmp_path: Path) -> None:
    place = Place(write_folder(tmp_path).as_uri())
    before = list_album(place).token
    (tmp_path / "anna/9.jpg").write_bytes(b"new")
    assert list_album(place).token != before


def test_a_glob_keeps_the_folders_after_its_steady_part(tmp_path: Path) -> None:
    write_folder(tmp_path)
    place = Place(tmp_path.as_uri() + "/*/*.jpg")
    assert [photo.name for photo in list_album(place).photos] == ["anna/1.jpg"]
    assert [data for _, data in read_photos(place, list_album(place).photos)] == [content("anna/1.jpg")]


def test_one_photo(tmp_path: Path) -> None:
    write_folder(tmp_path)
    album: Album = list_album(Place((tmp_path / "anna/1.jpg").as_uri()))
    assert [(photo.name, photo.person) for photo in album.photos] == [("1.jpg", "")]
    assert not album.has_people


def test_no_photo(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(SourceMissing, match=r"expected photos \(\.jpg, .*found none"):
        list_album(Place(tmp_path.as_uri()))


def test_descriptors_among_photos(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "faces.npy").write_bytes(b"")
    with pytest.raises(SourceMismatch, match="found both"):
        list_album(Place(tmp_path.as_uri()))


@pytest.mark.parametrize("name", ["photos.tar", "photos.tar.gz"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_archive(tmp_path: Path, name: str, share: float) -> None:
    path = write_archive(tmp_path / name)
    whole = path.read_bytes().rstrip(b"\0") if name.endswith("tar") else path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(SourceUnreadable, match="expected a whole archive"):
        list_album(Place(path.as_uri()))


def test_an_archive_that_ends_between_two_photos(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "photos.tar")
    size = len(content(NAMES[0]))
    path.write_bytes(path.read_bytes()[: 512 + -(-size // 512) * 512])
    with pytest.raises(SourceUnreadable, match="without a mark of its end"):
        list_album(Place(path.as_uri()))


def test_no_archive(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match="found nothing there"):
        list_album(Place((tmp_path / "photos.tar").as_uri()))
