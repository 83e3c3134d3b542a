"Boxes and the grids they fall on: properties for any box and grid, and the edges by hand."
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from anyms.layout.boxes import Box
from anyms.layout.grids import grid_for, levels
from anyms.layout.layout import Layout
from anyms.layout.masks import mask_tokens
from anyms.layout.subject import Subject

settings.register_profile("quick", max_examples=60, deadline=None)
settings.load_profile("quick")

unit = st.floats(0, 1, allow_nan=False)
grids = st.tuples(st.integers(1, 70), st.integers(1, 70))


@st.composite
def boxes(draw):
    (x0, x1), (y0, y1) = (sorted(draw(st.lists(unit, min_size=2, max_size=2, unique=True))) for _ in "xy")
    return Box(x0, y0, x1, y1)


def subjects(found): return Layout([Subject(f"s{i}", box=box) for i, box in enumerate(found)])


# boxes to tokens

@given(boxes(), grids)
def test_a_box_is_never_empty_and_stays_on_the_grid(box, grid):
    y0, y1, x0, x1 = box.tokens(grid)
    assert 0 <= y0 < y1 <= grid[0] and 0 <= x0 < x1 <= grid[1]


@given(boxes(), grids)
def test_edges_are_rounded_to_the_nearest(box, grid):
    y0, y1, x0, x1 = box.tokens(grid)
    for lo, hi, first, stop, count in ((box.y0, box.y1, y0, y1, grid[0]), (box.x0, box.x1, x0, x1, grid[1])):
        if math.floor(lo*count + .5) < math.floor(hi*count + .5):
            assert abs(first - lo*count) <= .5 + 1e-9 and abs(stop - hi*count) <= .5 + 1e-9
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


# boxes from elsewhere

@given(st.integers(1, 500), st.integers(1, 500), st.data())
def test_pixels_and_coco_agree(h, w, data):
    x0, y0 = data.draw(st.integers(0, w - 1)), data.draw(st.integers(0, h - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, w)), data.draw(st.integers(y0 + 1, h))
    box = Box.from_pixels((x0, y0, x1, y1), size=(h, w))
    assert box == Box.from_coco((x0, y0, x1 - x0, y1 - y0), size=(h, w))
    assert box.tokens((h, w)) == (y0, y1, x0, x1)                     # on the pixel grid it is itself
    mask = np.zeros((h, w), bool)
    mask[y0:y1, x0:x1] = True
    assert Box.from_mask(mask) == box
    assert torch.equal(mask_tokens(mask, (h, w)), torch.from_numpy(mask))


@given(boxes(), boxes())
def test_iou_is_a_similarity(a, b):
    assert a.iou(b) == b.iou(a) and 0 <= a.iou(b) <= 1 + 1e-9
    if a.area > 1e-300: assert a.iou(a) == 1


def test_a_box_is_a_tuple_to_those_who_want_one():
    x0, y0, x1, y1 = box = Box(.1, .2, .4, .8)
    assert (x0, y0, x1, y1) == tuple(box) and Box.of(box) is box
    assert Box.of([.1, .2, .4, .8]) == Box.of(np.array([.1, .2, .4, .8])) == box
    assert Box.of(torch.tensor([.1, .2, .4, .8], dtype=torch.float64)) == box
    assert box.width == pytest.approx(.3) and box.height == pytest.approx(.6) and box.area == pytest.approx(.18)
    assert hash(box) == hash(Box(.1, .2, .4, .8))


def test_rounding_of_a_division_is_forgiven():
    assert Box(-1e-9, 0, 1 + 1e-9, 1) == Box(0, 0, 1, 1)


# grids

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
