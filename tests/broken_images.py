"""A corpus of broken NIfTI images, each made by a few lines and with what must be said about it.

Every entry of `BROKEN` is written to disk and read by the app: it must be refused by one of our
errors naming the file and a word of the reason.  `ODD` holds images that look broken and are not.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np

SHAPE = (6, 7, 8)
Content = bytes


def image(data: np.ndarray | None = None, affine: np.ndarray | None = None, **header) -> Content:
    """A gzipped NIfTI-1; ``header`` sets fields of its header after nibabel made them."""
    data = np.ones(SHAPE, np.float32) if data is None else data
    made = nib.Nifti1Image(data, np.eye(4) if affine is None else affine)
    return gzip.compress(changed(made.to_bytes(), **header), 1)


def changed(raw: Content, **header) -> Content:
    """Header fields set without asking nibabel whether they make sense."""
    fields = np.frombuffer(raw[:348], nib.nifti1.header_dtype).copy()
    for name, value in header.items():
        fields[name] = value
    return fields.tobytes() + raw[348:]


def placed(affine: object) -> Content:
    """An image with these three rows as sform."""
    rows = np.array(affine, np.float32)
    names = ("srow_x", "srow_y", "srow_z")
    return image(sform_code=1, qform_code=0, **dict(zip(names, rows, strict=True)))


def filled(value: float, dtype: type = np.float32, shape: tuple[int, ...] = SHAPE) -> Content:
    return image(np.full(shape, value, dtype))


def dims(*dim: int) -> Content:
    """An image whose header states other dimensions than it has voxels for."""
    return image(dim=[len(dim), *dim, *[1] * (7 - len(dim))])


GOOD = image()
PLAIN = gzip.decompress(GOOD)
EYE = np.eye(4)[:3]

# name -> (content, a word of the sentence)
BROKEN: dict[str, tuple[Content, str]] = {
    # --- files that are no images
    "empty": (b"", "read"),
    "empty-gzip": (gzip.compress(b""), "read"),
    "text": (b"this is not an image\n" * 50, "read"),
    "html-of-a-login-page": (b"<!DOCTYPE html><html><body>Sign in</body></html>" * 20, "read"),
    "git-annex-pointer": (b"/annex/objects/SHA256E-s1234--abcd.nii.gz\n", "annex"),
    "git-lfs-pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1234\n", "git",
    ),
    "json": (b'{"Manufacturer": "Siemens"}', "read"),
    "zeros": (bytes(4096), "read"),
    "gzip-of-zeros": (gzip.compress(bytes(4096)), "read"),
    "noise": (np.random.default_rng(1).bytes(5000), "read"),
    "gzip-of-noise": (gzip.compress(np.random.default_rng(2).bytes(5000)), "read"),
    "gzip-twice": (gzip.compress(GOOD), "read"),
    "not-compressed": (PLAIN, "read"),
    "dicom": (bytes(128) + b"DICM" + bytes(400), "read"),
    # --- cut
    **{f"cut-at-{n}": (GOOD[:n], "read") for n in (1, 2, 10, 18, 40, 60)},
    **{
        f"stream-cut-at-{n}": (gzip.compress(PLAIN[:n]), "read")
        for n in (1, 4, 100, 347, 348, 351, 352, 353, 1000, len(PLAIN) - 1)
    },
    "crc-wrong": (GOOD[:-8] + bytes(4) + GOOD[-4:], "read"),
    "damaged-inside": (GOOD[:70] + bytes(20) + GOOD[90:], "read"),
    # --- dimensions
    "one-dimension": (filled(1, shape=(50,)), "dimension"),
    "two-dimensions": (filled(1, shape=(20, 20)), "give the whole image"),
    "five-dimensions": (filled(1, shape=(5, 5, 5, 2, 3)), "dimension"),
    "six-dimensions": (filled(1, shape=(3, 3, 3, 2, 2, 2)), "dimension"),
    "single-slice": (filled(1, shape=(20, 20, 1)), "give the whole image"),
    "single-row": (filled(1, shape=(1, 20, 20)), "give the whole image"),
    "no-dimension": (dims(), ""),
    "zero-extent": (dims(6, 0, 8), ""),
    "negative-extent": (dims(6, -7, 8), ""),
    "more-voxels-than-data": (dims(60, 70, 80), "read"),
    "one-slice-more": (dims(6, 7, 9), "read"),
    "one-frame-more": (dims(6, 7, 8, 2), "read"),
    "huge": (dims(32000, 32000, 32000), "crop it"),
    "huge-in-time": (dims(600, 700, 800, 9000), "large"),
    "gzip-bomb": (image(np.zeros((4, 4, 4), np.uint8), dim=[3, 2000, 2000, 2000, 1, 1, 1, 1]),
                  "large"),
    "dim0-of-8": (image(dim=[8, 6, 7, 8, 1, 1, 1, 1]), ""),
    "dim0-negative": (image(dim=[-3, 6, 7, 8, 1, 1, 1, 1]), ""),
    # --- voxels that are no numbers on a scale
    "all-nan": (filled(np.nan), "finite"),
    "all-infinite": (filled(np.inf), "finite"),
    "complex": (filled(1, np.complex64), "convert it again"),
    "colour": (
        image(np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])), "type",
    ),
    "unknown-type": (image(datatype=77), ""),
    "type-zero": (image(datatype=0), ""),
    # --- a place in space
    "affine-zero": (placed(np.zeros((3, 4))), "affine"),
    "affine-nan": (placed(np.full((3, 4), np.nan)), "affine"),
    "affine-infinite": (placed([[np.inf, 0, 0, 0], *EYE[1:]]), "affine"),
    "affine-flat": (placed([EYE[0], EYE[1], EYE[1]]), "affine"),
    "affine-sheared-flat": (placed([[1, 1, 0, 0], [1, 1, 1e-9, 0], [0, 0, 1, 0]]), "affine"),
    "voxels-of-a-kilometre": (placed(EYE * 1e6), "voxel"),
    "voxels-of-a-micrometre": (placed(EYE * 1e-3), "voxel"),
    "voxels-of-30-mm": (placed(EYE * [[30], [1], [1]]), "voxel"),
    "origin-far-away": (placed(EYE + [[0, 0, 0, 1e9]] * 3), "far"),
    "pixdim-zero": (image(sform_code=0, qform_code=0, pixdim=[1, 0, 1, 1, 1, 0, 0, 0]), "voxel"),
    "pixdim-all-zero": (image(sform_code=0, qform_code=0, pixdim=[0] * 8), "voxel"),
    "pixdim-nan": (image(sform_code=0, qform_code=1, pixdim=[1, np.nan, 1, 1, 0, 0, 0, 0]), ""),
    "quaternion-nan": (image(sform_code=0, qform_code=1, quatern_b=np.nan), ""),
    "quaternion-too-long": (image(sform_code=0, qform_code=1, quatern_b=9.0), ""),
    "magic": (image(magic=b"n+7"), ""),
    "offset-beyond-the-file": (image(vox_offset=1e7), "read"),
    "offset-nan": (image(vox_offset=np.nan), ""),
    "offset-zero": (image(vox_offset=0), "begin at byte 0"),
}  # fmt: skip

# name -> content: read as they are
ODD: dict[str, Content] = {
    "trailing-axes": filled(1, shape=(6, 7, 8, 1, 1)),
    "some-nan": image(np.where(np.arange(336).reshape(SHAPE) % 2, np.nan, 1).astype(np.float32)),
    "integers": filled(7, np.int16),
    "signed-bytes": filled(-3, np.int8),
    "double": filled(1, np.float64),
    "big-endian": gzip.compress(
        nib.Nifti1Image(
            np.ones(SHAPE, ">f4"), np.eye(4), nib.Nifti1Header(endianness=">")
        ).to_bytes()
    ),
    "nifti-2": gzip.compress(nib.Nifti2Image(np.ones(SHAPE, np.float32), np.eye(4)).to_bytes()),
    "left-handed": image(affine=np.diag([-2.0, 2, 2, 1])),
    "qform-only": image(sform_code=0, qform_code=1),
    # the standard has no such slope; all readers take the stored values
    "slope-nan": image(np.ones(SHAPE, np.int16), scl_slope=np.nan, scl_inter=np.inf),
    "sheared": placed([[1, 0.9, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]),
    "header-size": image(sizeof_hdr=0),
    "slope": image(np.ones(SHAPE, np.int16), scl_slope=0.5, scl_inter=3),
}


def write(folder: Path, name: str, content: Content) -> Path:
    """The image on disk under a name that tells what is wrong with it."""
    path = folder / f"sub-01_desc-{name}_T1w.nii.gz"
    path.write_bytes(content)
    return path


def mutated(random: np.random.Generator) -> Content:
    """A good image with up to 8 bytes of its header overwritten."""
    raw = bytearray(PLAIN)
    for where in random.integers(0, 352, random.integers(1, 9)):
        raw[where] = random.integers(256)
    return bytes(raw)
