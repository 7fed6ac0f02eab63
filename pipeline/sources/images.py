"""The source that makes descriptors from photos."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from configs.settings import Images
from pipeline.sources.endings import PHOTOS, UNREADABLE
from pipeline.sources.errors import ModelsMissing
from pipeline.sources.normalise import Scale, normalise
from pipeline.sources.photos import Photo, known_album, list_album, read_photos
from pipeline.sources.places import Place
from pipeline.sources.rows import InputFile, Listing, Range, Reject, Rows, cut, fingerprint

if TYPE_CHECKING:
    from pipeline.sources.face_models import FaceModels

PARTITION = 512
"""Photos in a partition at most: some seconds of work, so that a lost worker costs little."""

SMALLEST = 32
"""Pixels of the shorter side of a face's box: below, the crop of 112 pixels is mostly invented."""

LARGEST_BYTES = 64 << 20
"""Bytes of a photo that are read; more is no photo."""


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Photos in a folder, a glob or an archive.  A photo's id is its path, its person the folder that it lies in."""

    place: Place
    images: Images
    detect: Path
    embed: Path
    threads: int = 1
    precision: str = "float16"
    """Type of the components of a descriptor."""

    @classmethod
    def of(cls, place: Place, images: Images, threads: int = 1) -> ImageSource:
        """The source with the models that the settings name; raises ModelsMissing."""
        fs, path = place.open()  # absolute, so that any process finds it from any folder
        return cls(place.at(fs.unstrip_protocol(path)), images, *find_models(images.models), threads)

    def listing(self) -> Listing:
        """Names of the photos, and what the models say about themselves."""
        album, models = list_album(self.place), self._models()
        file = InputFile(self.place.url, sum(photo.nbytes for photo in album.photos), album.token, len(album.photos))
        meaning = asdict(self.images) | {
            "models": [digest_of(self.detect), digest_of(self.embed)],
            "smallest": SMALLEST,
        }
        return Listing(
            rows=len(album.photos),
            dim=models.dim,
            ids_kind="str",
            has_people=album.has_people,
            files=(file,),
            fingerprint=fingerprint([file], meaning),
            descriptor_version=f"{self.embed.stem}-{digest_of(self.embed)[:8]}",
        )

    def partitions(self, partition_rows: int) -> list[Range]:
        """Ranges of the sorted photos."""
        listing = self.listing()
        return cut(listing.files, min(partition_rows, PARTITION), listing.dim)

    def read(self, part: Range) -> Rows:
        """Descriptors of the photos that show one face; the others are rejects, each with its reason."""
        (piece,) = part.pieces
        album = known_album(self.place.at(piece.url), piece.token)
        some, models = album.photos[piece.start : piece.stop], self._models()
        crops: list[NDArray[np.uint8]] = []
        names: list[tuple[int, Photo]] = []
        rejects: list[Reject] = []
        for row, (photo, data) in enumerate(read_photos(self.place, some), part.start):
            crop, reason = self._crop(models, photo, data)
            if crop is None:
                rejects.append(Reject(row, photo.name, reason))
            else:
                crops.append(crop)
                names.append((row, photo))
        descriptors = np.empty((len(crops), models.dim), self.precision)
        bad = normalise(models.embed(crops), Scale(0.0, 0.0), descriptors)
        rejects += [Reject(names[number][0], names[number][1].name, reason) for number, reason in bad.items()]
        keep = [number for number in range(len(crops)) if number not in bad]
        return Rows(
            descriptors[keep],
            [names[number][1].name for number in keep],
            [names[number][1].person for number in keep] if album.has_people else None,
            tuple(sorted(rejects, key=lambda reject: reject.row)),
        )

    def _crop(self, models: FaceModels, photo: Photo, data: bytes) -> tuple[NDArray[np.uint8] | None, str]:
        """The aligned face of a photo, or why there is none."""
        if photo.name.lower().endswith(UNREADABLE):
            return None, f"expected a photo that ends in {', '.join(PHOTOS)}"
        if photo.nbytes > LARGEST_BYTES:
            return None, f"expected at most {LARGEST_BYTES} bytes, got {photo.nbytes}"
        pixels = libraries().decode(data)
        if pixels is None:
            return None, f"expected a photo, got {photo.nbytes} bytes that cannot be decoded"
        faces = models.faces(pixels)
        if not faces:
            return None, f"expected one face, found none (images.min_score is {self.images.min_score})"
        if len(faces) > 1 and self.images.on_several == "reject":
            return None, f"expected one face, found {len(faces)} (images.on_several is reject)"
        side = min(faces[0].box[2:])
        if side < SMALLEST:
            return None, f"expected a face of at least {SMALLEST} pixels, got {side:.0f}"
        try:
            return models.crop(pixels, faces[0]), ""
        except ValueError as error:
            return None, str(error)

    def _models(self) -> FaceModels:
        digest = digest_of(self.detect) + digest_of(self.embed)
        loaded: FaceModels = libraries().load(self.detect, self.embed, digest, self.images.min_score, self.threads)
        return loaded


def find_models(models: str) -> tuple[Path, Path]:
    """Detector and embedding model from `images.models`: a folder, or two paths with a comma between them."""
    if not models:
        raise ModelsMissing(
            "images.models: expected a folder with detect.onnx and embed*.onnx (or both paths, with a comma between), "
            "got nothing; pass --models DIR or set it: models are never downloaded"
        )
    if "," in models:
        paths = [Path(path.strip()).expanduser().resolve() for path in models.split(",")]
    else:
        folder = Path(models).expanduser().resolve()
        paths = [folder / "detect.onnx", *(sorted(folder.glob("embed*.onnx")) or [folder / "embed*.onnx"])]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing or len(paths) != 2:
        problem = f"missing: {', '.join(missing)}" if missing else f"got {len(paths)}: {', '.join(map(str, paths))}"
        raise ModelsMissing(f"images.models: expected one detect.onnx and one embed*.onnx at {models!r}, {problem}")
    return paths[0], paths[1]


def libraries() -> Any:
    """The module that holds OpenCV and onnxruntime; raises ModelsMissing where they are not installed."""
    try:
        from pipeline.sources import face_models
    except ImportError as error:
        raise ModelsMissing(
            f"photos need the extra 'images' ({error}); install it: pip install 'lim[images]'"
        ) from error
    return face_models


def digest_of(path: Path) -> str:
    """sha256 of a model file, read once as long as the file stays the same."""
    state = path.stat()
    return _digest(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=16)
def _digest(path: Path, mtime_ns: int, nbytes: int) -> str:
    digest: str = libraries().sha256_of(path)
    return digest
