"Who covers a token and who owns it; a layout as a list; pictures of it."
import numpy as np
import torch
from hypothesis import given, settings, strategies as st
from PIL import Image

from anyms.images import color
from anyms.layout.boxes import Box
from anyms.layout.layout import Layout
from anyms.layout.masks import mask_tokens
from anyms.layout.subject import Subject
from test_boxes import boxes, subjects

settings.register_profile("quick", max_examples=60, deadline=None)
settings.load_profile("quick")


# owners

@given(st.lists(boxes(), min_size=1, max_size=5), st.lists(st.integers(-2, 2), min_size=5, max_size=5),
       st.tuples(st.integers(3, 20), st.integers(3, 20)))
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
    layout = Layout([Subject("hat", priority="attribute"), Subject("dog"), Subject("sky", priority="background"),
                     Subject("cat", priority=0)])
    assert layout.priorities == [1, 0, -1, 0] and layout.order == [2, 1, 3, 0]
    assert layout.notes == ["dog and cat overlap with equal priority 0: cat comes later in the list and lies on top"]
    assert "note: dog and cat" in repr(layout)


def test_touching_boxes_do_not_overlap():
    assert not subjects([Box(0, 0, .5, 1), Box(.5, 0, 1, 1)]).notes
    ring = np.zeros((64, 64), bool)
    ring[:8] = True
    assert not Layout([Subject("bar", mask=ring), Subject("low", box=(0, .5, 1, 1))]).notes
    frame = np.ones((64, 64), bool)
    frame[16:48, 16:48] = False     # the box lies in the hole, though inside the mask's box
    assert not Layout([Subject("frame", mask=frame), Subject("middle", box=(.25, .25, .75, .75))]).notes


@settings(max_examples=40)
@given(st.integers(4, 60), st.integers(4, 60), st.tuples(st.integers(1, 40), st.integers(1, 40)), st.integers(0, 999))
def test_disjoint_masks_stay_disjoint(h, w, grid, seed):
    part = np.random.default_rng(seed).integers(0, 3, (h//2 + 1, w//2 + 1)).repeat(2, 0).repeat(2, 1)[:h, :w]
    regions = [part == j for j in range(3) if (part == j).any()]
    tokens = [mask_tokens(region, grid) for region in regions]
    assert all(t.any() and t.shape == grid for t in tokens)
    def share(region): return torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(region).double()[None, None], grid)[0, 0]
    large = [t for t, region in zip(tokens, regions) if (share(region) > .5).any()]   # those that did not need the one-token rule
    assert not large or torch.stack(large).sum(0).max() <= 1


# a list

def test_a_layout_is_a_sequence():
    layout = subjects([Box(0, 0, .5, 1), Box(.5, 0, 1, 1)])
    assert len(layout) == 2 and layout["s1"] is layout[1] is layout[-1] and list(layout) == [layout[0], layout[1]] and layout[0] in layout
    assert layout.names == ["s0", "s1"] and layout.scales == [1., 1.] and layout.boxes[1] == Box(.5, 0, 1, 1)
    louder = layout.replace("s1", scale=2, box=(0, 0, 1, 1))
    assert louder.scales == [1., 2.] and layout.scales == [1., 1.] and louder["s0"] is layout["s0"]


def test_a_mask_and_a_box_take_each_others_place():
    disc = np.zeros((10, 20), bool)
    disc[2:5, 4:10] = True
    subject = Subject("disc", mask=disc)
    assert subject.box == Box(.2, .2, .5, .5)
    assert subject.replace(scale=2).mask is not None and subject.replace(box=(0, 0, 1, 1)).mask is None
    assert subject.replace(box=(0, 0, 1, 1)).replace(mask=disc) == subject
    disc[:] = True
    assert subject.mask.sum() == 18                                   # it kept a copy


# pictures

def test_drawing():
    scene = Layout([Subject("fox", Image.new("RGB", (7, 9), "orange"), (.1, .2, 1/3, .9)),
                    Subject("wood", mask=np.eye(11, dtype=bool), priority=1),
                    Subject("sky", priority="background")])
    assert scene.draw().size == (256, 256) and scene.draw(size=(90, 160)).size == (160, 90)
    drawn = scene.draw(Image.new("RGB", (64, 32), "navy"), size=200)
    assert drawn.size == (200, 100)
    red, green, blue = drawn.getpixel((100, 99))                      # the sky's frame runs along the border
    assert (red, green, blue) == tuple(bytes.fromhex(color(2)[1:]))
    assert scene.draw_references(80).height == 80 and scene._repr_png_()[:4] == b"\x89PNG"


def test_coverage_paints_owners_in_their_colours():
    coverage = subjects([Box(0, 0, .5, 1), Box(.5, 0, 1, 1)]).coverage((2, 4))
    shown = coverage.show(cell=10)
    assert [shown.getpixel((x*10 + 5, 5)) for x in range(4)] == [tuple(bytes.fromhex(color(i)[1:])) for i in (0, 0, 1, 1)]
    assert coverage.max() == 1 and np.asarray(coverage).shape == (2, 4) and coverage._repr_png_()[:4] == b"\x89PNG"


def test_reading_a_layout_changes_nothing_of_ones_own():
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
    Subject("fox", image).image.putpixel((0, 0), (0, 0, 0))
    assert image.mode == "RGBA" and image.getpixel((0, 0)) == (255, 0, 0, 128)
