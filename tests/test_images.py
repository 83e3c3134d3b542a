"Pictures read, drawn on, tiled, and handed on as bytes."
import base64
import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from PIL import Image

from anyms.images import (PALETTE, as_picture, beside, color, data_uri, draw_box, draw_label, draw_text, enlarge, evenly,
                          figure_bytes, image_bytes, pixel_edges, pixel_repeats, png_bytes, read_image, read_png, repeat_pixels,
                          square, tile, to_array, write_png)

settings.register_profile("quick", max_examples=60, deadline=None)
settings.load_profile("quick")


def noise(w, h): return Image.fromarray(np.random.default_rng(0).integers(0, 255, (h, w, 3), dtype=np.uint8))


# colors

def test_colors_are_okabe_ito_and_start_over():
    assert len(set(PALETTE)) == 7 and color(7) == color(0) and "#000000" not in PALETTE


# reading

def test_transparency_becomes_white_in_every_mode():
    clear = Image.new("RGBA", (8, 8))
    clear.putpixel((0, 0), (200, 10, 10, 255))
    for image in (clear, clear.convert("LA"), clear.quantize(4)):
        seen = read_image(image)
        assert seen.mode == "RGB" and seen.getpixel((5, 5)) == (255, 255, 255) and seen.getpixel((0, 0)) != (255, 255, 255)


ARRAYS = [np.zeros((5, 4), np.uint8), np.zeros((5, 4, 1), np.uint8), np.zeros((5, 4, 3), np.float32), np.full((5, 4, 4), 255, np.uint8),
          torch.zeros(5, 4, 3)]


@pytest.mark.parametrize("array", ARRAYS)
def test_arrays(array):
    assert read_image(array).size == (4, 5) and read_image(array).mode == "RGB"


def test_sixteen_bits_keep_their_range():
    deep = Image.fromarray(np.full((4, 4), 32768, np.uint16))
    assert abs(read_image(deep).getpixel((0, 0))[0] - 128) <= 1


def test_a_sideways_photograph_is_turned(tmp_path):
    photo = Image.new("RGB", (20, 10))
    photo.paste("red", (0, 0, 5, 10))
    tag = photo.getexif()
    tag[0x0112] = 6
    photo.save(tmp_path/"photo.jpg", exif=tag)
    assert read_image(tmp_path/"photo.jpg").size == (10, 20)


def test_tensors_of_every_kind_become_arrays():
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.uint8, torch.bool):
        assert isinstance(to_array(torch.ones(2, 2, dtype=dtype)), np.ndarray)
    assert to_array(torch.ones(2, requires_grad=True)).sum() == 2 and to_array("fox") == "fox"


def test_as_picture_takes_what_a_pipeline_gives():
    array = np.asarray(noise(4, 3))
    for given_ in (noise(4, 3), array, torch.from_numpy(array.copy())): assert np.array_equal(as_picture(given_), array)
    for wrong in ("fox.png", np.zeros((3, 4)), np.zeros((3, 4, 3)), None):
        with pytest.raises(TypeError, match=r"image must be a PIL picture or a uint8 array \[h w 3\], got .*: convert it first"):
            as_picture(wrong)


def test_square_keeps_what_is_square():
    image = noise(9, 9)
    assert square(image) is image and square(noise(9, 3)).size == (9, 9) and square(Image.new("RGB", (3000, 10))).size == (1024, 1024)


# pixels

@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 200))
def test_enlarged_pictures_are_large_enough_and_no_larger(w, h, least):
    times = pixel_repeats((w, h), least)
    assert max(w, h)*times >= least and (times == 1 or max(w, h)*(times - 1) < least)
    large = enlarge(Image.new("RGB", (w, h)), least)
    assert large.size == (w*times, h*times)


def test_repeated_pixels_are_the_same_pixels():
    image = noise(5, 3)
    assert np.array_equal(np.asarray(repeat_pixels(image, 3))[::3, ::3], np.asarray(image)) and repeat_pixels(image, 1) is image


def test_a_small_picture_comes_back_from_a_large_file(tmp_path):
    image = noise(5, 3)
    write_png(image, tmp_path/"a.png", times=7, frames=3)
    again, notes = read_png(tmp_path/"a.png")
    assert Image.open(tmp_path/"a.png").size == (35, 21) and np.array_equal(again, image) and notes["frames"] == "3"
    plain = tmp_path/"plain.png"
    image.save(plain)
    assert np.array_equal(read_png(plain)[0], image)


def test_a_size_that_does_not_fit_is_said(tmp_path):
    write_png(noise(5, 3), tmp_path/"a.png", times=2, width=4)
    assert read_png(tmp_path/"a.png")[0].size == (5, 3), "its own size wins over a note of that name"
    with Image.open(tmp_path/"a.png") as file: file.crop((0, 0, 9, 6)).save(tmp_path/"b.png", pnginfo=_info(width=5, height=3))
    with pytest.raises(ValueError, match="no multiple of its own"): read_png(tmp_path/"b.png")


def _info(**notes):
    from PIL.PngImagePlugin import PngInfo
    info = PngInfo()
    for key, value in notes.items(): info.add_text(key, str(value))
    return info


# drawing

unit = st.floats(0, 1)


@given(unit, unit, unit, unit, st.integers(1, 99), st.integers(1, 99))
def test_a_frame_has_at_least_a_pixel_and_stays_right_of_its_corner(a, b, c, d, w, h):
    (x0, x1), (y0, y1) = sorted((a, b)), sorted((c, d))
    left, top, right, bottom = pixel_edges((x0, y0, x1, y1), (w, h))
    assert 0 <= left <= right <= w and 0 <= top <= bottom <= h


def test_frames_of_neighbours_do_not_share_pixels():
    assert pixel_edges((0, 0, .5, 1), (10, 10))[2] == 4 and pixel_edges((.5, 0, 1, 1), (10, 10))[0] == 5


def test_a_dotted_frame_has_gaps():
    line, dots = (Image.new("RGB", (40, 40), "white") for _ in "ab")
    draw_box(line, (2, 2, 37, 37), "#000000", width=2)
    draw_box(dots, (2, 2, 37, 37), "#000000", width=2, dotted=True)
    ink = [int((np.asarray(image) == 0).all(-1).sum()) for image in (line, dots)]
    assert 0 < ink[1] < ink[0] and (np.asarray(dots)[2] == 255).any()


@pytest.mark.parametrize("xy", [(0, 0), (500, 500), (-9, 30)])
def test_a_label_stays_inside(xy):
    picture = Image.new("RGB", (80, 40), "white")
    draw_label(picture, xy, "fox", color(0))
    plate = (np.asarray(picture) == tuple(bytes.fromhex(color(0)[1:]))).all(-1)
    assert plate.sum() > 100


def test_a_long_line_is_cut():
    short, long = (Image.new("RGB", (200, 20), "white") for _ in "ab")
    draw_text(short, (0, 0), "fox", 100)
    draw_text(long, (0, 0), "a very long name of a fox indeed", 100)
    assert (np.asarray(long)[:, 110:] == 255).all() and (np.asarray(short) < 255).any()


# side by side

def test_beside_aligns_at_the_top():
    row = beside(noise(4, 3), np.asarray(noise(2, 6)), gap=5)
    assert row.size == (11, 6) and np.array_equal(np.asarray(row)[:3, :4],
                                                  np.asarray(noise(4, 3))) and (np.asarray(row)[3:, :9] == 255).all()
    with pytest.raises(ValueError, match="pictures is empty"): beside()


def test_tiles_in_rows():
    pictures = [noise(4, 3), noise(2, 6), noise(4, 4)]
    sheet = tile(pictures, 2, gap=(1, 2))
    assert sheet.size == (10, 14) and np.array_equal(np.asarray(sheet)[8:12, :4], np.asarray(pictures[2]))
    assert tile(pictures[:1], 4).size == (4, 3) and tile([noise(4, 3)]*3, 1).size == (4, 9)


@given(st.integers(1, 60), st.integers(1, 60))
def test_evenly_chosen_ones_include_both_ends(count, most):
    found = evenly(count, most)
    assert found == sorted(set(found)) and found[0] == 0 and len(found) <= min(count, most)
    assert most == 1 or found[-1] == count - 1
    assert most < count or found == list(range(count))


# bytes

def test_bytes_of_a_picture():
    image = noise(6, 5)
    assert np.array_equal(Image.open(io.BytesIO(png_bytes(image))),
                          image) and Image.open(io.BytesIO(image_bytes(image, "JPEG"))).format == "JPEG"
    assert len(np.unique(np.asarray(Image.open(io.BytesIO(png_bytes(image, 4))).convert("RGB")).reshape(-1, 3), axis=0)) <= 4


def test_data_uris():
    kind, _, content = data_uri(noise(3, 3)).partition(";base64,")
    assert kind == "data:image/png" and base64.b64decode(content)[:4] == b"\x89PNG"
    assert data_uri(b"abc", "text/csv") == "data:text/csv;base64,YWJj"
    assert data_uri(noise(3, 3), "image/jpeg", quality=50).startswith("data:image/jpeg;")


def test_bytes_of_a_figure():
    from matplotlib.figure import Figure
    assert Image.open(io.BytesIO(figure_bytes(Figure((2, 1), dpi=50)))).size == (100, 50)
