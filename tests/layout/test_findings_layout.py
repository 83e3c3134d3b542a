"Layouts in other people's situations: windows of the picture, references and masks of any shape, other default devices."
import dataclasses
import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from PIL import Image

from anyms.images import read_image
from anyms.layout.boxes import Box
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject

settings.register_profile("quick", max_examples=60, deadline=None)
settings.load_profile("quick")

FOX, HAT = Image.new("RGB", (8, 8), "orange"), Image.new("RGB", (8, 8), "black")
PAIR = Layout([Subject("fox", FOX, (0, 0, .5, 1), priority="attribute", scale=.5), Subject("hat", HAT, (.4, .2, 1, .6))])


# --- a window of the picture -----------------------------------------------------------------------------------------------------
def test_crop_cuts_and_rescales_and_keeps_the_rest():
    seen = PAIR.crop((.25, 0, .75, .8))
    assert seen.names == ["fox", "hat"] and seen.priorities == [1, 0] and seen.scales == [.5, 1]
    assert tuple(seen["fox"].box) == (0, 0, .5, 1)
    assert tuple(seen["hat"].box) == (.3, .25, 1, .75)
    assert seen["fox"] == PAIR["fox"].replace(box=(0, 0, .5, 1)), "all but the place stays"


def test_crop_leaves_out_what_does_not_show():
    assert PAIR.crop((.6, 0, 1, 1)).names == ["hat"]
    assert PAIR.crop((.5, 0, 1, 1)).names == ["hat"], "a box that only touches the window does not show"
    assert PAIR.crop(Box(0, .6, .4, 1)).names == ["fox"]


def test_crop_to_the_whole_picture_changes_nothing():
    layout = Layout([*PAIR, Subject("ring", mask=np.eye(8, dtype=bool))])
    assert layout.crop((0, 0, 1, 1)) == layout


def test_crop_of_a_window_without_subjects_says_what_to_do():
    with pytest.raises(ValueError, match=r"box \(0\.6, 0\.7, 1, 1\) shows none of the subjects fox, hat: choose a window.*scale=0"):
        PAIR.crop((.6, .7, 1, 1))


@pytest.mark.parametrize("box, says", [((0, 0, 64, 64), "looks like pixels"), ((.5, 0, .2, 1), "reversed"),
                                       ((0, 0, 1), "not four numbers"), (None, "not four numbers"),
                                       ((0, 0, math.nan, 1), "not finite"), ((.5, 0, .5, 1), "no area"), ("left", "not four numbers")])
def test_crop_refuses_what_is_no_window(box, says):
    with pytest.raises(ValueError, match=says): PAIR.crop(box)


def test_crop_of_a_mask_at_its_pixels_and_between_them():
    disc = np.hypot(*(np.mgrid[:64, :64] - 31.5)) < 24
    quarter = Subject("disc", mask=disc).crop(Box(.5, 0, 1, .5))
    np.testing.assert_array_equal(quarter.mask, disc[:32, 32:])
    coarse = np.zeros((3, 3), bool)
    coarse[1, 1] = True
    seen = Subject("dot", mask=coarse).crop(Box(.5, .25, 1, .75))          # cuts through the dot's pixel
    np.testing.assert_allclose([*seen.box], [0, 1/6, 1/3, 5/6], atol=.01)
    assert Subject("dot", mask=coarse).crop(Box(0, 0, .25, 1)) is None


@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 6), st.integers(0, 6), st.integers(1, 6), st.integers(1, 6))
def test_tokens_of_a_tile_are_the_pictures_tokens_there(gh, gw, top, left, high, wide):
    "A window that follows the grid's lines sees exactly the tokens that the whole picture has there."
    y0, x0 = min(top, gh - 1), min(left, gw - 1)
    y1, x1 = min(y0 + high, gh), min(x0 + wide, gw)
    layout = Layout([Subject("a", box=(0, 0, 1/gw, 1)), Subject("b", box=(1/gw, 0, 1, 1))])
    whole = layout.cover((gh, gw)).reshape(2, gh, gw)[:, y0:y1, x0:x1]
    tile = layout.crop((x0/gw, y0/gh, x1/gw, y1/gh))
    cover = tile.cover((y1 - y0, x1 - x0)) if (y1 - y0)*(x1 - x0) >= len(tile) else None
    for name, tokens in zip(layout.names, whole):
        if name not in tile.names: assert not tokens.any()
        elif cover is not None: assert torch.equal(cover[tile.names.index(name)], tokens.flatten())


# --- what the encoder gets is what we show ---------------------------------------------------------------------------------------
def beside_white(image): return np.asarray(image)[..., 2] < 255


@pytest.mark.parametrize("size", [(40, 10), (10, 40), (41, 10), (2, 3), (3000, 50), (5000, 2)])
def test_references_are_squares_that_hold_the_whole_picture(size):
    image = Image.new("RGB", size, "orange")
    layout = Layout([Subject("fox", image)])
    reference = layout.images[0]
    assert reference is layout["fox"].image, "whoever reads a subject's picture gets the same"
    assert reference.width == reference.height == min(max(size), 1024)
    ink = beside_white(reference)
    ys, xs = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    w, h = (max(round(length*reference.width/max(size)), 1) for length in size)
    assert (len(xs), len(ys)) == (w, h), "all of it is there"
    assert abs(xs[0] + xs[-1] - reference.width + 1) <= 1 and abs(ys[0] + ys[-1] - reference.height + 1) <= 1, "and stands in the middle"


def test_a_square_reference_is_handed_out_as_it_is():
    subject = Subject("fox", FOX)
    assert Layout([subject]).images[0] is subject.image


def test_a_wide_reference_stays_the_same_on_disk_and_in_copies(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 60, 3), np.uint8)).save(tmp_path/"wide.png")
    layout = Layout([Subject("fox", tmp_path/"wide.png")])
    for embed in (False, True): assert Layout.load(layout.save(tmp_path/f"{embed}.json", embed=embed)) == layout
    assert layout["fox"].replace(scale=2).image == dataclasses.replace(layout["fox"], scale=2).image == layout["fox"].image


def test_the_sheet_shows_what_is_encoded():
    wide = Image.new("RGB", (90, 30), "orange")
    sheet = np.asarray(Layout([Subject("x", wide)]).draw_references(96))[3:-3, 3:-3]
    want = np.asarray(Layout([Subject("x", wide)]).images[0].resize((90, 90)))
    np.testing.assert_array_equal(sheet[:60], want[:60])                   # the name plate lies below


def test_clip_cuts_nothing_off(pipes):
    "The processor of the pipeline, which cuts out the middle, sees a subject at the very edge of a wide reference."
    wide = Image.new("RGB", (400, 100), "white")
    wide.paste("orange", (0, 0, 60, 100))
    processor = pipes("sdxl-plus").feature_extractor
    def see(image): return processor(image, return_tensors="pt").pixel_values
    white = see(Image.new("RGB", (100, 100), "white"))
    assert torch.equal(see(wide), white), "the reason for all this: by itself it sees nothing"
    assert (see(Layout([Subject("fox", wide)]).images[0]) - white).abs().max() > .5


def test_a_wide_reference_is_heard_in_a_bare_call_and_in_generate(embedded):
    from anyms import generate, installed
    wide, empty = (Image.new("RGB", (400, 100), "white") for _ in "ab")
    wide.paste("orange", (10, 10, 90, 90))
    def draw(image, bare):
        layout = Layout([Subject("penguin", image, (.1, .1, .9, .9))])
        if not bare: return np.asarray(generate(embedded, "a penguin", layout, num_inference_steps=1, seed=1, progress=False).image)
        with installed(embedded.unet, layout):
            return embedded("a penguin", ip_adapter_image=[layout.images], num_inference_steps=1,
                            generator=torch.Generator().manual_seed(1), output_type="np").images
    for bare in (True, False): assert not np.array_equal(draw(wide, bare), draw(empty, bare))


def test_images_name_the_subject_that_has_none():
    layout = Layout([Subject("fox", FOX), Subject("hat", box=(.5, 0, 1, 1))])
    says = r"subject 'hat' has no reference image: give it one, as in layout\.replace\('hat', image="
    with pytest.raises(ValueError, match=says): assert layout.images
    assert layout.draw_references() and layout.draw(), "it can be looked at all the same"


# --- masks -----------------------------------------------------------------------------------------------------------------------
def stretched(mask, grid):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        Layout([Subject("fox", mask=np.ones(mask, bool))]).cover(grid)
    return [str(w.message) for w in heard]


@pytest.mark.parametrize("mask, grid", [((64, 128), (64, 64)), ((1000, 700), (32, 32)), ((64, 64), (28, 36)), ((2, 100), (16, 16))])
def test_a_mask_of_another_proportion_warns(mask, grid):
    says, = stretched(mask, grid)
    assert "subject 'fox'" in says and f"{mask[0]}x{mask[1]} (height x width)" in says and "cut or pad the mask" in says


@pytest.mark.parametrize("mask, grid", [((64, 64), (64, 64)), ((7, 5), (14, 10)), ((1023, 1023), (4, 4)), ((224, 288), (28, 36)),
                                        ((224, 288), (7, 9)), ((224, 288), (4, 5)),
                                        ((832, 1216), (13, 19)), ((832, 1216), (7, 10)), ((832, 1216), (4, 5)), ((832, 1216), (2, 3)),
                                        ((96, 416), (3, 13)), ((1, 1), (8, 8)), ((9, 9), (1, 2))])
def test_a_mask_of_the_same_proportion_does_not(mask, grid):
    assert not stretched(mask, grid)


def test_a_mask_from_any_tensor():
    half = torch.zeros(8, 8)
    half[:, :4] = 1
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.bool, torch.uint8):
        assert Subject("fox", mask=half.to(dtype)).box == Box(0, 0, .5, 1)
    assert Subject("fox", mask=half.requires_grad_()).box == Box(0, 0, .5, 1)


def test_a_reference_from_any_tensor():
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        assert np.asarray(read_image(torch.ones(4, 4, 3, dtype=dtype))).min() == 255


# --- other people's Python -------------------------------------------------------------------------------------------------------
@pytest.fixture
def meta():
    "Another default device, of the kind that numpy cannot read."
    torch.set_default_device("meta")
    yield
    torch.set_default_device("cpu")


def test_layouts_live_on_the_cpu_whatever_the_default_device(meta):
    layout = Layout([Subject("fox", box=(0, 0, .5, 1)), Subject("dot", mask=np.pad(np.ones((1, 1), bool), ((0, 63), (63, 0))))])
    for made in (layout.cover((4, 4)), layout.owner((4, 4)), layout["dot"].cover((2, 2))): assert made.device.type == "cpu"
    assert layout.coverage((4, 4)).max() == 1 and layout.disjoint((4, 4)) and not layout.notes
    assert layout.crop((0, 0, .5, 1)).names == ["fox"] and layout.draw().size == (256, 256)


def test_dataclasses_replace_of_a_subject_with_a_mask():
    subject = Subject("fox", mask=np.eye(8, dtype=bool))
    assert dataclasses.replace(subject, scale=.5) == subject.replace(scale=.5)
    for place in (dict(box=(0, 0, .5, .5)), dict(box=Box(0, 0, .5, .5)), dict(mask=np.pad(np.ones((2, 2), bool), 3))):
        with pytest.raises(ValueError, match=r"subject 'fox' has a box and a mask: give one.*subject\.replace\(box="):
            dataclasses.replace(subject, **place)


def test_a_name_of_ours_is_no_subjects():
    with pytest.raises(ValueError, match=r"name=' \(background\) ' is how tables call.*as in 'background'"): Subject(" (background) ")
    assert Subject("background", priority="background").name == "background"


@pytest.mark.parametrize("make, says", [
    (lambda: Box(.6, .1, .3, .8), r"reversed.*if it is \(x, y, width, height\), give \(0\.6, 0\.1, 0\.9, 0\.9\)"),
    (lambda: Box(.1, .6, .8, .3), r"reversed.*if it is \(x, y, width, height\), give \(0\.1, 0\.6, 0\.9, 0\.9\)"),
    (lambda: Box(.3, .1, .3, .8), r"no area.*if it is \(x, y, width, height\), give \(0\.3, 0\.1, 0\.6, 0\.9\)"),
    (lambda: Box(300, 200, 100, 120),
     r"looks like pixels.*it can only be \(x, y, width, height\), with Box\.from_coco\(\(300, 200, 100, 120\)"),
    (lambda: Box.from_pixels((300, 200, 100, 120), (512, 512)),
     r"xyxy=\(300, 200, 100, 120\) is reversed.*\(x, y, width, height\) is for Box\.from_coco"),
    (lambda: Box.from_coco((300, 200, 400, 320), (512, 512)), r"xywh=\(300, 200, 400, 320\) reaches outside.*are for Box\.from_pixels"),
    (lambda: Subject("fox", box=(.6, .1, .3, .8)), r"subject 'fox'.*width, height"),
])
def test_corner_and_size_in_the_place_of_edges_is_named(make, says):
    with pytest.raises(ValueError, match=says): make()


def test_no_such_hint_where_it_cannot_be():
    for box in ((.9, .9, .3, .95), (.9, 0, .1, 0)):
        with pytest.raises(ValueError) as caught: Box(*box)
        assert "width" not in str(caught.value)
