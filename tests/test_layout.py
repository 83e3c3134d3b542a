"""Geometry and files of `layout`: properties for any box and grid, and the edges by hand."""
import json
import math
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from PIL import Image

from anyms.layout import PALETTE, Box, Layout, Subject, colour, grid_for, levels, mask_tokens, read_image

settings.register_profile("quick", max_examples=60, deadline=None)
settings.load_profile("quick")

unit = st.floats(0, 1, allow_nan=False)
grids = st.tuples(st.integers(1, 70), st.integers(1, 70))


@st.composite
def boxes(draw):
    (x0, x1), (y0, y1) = (sorted(draw(st.lists(unit, min_size=2, max_size=2, unique=True))) for _ in "xy")
    return Box(x0, y0, x1, y1)


def subjects(found): return Layout([Subject(f"s{i}", box=box) for i, box in enumerate(found)])


# --- boxes to tokens -------------------------------------------------------------------------------------------------------------
@given(boxes(), grids)
def test_a_box_is_never_empty_and_stays_on_the_grid(box, grid):
    y0, y1, x0, x1 = box.tokens(grid)
    assert 0 <= y0 < y1 <= grid[0] and 0 <= x0 < x1 <= grid[1]


@given(boxes(), grids)
def test_edges_are_rounded_to_the_nearest(box, grid):
    y0, y1, x0, x1 = box.tokens(grid)
    for lo, hi, first, stop, count in ((box.y0, box.y1, y0, y1, grid[0]), (box.x0, box.x1, x0, x1, grid[1])):
        if math.floor(lo*count + .5) < math.floor(hi*count + .5): assert abs(first - lo*count) <= .5 + 1e-9 and abs(stop - hi*count) <= .5 + 1e-9
        else: assert stop == first + 1 and first <= (lo + hi)/2*count <= stop     # a thin box keeps the token under its middle


@given(boxes(), boxes(), grids)
def test_a_larger_box_covers_at_least_as_much(a, b, grid):
    around = Box(min(a.x0, b.x0), min(a.y0, b.y0), max(a.x1, b.x1), max(a.y1, b.y1))
    thin = any(math.floor(lo*count + .5) == math.floor(hi*count + .5) for lo, hi, count in ((a.y0, a.y1, grid[0]), (a.x0, a.x1, grid[1])))
    small, large = Subject("a", box=a).cover(grid), Subject("b", box=around).cover(grid)
    assert thin or not (small & ~large).any()


@given(st.lists(st.integers(1, 199), min_size=1, max_size=5, unique=True), st.integers(24, 70), st.integers(1, 9), st.booleans())
def test_boxes_that_tile_the_picture_tile_every_grid_fine_enough(cuts, count, other, across):
    edges = [0, *sorted(c/200 for c in cuts), 1]
    spans = [(a, b) for a, b in zip(edges, edges[1:])]
    if any(math.floor(a*count + .5) == math.floor(b*count + .5) for a, b in spans): return   # a span below half a token
    layout = subjects([Box(a, 0, b, 1) if across else Box(0, a, 1, b) for a, b in spans])
    grid = (other, count) if across else (count, other)
    assert layout.disjoint(grid) and layout.coverage(grid).share == 1


def test_half_a_token_rounds_up_on_both_edges():
    assert Box(.25, .25, .75, .75).tokens((2, 2)) == (1, 2, 1, 2)     # .5 -> 1 and 1.5 -> 2
    assert Box(.5, 0, 1, 1).tokens((3, 3)) == (0, 3, 2, 3)            # 1.5 -> 2
    assert Box(0, 0, .5, 1).tokens((3, 3)) == (0, 3, 0, 2)


def test_thin_boxes_at_the_borders():
    assert Box(.999, .999, 1, 1).tokens((8, 8)) == (7, 8, 7, 8)
    assert Box(0, 0, 1e-9, 1e-9).tokens((8, 8)) == (0, 1, 0, 1)
    assert Box(0, 0, 1, 1).tokens((1, 1)) == (0, 1, 0, 1)


# --- boxes from elsewhere --------------------------------------------------------------------------------------------------------
@given(st.integers(1, 500), st.integers(1, 500), st.data())
def test_pixels_and_coco_agree(h, w, data):
    x0, y0 = data.draw(st.integers(0, w - 1)), data.draw(st.integers(0, h - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, w)), data.draw(st.integers(y0 + 1, h))
    box = Box.from_pixels((x0, y0, x1, y1), size=(h, w))
    assert box == Box.from_coco((x0, y0, x1 - x0, y1 - y0), size=(h, w))
    assert box.tokens((h, w)) == (y0, y1, x0, x1)                     # on the pixel grid it is itself
    mask = np.zeros((h, w), bool); mask[y0:y1, x0:x1] = True
    assert Box.from_mask(mask) == box
    assert torch.equal(mask_tokens(mask, (h, w)), torch.from_numpy(mask))


@given(boxes(), boxes())
def test_iou_is_a_similarity(a, b):
    assert a.iou(b) == b.iou(a) and 0 <= a.iou(b) <= 1 + 1e-9
    if a.area > 1e-300: assert a.iou(a) == 1


def test_a_box_is_a_tuple_to_those_who_want_one():
    x0, y0, x1, y1 = box = Box(.1, .2, .4, .8)
    assert (x0, y0, x1, y1) == tuple(box) and Box.of(box) is box
    assert Box.of([.1, .2, .4, .8]) == Box.of(np.array([.1, .2, .4, .8])) == Box.of(torch.tensor([.1, .2, .4, .8], dtype=torch.float64)) == box
    assert box.width == pytest.approx(.3) and box.height == pytest.approx(.6) and box.area == pytest.approx(.18)
    assert hash(box) == hash(Box(.1, .2, .4, .8))


def test_rounding_of_a_division_is_forgiven():
    assert Box(-1e-9, 0, 1 + 1e-9, 1) == Box(0, 0, 1, 1)


# --- grids -----------------------------------------------------------------------------------------------------------------------
@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 6))
def test_levels_are_what_strided_convolutions_make(h, w, depth):
    found = levels((h, w), depth)
    side = torch.zeros(1, 1, h, w)
    for grid in found:
        assert grid == tuple(side.shape[2:])
        side = torch.nn.functional.conv2d(side, torch.zeros(1, 1, 3, 3), stride=2, padding=1)
    assert len(found) == depth and all(grid_for(gh*gw, (h, w)) == (gh, gw) for gh, gw in found)


def test_grids_of_the_known_models():
    assert levels((128, 128), 3) == [(128, 128), (64, 64), (32, 32)]
    assert grid_for(48*80, latent=(96, 160)) == (48, 80)             # no square root anywhere near
    assert grid_for(1, latent=(1, 1)) == (1, 1)


# --- owners ----------------------------------------------------------------------------------------------------------------------
@given(st.lists(boxes(), min_size=1, max_size=5), st.lists(st.integers(-2, 2), min_size=5, max_size=5), st.tuples(st.integers(3, 20), st.integers(3, 20)))
def test_the_owner_is_the_highest_priority_then_the_latest(found, priorities, grid):
    layout = Layout([Subject(f"s{i}", box=box, priority=priorities[i]) for i, box in enumerate(found)])
    cover, owner = layout.cover(grid), layout.owner(grid)
    assert cover.shape == (len(found), grid[0]*grid[1]) and cover.dtype == torch.bool and cover.any(1).all()
    for n in range(len(owner)):
        there = [j for j in range(len(found)) if cover[j, n]]
        assert owner[n] == (max(there, key=lambda j: (priorities[j], j)) if there else -1)
    assert np.array_equal(layout.coverage(grid).counts.ravel(), cover.sum(0).numpy())
    assert layout.disjoint(grid) == (int(cover.sum(0).max()) <= 1)


def test_order_and_words_of_priority():
    layout = Layout([Subject("hat", priority="attribute"), Subject("dog"), Subject("sky", priority="background"), Subject("cat", priority=0)])
    assert layout.priorities == [1, 0, -1, 0] and layout.order == [2, 1, 3, 0]
    assert layout.notes == ["dog and cat overlap with equal priority 0: cat comes later in the list and lies on top"]
    assert "note: dog and cat" in repr(layout)


def test_touching_boxes_do_not_overlap():
    assert not subjects([Box(0, 0, .5, 1), Box(.5, 0, 1, 1)]).notes
    ring = np.zeros((64, 64), bool); ring[:8] = True
    assert not Layout([Subject("bar", mask=ring), Subject("low", box=(0, .5, 1, 1))]).notes
    frame = np.ones((64, 64), bool); frame[16:48, 16:48] = False     # the box lies in the hole, though inside the mask's box
    assert not Layout([Subject("frame", mask=frame), Subject("middle", box=(.25, .25, .75, .75))]).notes


@settings(max_examples=40)
@given(st.integers(4, 60), st.integers(4, 60), st.tuples(st.integers(1, 40), st.integers(1, 40)), st.integers(0, 999))
def test_disjoint_masks_stay_disjoint(h, w, grid, seed):
    part = np.random.default_rng(seed).integers(0, 3, (h//2 + 1, w//2 + 1)).repeat(2, 0).repeat(2, 1)[:h, :w]
    regions = [part == j for j in range(3) if (part == j).any()]
    tokens = [mask_tokens(region, grid) for region in regions]
    assert all(t.any() and t.shape == grid for t in tokens)
    share = lambda region: torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(region).double()[None, None], grid)[0, 0]
    large = [t for t, region in zip(tokens, regions) if (share(region) > .5).any()]   # those that did not need the one-token rule
    assert not large or torch.stack(large).sum(0).max() <= 1


# --- sequence --------------------------------------------------------------------------------------------------------------------
def test_a_layout_is_a_sequence():
    layout = subjects([Box(0, 0, .5, 1), Box(.5, 0, 1, 1)])
    assert len(layout) == 2 and layout["s1"] is layout[1] is layout[-1] and list(layout) == [layout[0], layout[1]] and layout[0] in layout
    assert layout.names == ["s0", "s1"] and layout.scales == [1., 1.] and layout.boxes[1] == Box(.5, 0, 1, 1)
    louder = layout.replace("s1", scale=2, box=(0, 0, 1, 1))
    assert louder.scales == [1., 2.] and layout.scales == [1., 1.] and louder["s0"] is layout["s0"]


def test_a_mask_and_a_box_take_each_others_place():
    disc = np.zeros((10, 20), bool); disc[2:5, 4:10] = True
    subject = Subject("disc", mask=disc)
    assert subject.box == Box(.2, .2, .5, .5)
    assert subject.replace(scale=2).mask is not None and subject.replace(box=(0, 0, 1, 1)).mask is None
    assert subject.replace(box=(0, 0, 1, 1)).replace(mask=disc) == subject
    disc[:] = True
    assert subject.mask.sum() == 18                                   # it kept a copy


# --- reference images ------------------------------------------------------------------------------------------------------------
def test_transparency_becomes_white_in_every_mode(tmp_path):
    clear = Image.new("RGBA", (8, 8)); clear.putpixel((0, 0), (200, 10, 10, 255))
    for image in (clear, clear.convert("LA"), clear.quantize(4)):
        seen = read_image(image)
        assert seen.mode == "RGB" and seen.getpixel((5, 5)) == (255, 255, 255) and seen.getpixel((0, 0)) != (255, 255, 255)


@pytest.mark.parametrize("array", [np.zeros((5, 4), np.uint8), np.zeros((5, 4, 1), np.uint8), np.zeros((5, 4, 3), np.float32), np.full((5, 4, 4), 255, np.uint8), torch.zeros(5, 4, 3)])
def test_arrays(array):
    assert read_image(array).size == (4, 5) and read_image(array).mode == "RGB"


def test_sixteen_bits_keep_their_range():
    deep = Image.fromarray(np.full((4, 4), 32768, np.uint16))
    assert abs(read_image(deep).getpixel((0, 0))[0] - 128) <= 1


def test_a_sideways_photograph_is_turned(tmp_path):
    photo = Image.new("RGB", (20, 10)); photo.paste("red", (0, 0, 5, 10))
    tag = photo.getexif(); tag[0x0112] = 6
    photo.save(tmp_path/"photo.jpg", exif=tag)
    assert read_image(tmp_path/"photo.jpg").size == (10, 20)


# --- files -----------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def scene(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (9, 7, 3), dtype=np.uint8)).save(tmp_path/"fox.png")
    return Layout([Subject("fox", tmp_path/"fox.png", (.1, .2, 1/3, .9), scale=.7), Subject("Hüte & 帽子", rng.random((6, 6, 3)), mask=rng.random((11, 13)) > .6, priority=1),
                   Subject("sky", priority="background")])


@given(st.lists(boxes(), min_size=1, max_size=4), st.floats(0, 9, allow_subnormal=False))
def test_json_keeps_every_bit(found, scale):
    layout = Layout([Subject(f"s{i}", box=box, scale=scale, priority=i/3) for i, box in enumerate(found)])
    assert Layout.from_dict(json.loads(json.dumps(layout.to_dict()))) == layout


def test_save_and_load(scene, tmp_path):
    path = scene.save(tmp_path/"scene.json")
    data = json.loads(path.read_text("utf-8"))
    assert data["anyms_layout"] == 1 and data["subjects"][0]["image"] == {"file": "fox.png"} and set(data["subjects"][1]["image"]) == {"png"}
    again = Layout.load(path)
    assert again == scene and again.save(tmp_path/"again.json").read_text("utf-8") == path.read_text("utf-8")


def test_a_saved_folder_can_be_moved(scene, tmp_path):
    scene.save(tmp_path/"scene.json")
    (tmp_path/"elsewhere").mkdir()
    for name in ("scene.json", "fox.png"): os.rename(tmp_path/name, tmp_path/"elsewhere"/name)
    assert Layout.load(tmp_path/"elsewhere"/"scene.json") == scene


def test_an_embedded_layout_needs_nobody(scene, tmp_path):
    path = scene.save(tmp_path/"whole.json", embed=True)
    (tmp_path/"fox.png").unlink()
    assert Layout.load(path) == scene
    assert scene.replace("fox", scale=2).scales[0] == 2               # and a copy does not read the file again


def test_a_failed_write_leaves_the_old_file_and_no_rest(scene, tmp_path, monkeypatch):
    path = scene.save(tmp_path/"scene.json")
    before, files = path.read_bytes(), sorted(os.listdir(tmp_path))
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt): scene.replace("fox", scale=3).save(path)
    assert path.read_bytes() == before and sorted(os.listdir(tmp_path)) == files


# --- pictures --------------------------------------------------------------------------------------------------------------------
def test_colours_are_okabe_ito_and_start_over():
    assert len(set(PALETTE)) == 7 and colour(7) == colour(0) and "#000000" not in PALETTE


def test_drawing(scene):
    assert scene.draw().size == (256, 256) and scene.draw(size=(90, 160)).size == (160, 90)
    drawn = scene.draw(Image.new("RGB", (64, 32), "navy"), size=200)
    assert drawn.size == (200, 100)
    red, green, blue = drawn.getpixel((100, 99))                      # the sky's frame runs along the border
    assert (red, green, blue) == tuple(bytes.fromhex(colour(2)[1:]))
    assert scene.sheet(80).height == 80 and scene._repr_png_()[:4] == b"\x89PNG"


def test_coverage_paints_owners_in_their_colours():
    coverage = subjects([Box(0, 0, .5, 1), Box(.5, 0, 1, 1)]).coverage((2, 4))
    shown = coverage.show(cell=10)
    assert [shown.getpixel((x*10 + 5, 5)) for x in range(4)] == [tuple(bytes.fromhex(colour(i)[1:])) for i in (0, 0, 1, 1)]
    assert coverage.max() == 1 and np.asarray(coverage).shape == (2, 4) and coverage._repr_png_()[:4] == b"\x89PNG"


def test_reading_a_layout_changes_nothing_of_ones_own():
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
    Subject("fox", image).image.putpixel((0, 0), (0, 0, 0))
    assert image.mode == "RGBA" and image.getpixel((0, 0)) == (255, 0, 0, 128)
