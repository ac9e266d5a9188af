"""Images of every mode and format, to the byte; EXIF, bombs, and folders of them."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from difnas_jax import checks, data
from difnas_jax.commands import prepare
from difnas_jax.config import default
from difnas_jax.data import base, folders
from difnas_jax.data.decoding import converted, opened, resized, suffixes, upright_size
from difnas_jax.errors import InputError

GREYS = {0: 0, 128: 0, 129: 1, 257: 1, 32896: 128, 65534: 255, 65535: 255}
# Mode -> {pixel: what it must be as RGB, or as one grey level where it has no colours}.
PIXELS = {
    "1": {0: 0, 1: 255},
    "L": {0: 0, 77: 77, 255: 255},
    "LA": {(77, 0): 77, (77, 255): 77},
    "La": {(10, 51): 50, (77, 255): 77},
    "P": {1: (10, 20, 30), 2: (40, 50, 60)},
    "PA": {(1, 0): (10, 20, 30), (2, 255): (40, 50, 60)},
    "RGB": {(1, 2, 3): (1, 2, 3)},
    "RGBA": {(1, 2, 3, 0): (1, 2, 3), (1, 2, 3, 128): (1, 2, 3)},
    "RGBX": {(1, 2, 3, 9): (1, 2, 3)},
    "RGBa": {(10, 20, 51, 51): (50, 100, 255), (1, 2, 3, 255): (1, 2, 3)},
    "CMYK": {
        (0, 0, 0, 0): (255, 255, 255),
        (0, 0, 0, 255): (0, 0, 0),
        (255, 0, 0, 0): (0, 255, 255),
        (0, 55, 255, 0): (255, 200, 0),
    },
    "YCbCr": {(128, 128, 128): (128, 128, 128), (76, 85, 255): (254, 0, 0)},
    # Through profiles of the library littlecms, and so to one level.
    "LAB": {(255, 128, 128): (255, 255, 255), (137, 128, 128): (128, 128, 128)},
    "HSV": {(0, 0, 200): (200, 200, 200), (85, 255, 255): (0, 255, 0)},
    "I": GREYS,
    "I;16": GREYS,
    "I;16B": GREYS,
}
# Modes of which only some formats tell the range -> such a format.
FORMATS = {"I": "PNG", "I;16": "TIFF", "I;16B": "TIFF"}


@pytest.mark.parametrize("mode", PIXELS)
def test_every_mode_gives_the_exact_bytes(mode):
    for pixel, expected in PIXELS[mode].items():
        image = Image.new(mode, (3, 2))
        if mode[0] == "P":
            image.putpalette([0, 0, 0, 10, 20, 30, 40, 50, 60])
        image.putpixel((1, 1), pixel)
        image.format = FORMATS.get(mode)
        colour = np.asarray(converted(image, "RGB"), int)[1, 1]
        assert np.abs(colour - expected).max() <= (mode == "LAB"), (mode, pixel, colour)
        pixels = np.asarray(converted(image, "RGB"), int)
        if np.ptp(pixels, axis=-1).max() <= 1:  # grey, however it is stored
            level = converted(image, "L").getpixel((1, 1))
            assert abs(level - np.mean(expected)) <= (mode == "LAB")
        else:
            with pytest.raises(ValueError, match="colours"):
                converted(image, "L")


def png(depth, colour, rows, chunks=b""):
    """A PNG file of rows of bytes."""

    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
        )

    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour] * depth // 8
    header = struct.pack(
        ">IIBBBBB", len(rows[0]) // samples, len(rows), depth, colour, 0, 0, 0
    )
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = (
        chunk(b"IHDR", header) + chunks + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )
    return b"\x89PNG\r\n\x1a\n" + parts


def saved(image, suffix, **options):
    file = io.BytesIO()
    image.save(file, suffixes()[suffix], **options)
    return file.getvalue()


def test_grey_in_a_format_that_has_colours_only(rng):
    """WebP stores three channels, and its loss may round them apart."""
    levels = rng.integers(256, size=(8, 8), dtype=np.uint8)
    exact = opened(saved(Image.fromarray(levels), ".webp", lossless=True))
    assert exact.mode == "RGB"
    np.testing.assert_array_equal(converted(exact, "L"), levels)
    assert converted(opened(saved(Image.fromarray(levels), ".webp")), "L").mode == "L"


def test_sixteen_bits_in_files_of_every_format():
    levels = list(GREYS)
    array = np.array([levels, levels[::-1]], np.uint16)
    sixteen = Image.fromarray(array)
    files = {
        "png": png(16, 0, [row.astype(">u2").tobytes() for row in array]),
        "saved": saved(sixteen, ".png"),
        "tiff": saved(sixteen, ".tif"),
        "big-endian tiff": saved(sixteen, ".tif", big_endian=True),
        "jpeg 2000": saved(sixteen, ".jp2", irreversible=False),
        "pgm": b"P5 7 2 65535\n" + array.astype(">u2").tobytes(),
    }
    expected = [list(GREYS.values()), list(GREYS.values())[::-1]]
    for name, content in files.items():
        assert np.asarray(converted(opened(content), "L")).tolist() == expected, name
    negative = opened(saved(sixteen, ".tif", tiffinfo={262: 0}))  # white is zero
    inverted = 255 - np.asarray(converted(negative, "L"), int)
    assert inverted.tolist() == expected
    # 1023 is white in a file that says so.
    small = opened(b"P5 2 1 1023\n" + np.array([1023, 512], ">u2").tobytes())
    assert np.asarray(converted(small, "L")).tolist() == [[255, 128]]
    # Of 16-bit colours Pillow keeps the upper byte, at most one level from x / 257.
    colours = png(16, 2, [np.array([65535, 32896, 300], ">u2").tobytes()])
    assert np.asarray(converted(opened(colours), "RGB")).tolist() == [[[255, 128, 1]]]


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_pixels_of_unknown_range_are_refused_by_name(tmp_path, kind):
    config = folder_config(tmp_path, image_channels=1)
    path = fill(tmp_path, mode="L")[-1].with_suffix(".tif")
    Image.fromarray(np.ones((4, 4), kind)).save(path)
    with pytest.raises(InputError, match=f"{path}.*range.*mode [FI]"):
        data.check(config)


def test_transparency_is_left_out():
    grey = bytes([7, 200])
    assert level_of(png(8, 0, [grey], tag(b"tRNS", b"\0\x07"))) == [7, 200]
    sixteen = np.array([257, 65535], ">u2").tobytes()
    assert level_of(png(16, 0, [sixteen], tag(b"tRNS", b"\1\1"))) == [1, 255]
    palette = tag(b"PLTE", bytes([9, 9, 9, 90, 90, 90])) + tag(b"tRNS", b"\0\x80")
    assert level_of(png(8, 3, [b"\0\1"], palette)) == [9, 90]  # a palette of greys
    assert level_of(png(8, 4, [bytes([5, 0, 6, 255])])) == [5, 6]


def tag(kind, content):
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def level_of(content):
    grey, colour = (np.asarray(converted(opened(content), m)) for m in ("L", "RGB"))
    assert (colour == grey[..., None]).all()
    return grey[0].tolist()


def test_lossless_formats_give_the_same_pixels(rng):
    image = Image.fromarray(rng.integers(256, size=(5, 6, 3), dtype=np.uint8))
    other = Image.new("RGB", (6, 5))
    files = {
        ".gif": saved(image.quantize(64), ".gif"),
        ".apng": saved(image, ".apng", save_all=True, append_images=[other]),
        ".tiff": saved(image, ".tiff", save_all=True, append_images=[other]),
        ".webp": saved(image, ".webp", lossless=True),
        ".jp2": saved(image, ".jp2", irreversible=False),
    }
    files |= {
        s: saved(image, s) for s in (".bmp", ".png", ".ppm", ".tga", ".pcx", ".sgi")
    }
    for suffix, content in files.items():
        found = np.asarray(converted(opened(content), "RGB"))
        given = image.quantize(64).convert("RGB") if suffix == ".gif" else image
        assert found.tobytes() == np.asarray(given).tobytes(), suffix
    assert {".jpg", ".jpeg", ".mpo", ".avif"} < suffixes().keys()
    assert not {".eps", ".mpg", ".h5"} & suffixes().keys()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_followed(rng, suffix, orientation):
    colours = Image.fromarray(rng.integers(256, size=(3, 4, 3), dtype=np.uint8))
    image = colours.resize((400, 300), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(image, suffix, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    assert upright_size(opened(content)) == upright.size
    assert converted(opened(content), "RGB").tobytes() == upright.tobytes()
    # A part of it, of a JPEG decoded small.
    box = (20.0, 30.0, upright.width - 60.0, upright.height - 10.0)
    stored = opened(content)
    part = np.asarray(resized(stored, box, 16, "RGB"), float)
    expected = np.asarray(resized(upright, box, 16, "RGB"), float)
    assert np.abs(part - expected).mean() < 2
    assert (stored.size in ((400, 300), (300, 400))) == (suffix != ".jpg")


def test_nothing_changes_without_an_orientation(rng):
    """The bytes are those of Pillow alone, which decodes a JPEG small."""
    colours = Image.fromarray(rng.integers(256, size=(3, 4, 3), dtype=np.uint8))
    image, damaged = colours.resize((400, 300)), Image.Exif()
    for options in ({}, {"exif": damaged}, {"exif": b"Exif\0\0no tags"}):
        content = saved(image, ".jpg", **options)
        alone = Image.open(io.BytesIO(content))
        alone.draft(None, (64, 48))
        small = alone.convert("RGB").resize((48, 48), Image.Resampling.BILINEAR)
        ours = resized(opened(content), (0, 0, 400, 300), 48, "RGB")
        assert ours.tobytes() == small.tobytes()


def test_large_images_are_read_and_bombs_are_not(rng):
    content = bytearray(saved(Image.new("L", (16, 16)), ".jpg"))
    sizes = content.index(b"\xff\xc0") + 5
    content[sizes : sizes + 4] = struct.pack(">HH", 14_000, 14_000)
    assert opened(bytes(content)).size == (14_000, 14_000)  # 196 million pixels
    content[sizes : sizes + 4] = struct.pack(">HH", 60_000, 60_000)
    with pytest.raises(Image.DecompressionBombError):
        opened(bytes(content))


def folder_config(root, **space):
    config = default()
    config.data.update(source="folder", path=str(root))
    config.space.update(
        {"image_size": 8, "image_channels": 3, "num_classes": 2, **space}
    )
    channels = config.space.image_channels
    config.data.update(mean=(0.5,) * channels, std=(0.25,) * channels)
    return config


def fill(root, count=3, mode="RGB"):
    """Splits train and test of classes a and b; the paths of their images."""
    rng, paths = np.random.default_rng(0), []
    for folder in ("train/a", "train/b", "test/a", "test/b"):
        (root / folder).mkdir(parents=True)
        for index in range(count):
            pixels = rng.integers(256, size=(9, 10, 3), dtype=np.uint8)
            paths.append(root / folder / f"{index}.png")
            Image.fromarray(pixels).convert(mode).save(paths[-1])
    return paths


def test_images_are_found_at_any_depth_and_the_rest_is_named(tmp_path):
    first, *_ = fill(tmp_path)
    for name in ("more/x.png", "more/deep/1.webp", "folder.png/2.TIF", "3.bmp"):
        path = first.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.open(first).save(path)
    (tmp_path / "linked").symlink_to(first.parent, target_is_directory=True)
    (tmp_path / "train/b/link").symlink_to(first.parent)  # what it holds counts twice
    for name in ("a/.hidden.png", "a/notes.txt", "b/Thumbs.db", "top.png"):
        (tmp_path / "train" / name).write_bytes(b"x")
    (tmp_path / "val").mkdir()
    config = folder_config(tmp_path, num_classes=2)
    config.data.validation_fraction = 0.0
    summary = data.check(config)
    assert summary.images == {"train": 7 + 10, "test": 6}
    assert summary.classes == ("a", "b")
    assert (
        summary.stored == "BMP and PNG and TIFF and WEBP files, the first 10 x 9 colour"
    )
    left_out, unread = summary.notes
    for part in ("hidden 2", ".txt 2", ".db 1", ".png 1", str(tmp_path / "train")):
        assert part in left_out
    assert "linked, val" in unread
    train = data.SOURCES["folder"](config).train
    names = [train.name(index).removeprefix(f"{tmp_path}/train/") for index in range(7)]
    assert names == sorted(names) and "a/more/deep/1.webp" in names


def test_without_a_test_split_a_part_of_train_is_the_test(tmp_path):
    """Also where no folders of splits stand above those of the classes."""
    fill(tmp_path, count=20)
    whole, bare = folder_config(tmp_path), folder_config(tmp_path / "train")
    whole.data.test_split, whole.data.test_fraction = "", 0.2
    bare.data.update(train_split="", test_split="", test_fraction=0.2)
    found = []
    for config in (whole, bare):
        summary = data.check(config)
        assert summary.images == {"train": 29, "validation": 3, "test": 8}
        assert summary.classes == ("a", "b")
        assert any("data.test_fraction = 0.2" in note for note in summary.notes)
        for config.seed in (0, 1):
            splits = dict(data.SOURCES["folder"](config).splits())
            assert np.bincount(splits["test"].all_labels()).tolist() == [4, 4]
            names = [
                {records.name(n) for n in range(len(records))}
                for records in splits.values()
            ]
            assert len(set.union(*names)) == 40
            found.append(names)
    (_, first, test), (_, second, same_test), *of_bare = found
    assert test == same_test and first != second  # of another seed
    assert [of_bare[0], of_bare[1]] == found[:2]
    assert not any("not read" in note for note in data.check(bare).notes)
    bare.data.test_fraction = 0.0
    with pytest.raises(InputError, match=r"data.test_fraction.*both sides of 40.*0\.0"):
        data.check(bare)


def test_class_folders_without_splits_are_told_what_to_do(tmp_path):
    fill(tmp_path)
    with pytest.raises(InputError, match="in .*: a, b; .* if these are the classes, "):
        data.check(folder_config(tmp_path / "train"))


def test_folders_of_splits_are_no_classes(tmp_path):
    fill(tmp_path)
    config = folder_config(tmp_path)
    config.data.update(train_split="", test_split="")
    with pytest.raises(InputError, match="test, train, the names of splits; leave"):
        data.check(config)
    (tmp_path / "classes" / "train" / "1").mkdir(parents=True)
    bare = folder_config(tmp_path / "classes" / "train" / "1")
    (tmp_path / "classes" / "train" / "1" / "train").mkdir()
    with pytest.raises(InputError, match="none; .* if these are the classes, "):
        data.check(bare)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: os.mkfifo(path), "not a regular file"),
        (lambda path: path.symlink_to("/nowhere/x.png"), "a link to nothing"),
        (lambda path: path.symlink_to(".."), "leads back"),
        (lambda path: path.symlink_to(path.name), "x.png"),
    ],
)
def test_what_is_no_file_is_refused_by_name(tmp_path, make, words):
    fill(tmp_path)
    make(tmp_path / "train" / "a" / "x.png")
    with pytest.raises(InputError, match=f"train/a.*{words}") as error:
        data.check(folder_config(tmp_path))
    assert "\n" not in str(error.value)


def test_a_damaged_image_is_found_before_the_run(tmp_path, monkeypatch):
    *_, last = fill(tmp_path)
    content = last.read_bytes()
    last.write_bytes(content[: len(content) // 2])
    config = folder_config(tmp_path)
    with pytest.raises(InputError, match=f"cannot decode {last}"):
        data.check(config)
    last.write_bytes(b"")
    with pytest.raises(InputError, match=f"cannot decode {last}.*empty"):
        data.check(config)
    config.data.corrupt = "skip"
    data.check(config)
    monkeypatch.setattr(base, "SAMPLED_BYTES", 1000)  # 3 of the 6, and not the last
    config.data.corrupt = "error"
    data.check(config)


def test_a_sample_is_everything_where_that_is_little():
    assert list(base.spread_by_bytes(5, base.SAMPLED_BYTES)) == [0, 1, 2, 3, 4]
    assert list(base.spread_by_bytes(5, base.SAMPLED_BYTES + 1)) == [0, 2, 4]
    assert list(base.spread_by_bytes(0, 0)) == []


def test_the_checksum_sees_the_content_of_files_of_equal_size(tmp_path):
    first, *_ = fill(tmp_path)
    other = tmp_path / "train" / "b" / "0.png"
    one, two = (path.read_bytes().ljust(1000, b"\0") for path in (first, other))
    checksums = []
    for contents in ((one, two), (two, one), (one, two)):
        for path, content in zip((first, other), contents, strict=True):
            path.write_bytes(content)
        checksums.append(data.check(folder_config(tmp_path)).checksum)
    assert checksums[0] == checksums[2] != checksums[1]


def test_images_that_train_and_measure_are_said_loudly(tmp_path):
    fill(tmp_path)
    config = folder_config(tmp_path)
    (note,) = data.check(config).notes
    assert "1 of 2 classes (space.num_classes) have no validation image: b" in note
    config.data.validation_fraction = 0.4
    assert data.check(config).notes == ()
    config.data.test_split = "train"
    config.data.validation_fraction = 0.0
    assert "WARNING: 6 of 6 test images are also train" in data.check(config).notes[-1]
    config.data.update(test_split="test", validation_split="test")
    (note,) = data.check(config).notes
    assert "WARNING: 6 of 6 test images are also validation images" in note
    (tmp_path / "held").symlink_to("train")
    config.data.update(test_split="held", validation_split="test")
    assert "test images are also train images" in data.check(config).notes[0]


def arrays_config(path, **arrays):
    config = default()
    config.data.update(source="arrays", path=str(path))
    config.space.update(image_size=8, image_channels=1, num_classes=3)
    np.savez(path, **arrays)
    return config


def test_arrays_that_share_images_or_use_fewer_classes(tmp_path, rng):
    images = rng.integers(256, size=(20, 8, 8), dtype=np.uint8)
    parts = {"x_train": images, "x_test": images[15:]}
    labels = {"y_train": np.arange(20) % 3, "y_test": np.arange(5) % 3}
    config = arrays_config(tmp_path / "x.npz", **parts, **labels)
    config.data.validation_fraction = 0.0
    summary = data.check(config)
    assert summary.notes == (
        "WARNING: 5 of 5 test images are also train images: accuracy on them is not "
        "that on unseen images",
    )
    assert (summary.classes, summary.stored) == (("0", "1", "2"), "8 x 8 grey")
    config.space.num_classes = 10
    unused = data.check(config).notes[0]
    assert "7 of 10 classes (space.num_classes) have no training image: 3, 4" in unused


def test_a_batch_above_the_training_split_is_refused(tmp_path, rng):
    images = rng.integers(256, size=(20, 8, 8), dtype=np.uint8)
    labels = np.arange(20) % 3
    config = arrays_config(
        tmp_path / "x.npz", x_train=images, y_train=labels, x_test=images, y_test=labels
    )
    config.retrain.batch_size = config.supernet.batch_size = 18
    checks.check_data(config)
    config.retrain.batch_size = 100_000_000
    with pytest.raises(InputError, match="retrain.batch_size: .* 18,.*100000000"):
        checks.check_data(config)


def awkward(root):
    """A tree of images that need a decision."""
    first, *_ = fill(root)
    rng = np.random.default_rng(1)
    pixels = rng.integers(256, size=(12, 10, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    colour, folder = Image.fromarray(pixels[..., :3]), first.parent
    colour.save(folder / "turned.jpg", exif=exif)
    colour.save(folder / "turned.png", exif=exif)
    colour.save(folder / "turned.webp", lossless=True, exif=exif)
    Image.fromarray(pixels, "RGBA").save(folder / "rgba.png")
    Image.fromarray(pixels, "CMYK").save(folder / "cmyk.tif")
    colour.quantize(16).save(folder / "palette.png", transparency=b"\0\x80\xff")
    Image.fromarray(np.linspace(0, 65535, 120).astype(np.uint16).reshape(12, 10)).save(
        folder / "grey16.png"
    )
    (folder / "note.txt").write_text("no image")


@pytest.mark.parametrize("target", ["folder:{}/x", "tfds:{}/set/1.0.0"])
def test_conversions_see_the_same_pixels(tmp_path, capsys, target):
    awkward(tmp_path / "tree")
    source, copy = f"folder:{tmp_path / 'tree'}", target.format(tmp_path)
    direct, through = tmp_path / "direct.npz", tmp_path / "through.npz"
    assert prepare.main([source, f"arrays:{direct}", "--size=8"]) == 0
    assert "left out as no images: .txt 1" in capsys.readouterr().out
    assert prepare.main([source, copy]) == 0
    assert prepare.main([copy, f"arrays:{through}", "--size=8"]) == 0
    config = folder_config(tmp_path / "tree")
    config.data.validation_fraction = 0.0
    train = data.load(config).train
    read, _ = train.take(np.arange(len(train)), np.zeros((len(train), 4)))
    with np.load(direct) as one, np.load(through) as other:
        assert one["x_train"].tobytes() == read.images.tobytes()
        for name in one.files:
            assert one[name].tobytes() == other[name].tobytes()
    assert len(folders.read_folder(tmp_path / "tree").splits["train"]) == 6 + 7
