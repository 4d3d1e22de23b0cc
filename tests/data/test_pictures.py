import zlib

import numpy as np
import pytest
from PIL import Image

from semstream.data.picture import PictureError, SourceError, fit, parse_size, read_picture, read_pictures


def gradient(height, width):
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows % 256, columns % 256, (rows + columns) % 256], axis=-1).astype(np.uint8)


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("shape", [(1, 1), (33, 47), (4000, 10), (10, 4000)])
def test_a_picture_of_any_shape_is_read_exactly(tmp_path, shape):
    expected = gradient(*shape)
    got = read_picture(save(tmp_path / "a.png", expected))
    assert got.dtype == np.uint8
    assert np.array_equal(got, expected)


def test_greyscale_fills_three_channels(tmp_path):
    grey = gradient(5, 7)[..., 0]
    got = read_picture(save(tmp_path / "a.png", grey))
    assert np.array_equal(got, np.repeat(grey[..., None], 3, axis=2))


def test_black_and_white_bits_become_black_and_white(tmp_path):
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png")[..., 0].tolist() == [[255, 0]]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_cut_to_the_high_byte(tmp_path, suffix):
    deep = np.array([[0, 255, 256, 32767, 65535]], dtype=np.uint16)
    got = read_picture(save(tmp_path / f"a.{suffix}", deep))
    assert got[0, :, 0].tolist() == [0, 0, 1, 127, 255]


def test_transparency_is_laid_on_white(tmp_path):
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 128]]], dtype=np.uint8)
    got = read_picture(save(tmp_path / "a.png", rgba))
    assert got[0, 0].tolist() == [10, 20, 30]
    assert got[0, 1].tolist() == [255, 255, 255]
    assert got[0, 2].tolist() == [127, 127, 127]


def test_a_palette_with_a_transparent_colour_is_expanded(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([200, 100, 50, 1, 2, 3])
    image.putdata([0, 1])
    image.save(tmp_path / "a.png", transparency=1)
    assert read_picture(tmp_path / "a.png")[0].tolist() == [[200, 100, 50], [255, 255, 255]]


def test_cmyk_is_converted(tmp_path):
    Image.new("CMYK", (8, 8), (0, 0, 0, 0)).save(tmp_path / "a.jpg")
    assert read_picture(tmp_path / "a.jpg").min() >= 250


def test_exif_rotation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.png"
    Image.fromarray(gradient(3, 5)).save(path, exif=exif)
    assert np.array_equal(read_picture(path), np.rot90(gradient(3, 5), -1))


def test_floating_point_pixels_are_refused(tmp_path):
    save(tmp_path / "a.tif", np.ones((2, 2), np.float32))
    with pytest.raises(PictureError, match="8 or 16 bits"):
        read_picture(tmp_path / "a.tif")


def test_a_missing_file_is_named_missing(tmp_path):
    with pytest.raises(PictureError, match="missing"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "tif"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.6])
def test_a_truncated_picture_is_refused_at_any_cut(tmp_path, suffix, kept):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / f"a.{suffix}", noise)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(PictureError, match="not a readable picture"):
        read_picture(path)


def test_a_decompression_bomb_is_refused_before_it_unpacks(tmp_path):
    Image.new("1", (1, 1)).save(tmp_path / "a.png")
    raw = bytearray((tmp_path / "a.png").read_bytes())
    for side, said in ((9000, "9000 x 9000 pixels are more"), (60000, "many times more")):
        raw[16:24] = 2 * side.to_bytes(4, "big")
        raw[29:33] = zlib.crc32(raw[12:29]).to_bytes(4, "big")
        (tmp_path / "bomb.png").write_bytes(raw)
        with pytest.raises(PictureError, match=f"{said} than the limit of 67 million; shrink it"):
            read_picture(tmp_path / "bomb.png")


def test_an_animation_gives_all_its_frames(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert [p[0, 0].tolist() for p in read_pictures(tmp_path / "a.gif")] == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


def test_fitting_keeps_a_picture_of_the_right_size_untouched():
    picture = gradient(8, 9)
    assert fit(picture, (8, 9)) is picture
    assert fit(picture, None) is picture


@pytest.mark.parametrize("shape", [(1, 1), (33, 47), (4000, 10), (600, 400)])
@pytest.mark.parametrize("size", [(1, 1), (32, 32), (17, 250)])
def test_any_picture_fits_any_size(shape, size):
    got = fit(gradient(*shape), size)
    assert got.shape == (*size, 3)
    assert got.flags.c_contiguous


def test_fitting_cuts_the_centre_out():
    picture = np.zeros((10, 30, 3), np.uint8)
    picture[:, 10:20] = 200
    assert (fit(picture, (10, 10)) == 200).all()
    assert (fit(picture, (5, 5))[:, 1:4] > 195).all()


def test_fitting_keeps_the_shape_of_what_is_seen():
    disc = np.zeros((200, 300, 3), np.uint8)
    rows, columns = np.mgrid[0:200, 0:300]
    disc[(rows - 100) ** 2 + (columns - 150) ** 2 < 60**2] = 255
    small = fit(disc, (50, 50))[..., 0] > 127
    assert small.any(axis=0).sum() == small.any(axis=1).sum() == 30


@pytest.mark.parametrize("size", [0, -1, (0, 5), (100_000, 100_000)])
def test_an_impossible_size_is_refused(size):
    with pytest.raises(SourceError, match="size"):
        parse_size(size)


def test_one_number_means_a_square():
    assert parse_size(7) == (7, 7)
    assert parse_size((3, 4)) == (3, 4)
    assert parse_size(None) is None
