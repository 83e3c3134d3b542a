"heatmap: ranges, resizing, colors, a map over its picture."
import numpy as np
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from anyms.images import beside, color
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.maps.figures import draw
from anyms.maps.heatmap import CMAPS, RANGES, as_maps, colorize, limits, normalize, overlay, range_label, resize

GRID = (5, 8)
LAYOUT = Layout([Subject("fox", box=(0, .2, .5, 1)), Subject("crown", box=(.5, 0, 1, .6)),
                 Subject("cat", box=(.25, .4, .75, 1), priority=1)])
MAPS = np.random.default_rng(0).random((3, *GRID), dtype=np.float32)
IMAGE = Image.new("RGB", (80, 50), "teal")

values = st.floats(0, 100, width=32)
shapes = st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))
stacks = shapes.flatmap(lambda shape: arrays(np.float32, shape, elements=values))


# --- ranges ----------------------------------------------------------------------------------------------------------------------
def test_ranges_span_what_they_say():
    maps = np.stack([MAPS, 3*MAPS])                                     # [v s gh gw]
    assert [limits(maps, how)[0].size for how in ("map", "subject", "shared")] == [6, 3, 1]
    lo, hi = limits(maps, "subject")
    np.testing.assert_array_equal(hi.ravel(), maps.max((0, 2, 3)))
    assert [float(x.squeeze()) for x in limits(MAPS, (0, 2))] == [0, 2]
    assert range_label((0, 2)) == "fixed range 0 to 2"
    assert limits(MAPS[0], "subject")[0].size == limits(MAPS[0], "map")[0].size == 1      # a map by itself is one subject


@given(stacks, st.sampled_from([*RANGES, (0., 50.)]))
@settings(deadline=None, max_examples=80)
def test_normalised_maps_stay_in_0_1_and_keep_order(maps, how):
    out = normalize(maps, how)
    assert out.shape == maps.shape and (out >= 0).all() and (out <= 1).all()
    flat, grey = maps.reshape(len(maps), -1), out.reshape(len(maps), -1)
    for m, g in zip(flat, grey): assert (np.diff(g[np.argsort(m, kind="stable")]) >= 0).all()


def test_rounding_noise_is_drawn_flat():
    noise = (1/16 + 1e-7*np.random.default_rng(0).standard_normal((2, 8, 8))).astype(np.float32)
    assert noise.std() > 0
    for how in RANGES: np.testing.assert_array_equal(normalize(noise, how), 0)
    # what half precision makes of a constant slope too small for it
    np.testing.assert_array_equal(normalize(np.linspace(1, 1.0009, 64).astype(np.float16).reshape(8, 8)), 0)
    assert normalize(np.linspace(1, 1.01, 64).reshape(8, 8)).max() == 1
    np.testing.assert_array_equal(normalize(np.zeros((3, 4))), 0)
    figure = draw(noise[0], "own")
    assert "(flat)" in figure.axes[0].get_title()


def test_inputs_of_every_kind():
    np.testing.assert_array_equal(as_maps(torch.tensor(MAPS, dtype=torch.bfloat16, requires_grad=True)),
        torch.tensor(MAPS).bfloat16().float())
    assert as_maps([[1, 2], [3, 4]]).dtype == np.float32
    before = MAPS.copy()
    normalize(MAPS), resize(MAPS, (3, 3)), overlay(IMAGE, MAPS[0]), draw(MAPS[0])
    np.testing.assert_array_equal(MAPS, before)                                            # nothing writes to its input


# --- resizing --------------------------------------------------------------------------------------------------------------------
@given(stacks, st.integers(1, 12), st.integers(1, 12))
@settings(deadline=None, max_examples=80)
def test_resize_keeps_the_mean_and_invents_no_extremes(maps, gh, gw):
    out = resize(maps, (gh, gw))
    assert out.shape == (len(maps), gh, gw)
    np.testing.assert_allclose(out.mean((1, 2)), maps.mean((1, 2)), rtol=1e-4, atol=1e-4)
    assert out.min() >= maps.min() - 1e-4 and out.max() <= maps.max() + 1e-4


def test_resize_by_whole_factors_repeats_and_pools_exactly():
    np.testing.assert_array_equal(resize(MAPS, (10, 24)), MAPS.repeat(2, 1).repeat(3, 2))
    np.testing.assert_allclose(resize(MAPS.repeat(2, 1).repeat(3, 2), GRID), MAPS, rtol=1e-6)
    assert resize(MAPS, GRID) is not None and resize(MAPS, GRID).shape == MAPS.shape


# --- pictures --------------------------------------------------------------------------------------------------------------------
def test_overlay_has_one_block_per_token_in_the_right_place():
    heat = np.zeros(GRID)
    heat[1, 6] = 1
    out = np.asarray(overlay(IMAGE, heat, alpha=1.))
    hot = (out == colorize([[1.]])[0, 0]).all(-1)
    assert hot.sum() == 100 and hot[10:20, 60:70].all()
    assert np.asarray(overlay(IMAGE, heat, alpha=0.)).std(-1).max() == 0                   # the picture alone, grey
    assert overlay(IMAGE, heat).size == IMAGE.size and overlay(np.asarray(IMAGE), torch.tensor(heat)).mode == "RGB"


def test_overlay_draws_each_box_in_its_subjects_colour():
    def rgb(i): return tuple(int(color(i)[k:k + 2], 16) for k in (1, 3, 5))
    def pixels(image): return set(map(tuple, np.asarray(image).reshape(-1, 3)))
    everyone = pixels(overlay(IMAGE, MAPS[0], layout=LAYOUT))
    assert all(rgb(i) in everyone for i in range(3))
    one = pixels(overlay(IMAGE, MAPS[0], layout=LAYOUT, subject="crown"))
    assert [rgb(i) in one for i in range(3)] == [False, True, False]


def test_row_puts_pictures_side_by_side():
    assert beside(IMAGE, IMAGE.resize((10, 60)), gap=4).size == (94, 60)


def test_only_even_colour_maps():
    for name in CMAPS:
        grey = colorize(np.linspace(0, 1, 64)[None], name)[0] @ [.299, .587, .114]
        assert (np.diff(grey) > -1).all() and grey[-1] - grey[0] > 150
