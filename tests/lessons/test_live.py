"The live toy in a real browser: its numbers are those of the package's variants, boxes move by mouse and keyboard, and it asks nobody."
import math
from functools import partial

import pytest
import torch

from anyms.attention.selection import get_variant
from anyms.attention.variants import KV, VARIANTS
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.lessons.live import live_toy
from anyms.lessons.toy_attention import SHARPNESS, SIDE, patch_colors
from anyms.stickers.world.sprites import sprite
from chrome import chrome, page  # noqa: F401

GRID = (20, 30)   # not square, so that nothing can be guessed
APART = {"penguin": (.05, .2, .46, .9), "tree": (.54, .15, .95, .85)}
NEAR = {"penguin": (.05, .2, .6, .9), "tree": (.313, .15, .951, .85)}
SLIVER = {"penguin": (.51, .2, .52, .8), "tree": (.56, .2, .99, .21)}


def make_layout(boxes): return Layout([Subject(name, sprite(name), box) for name, box in boxes.items()])

def centers(grid):
    y, x = torch.meshgrid(*((torch.arange(side, dtype=torch.float64) + .5)/side for side in grid), indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1)

def outward(box, grid):
    gh, gw = grid
    x0, y0, x1, y1 = box
    return math.floor(x0*gw)/gw, math.floor(y0*gh)/gh, math.ceil(x1*gw)/gw, math.ceil(y1*gh)/gh

def expected(boxes, variant="crop_merge", scale=1., rounding="nearest", **options):
    "The layer's output by the package's own variant, in double precision [n 3]; `query` is the question (x, y, 1)."
    if rounding == "outward": boxes = {name: outward(box, GRID) for name, box in boxes.items()}
    layout = make_layout(boxes)
    q = torch.cat([centers(GRID), torch.ones(GRID[0]*GRID[1], 2, dtype=torch.float64)], 1)[None, None]
    places = centers((SIDE, SIDE))
    keys = SHARPNESS*torch.cat([places, -places.pow(2).sum(-1, keepdim=True)/2, torch.zeros(SIDE*SIDE, 1)], 1)
    values = [torch.nn.functional.pad(patch_colors(subject.image).double(), (0, 1)) for subject in layout]
    refs = KV(keys.expand(len(layout), -1, -1)[None, :, None], torch.stack(values)[None, :, None])
    given = {name: value for name, value in options.items() if value is not None}
    chosen = partial(VARIANTS[variant], **given) if given else get_variant(variant)
    return scale*chosen(q, refs, layout.cover(GRID))[0, 0, :, :3]

def shown(page, boxes, *sides, **options):
    page.set_content(live_toy(make_layout(boxes), *sides, grid=GRID, **options))
    return page.locator(".anyms-toy")

def numbers(page, k=0):
    found = page.evaluate("""k => { const toy = document.querySelector('.anyms-toy').anymsToy;
                             return Array.from(toy.math.output(toy.sides[k], toy.boxes)) }""", k)
    return torch.tensor(found, dtype=torch.float64).reshape(-1, 3)


CASES = [dict(variant=name) for name in ("full", "joint", "masked", "crop_merge")]
CASES += [dict(variant=name, overlap=rule) for name in ("masked", "crop_merge") for rule in ("priority", "sum", "mean")]
CASES += [dict(variant=name, background="query") for name in ("masked", "crop_merge")]
CASES += [dict(variant="full", scale=.5), dict(variant="masked", rounding="outward"), dict(variant="crop_merge", rounding="outward")]

def test_its_numbers_are_those_of_the_variants(page):
    "Thirteen sides on three layouts, to 1e-4."
    for boxes in (APART, NEAR, SLIVER):
        for side in CASES:
            shown(page, boxes, side)
            assert (numbers(page) - expected(boxes, **side)).abs().max() < 1e-4, (boxes, side)
    assert not page.errors and not page.outside

def test_the_theorem_is_black_and_lights_up_where_boxes_meet(page):
    toy = shown(page, APART, dict(variant="masked"), dict(variant="crop_merge"), knobs=True)
    assert "equal at every place" in toy.locator("output").inner_text()
    box = toy.locator("svg").first.locator("rect").nth(1)
    for _ in range(8): box.press("ArrowLeft")            # eight tokens towards the penguin
    assert "differ" in toy.locator("output").inner_text()
    for title in toy.get_by_label("priority").all(): title.check()
    assert "equal at every place" in toy.locator("output").inner_text()
    assert not page.errors

def test_boxes_move_by_mouse_and_keyboard(page):
    toy = shown(page, APART, dict(variant="crop_merge"))
    def box(): return page.evaluate("document.querySelector('.anyms-toy').anymsToy.boxes[0]")
    stage, before = toy.locator("svg").first.bounding_box(), box()
    def at(x, y): return stage["x"] + x*stage["width"], stage["y"] + y*stage["height"]
    page.mouse.move(*at(.25, .5))
    page.mouse.down()
    page.mouse.move(*at(.35, .4), steps=4)
    page.mouse.up()
    assert box() == pytest.approx([before[0] + .1, before[1] - .1, before[2] + .1, before[3] - .1], abs=.01)
    moved = box()
    page.mouse.move(*at(moved[2], moved[3]))             # a corner resizes
    page.mouse.down()
    page.mouse.move(*at(.7, .95), steps=4)
    page.mouse.up()
    assert box()[2:] == pytest.approx([.7, .95], abs=.02) and box()[:2] == moved[:2]
    rect = toy.locator("svg").first.locator("rect").first
    rect.focus()
    rect.press("Shift+ArrowLeft")
    assert box()[2] == pytest.approx(.7 - 1/GRID[1], abs=.02)
    for _ in range(60): rect.press("ArrowLeft")          # it stays inside
    assert box()[0] == pytest.approx(0, abs=1e-9)

def test_a_place_says_how_loud_each_reference_is_there(page):
    toy = shown(page, APART, dict(variant="crop_merge"), place=(.25, .5))
    titles = toy.locator("figcaption")
    assert [titles.nth(i).inner_text() for i in (1, 2)] == ["penguin: × 1", "tree: × 0"]
    toy.get_by_label("joint").check()
    assert [titles.nth(i).inner_text() for i in (1, 2)] == ["penguin: × 0.5", "tree: × 0.5"]

def test_no_name_becomes_an_element(page):
    page.set_content(live_toy(Layout([Subject("<img src=x onerror=alert(1)>", sprite("tree"))])))
    assert page.locator("img").count() == 0 and not page.errors

@pytest.mark.parametrize("side, said", [
    (dict(variant="fused"), "variant='fused'"), (dict(scale=2), "scale=2"), (dict(overlap="first"), "overlap='first'"), (dict(loud=1), "knob='loud'")])
def test_a_knob_that_is_not_there_is_refused(side, said):
    with pytest.raises(ValueError, match=said): live_toy(make_layout(APART), side)

def test_three_sides_are_refused():
    with pytest.raises(ValueError, match="sides has 3 entries"): live_toy(make_layout(APART), {}, {}, {})
