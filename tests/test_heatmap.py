"heatmap: ranges, resizing, pictures and figures, shares and leakage."
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.figure import Figure
from PIL import Image

from anyms.heatmap import (CMAPS, RANGES, as_maps, draw, film, leakage, leakage_figure, limits, normalise, overlay, paint, panel, range_words,
                           resize, row, share_figure, share_in_box)
from anyms.layout import Layout, Subject, colour

GRID = (5, 8)
LAYOUT = Layout([Subject("fox", box=(0, .2, .5, 1)), Subject("crown", box=(.5, 0, 1, .6)), Subject("cat", box=(.25, .4, .75, 1), priority=1)])
MAPS = np.random.default_rng(0).random((3, *GRID), dtype=np.float32)
IMAGE = Image.new("RGB", (80, 50), "teal")

values = st.floats(0, 100, width=32)
stacks = st.tuples(*[st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)]).flatmap(lambda shape: arrays(np.float32, shape, elements=values))


# --- ranges ----------------------------------------------------------------------------------------------------------------------
def test_ranges_span_what_they_say():
    maps = np.stack([MAPS, 3*MAPS])                                     # [v s gh gw]
    assert [limits(maps, how)[0].size for how in ("map", "subject", "shared")] == [6, 3, 1]
    lo, hi = limits(maps, "subject")
    np.testing.assert_array_equal(hi.ravel(), maps.max((0, 2, 3)))
    assert [float(x.squeeze()) for x in limits(MAPS, (0, 2))] == [0, 2]
    assert range_words((0, 2)) == "fixed range 0 to 2"
    assert limits(MAPS[0], "subject")[0].size == limits(MAPS[0], "map")[0].size == 1      # a map by itself is one subject


@given(stacks, st.sampled_from([*RANGES, (0., 50.)]))
@settings(deadline=None, max_examples=80)
def test_normalised_maps_stay_in_0_1_and_keep_order(maps, how):
    out = normalise(maps, how)
    assert out.shape == maps.shape and (out >= 0).all() and (out <= 1).all()
    flat, grey = maps.reshape(len(maps), -1), out.reshape(len(maps), -1)
    for m, g in zip(flat, grey): assert (np.diff(g[np.argsort(m, kind="stable")]) >= 0).all()


def test_rounding_noise_is_drawn_flat():
    noise = (1/16 + 1e-7*np.random.default_rng(0).standard_normal((2, 8, 8))).astype(np.float32)
    assert noise.std() > 0
    for how in RANGES: np.testing.assert_array_equal(normalise(noise, how), 0)
    # what half precision makes of a constant slope too small for it
    np.testing.assert_array_equal(normalise(np.linspace(1, 1.0009, 64).astype(np.float16).reshape(8, 8)), 0)
    assert normalise(np.linspace(1, 1.01, 64).reshape(8, 8)).max() == 1
    np.testing.assert_array_equal(normalise(np.zeros((3, 4))), 0)
    figure = draw(noise[0], "own")
    assert "(flat)" in figure.axes[0].get_title()


def test_inputs_of_every_kind():
    np.testing.assert_array_equal(as_maps(torch.tensor(MAPS, dtype=torch.bfloat16, requires_grad=True)), torch.tensor(MAPS).bfloat16().float())
    assert as_maps([[1, 2], [3, 4]]).dtype == np.float32
    before = MAPS.copy()
    normalise(MAPS), resize(MAPS, (3, 3)), overlay(IMAGE, MAPS[0]), draw(MAPS[0])
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
    heat = np.zeros(GRID); heat[1, 6] = 1
    out = np.asarray(overlay(IMAGE, heat, alpha=1.))
    hot = (out == paint([[1.]])[0, 0]).all(-1)
    assert hot.sum() == 100 and hot[10:20, 60:70].all()
    assert np.asarray(overlay(IMAGE, heat, alpha=0.)).std(-1).max() == 0                   # the picture alone, grey
    assert overlay(IMAGE, heat).size == IMAGE.size and overlay(np.asarray(IMAGE), torch.tensor(heat)).mode == "RGB"


def test_overlay_draws_each_box_in_its_subjects_colour():
    rgb = lambda i: tuple(int(colour(i)[k:k + 2], 16) for k in (1, 3, 5))
    pixels = lambda image: set(map(tuple, np.asarray(image).reshape(-1, 3)))
    everyone = pixels(overlay(IMAGE, MAPS[0], layout=LAYOUT))
    assert all(rgb(i) in everyone for i in range(3))
    one = pixels(overlay(IMAGE, MAPS[0], layout=LAYOUT, subject="crown"))
    assert [rgb(i) in one for i in range(3)] == [False, True, False]


def test_row_puts_pictures_side_by_side():
    assert row([IMAGE, IMAGE.resize((10, 60))], gap=4).size == (94, 60)


# --- figures ---------------------------------------------------------------------------------------------------------------------
def figures():
    yield draw(MAPS[0], "full / fox", label="mass", image=IMAGE, layout=LAYOUT)
    yield panel({"full": MAPS, "masked": 2*MAPS}, LAYOUT.names, images={"full": IMAGE, "masked": IMAGE}, layout=LAYOUT, label="mass", over=True)
    yield film(np.stack([MAPS]*20), LAYOUT.names, most=4, label="mass")
    yield leakage_figure(leakage(MAPS, LAYOUT), LAYOUT.names, "full / mass")
    yield share_figure({"full": [.2, .4, .6]}, LAYOUT.names, [.1, .2, .3], "mass")


def test_figures_draw_nothing_by_themselves_and_leave_settings_alone():
    settings_before, open_before = dict(matplotlib.rcParams), plt.get_fignums()
    for figure in figures():
        assert isinstance(figure, Figure)
        figure.canvas.draw()
    assert plt.get_fignums() == open_before and dict(matplotlib.rcParams) == settings_before


@pytest.mark.parametrize("call", [lambda ax: draw(MAPS[0], ax=ax), lambda ax: leakage_figure(leakage(MAPS, LAYOUT), LAYOUT.names, ax=ax),
                                  lambda ax: share_figure({"full": [.2, .4, .6]}, LAYOUT.names, ax=ax)], ids=["draw", "leakage_figure", "share_figure"])
def test_one_axes_suffices(call):
    figure, axes = plt.subplots(1, 2)
    plt.close(figure)
    assert call(axes[1]) is figure
    assert axes[1].has_data() and not axes[0].has_data()


@pytest.mark.parametrize("how, bars", [("shared", 1), ("subject", 3), ("map", 6), ((0, 1), 1)])
def test_a_panel_has_a_colour_bar_per_range_and_says_which(how, bars):
    figure = panel({"full": MAPS, "masked": 2*MAPS}, LAYOUT.names, how=how, label="mass")
    found = [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]
    assert len(found) == bars
    words = " ".join([ax.get_ylabel() for ax in found] + [figure.get_suptitle()])
    assert range_words(how) in words and "mass" in words


def test_panel_titles_rows_colours_and_shared_limits():
    figure = panel({"full": MAPS, "masked": 2*MAPS[:, ::2, ::2]}, LAYOUT.names, layout=LAYOUT)        # grids may differ
    tiles = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    assert [ax.get_title() for ax in tiles] == [f"{v} / {s}" for s in LAYOUT.names for v in ("full", "masked")]
    assert len({im.get_clim() for ax in tiles for im in ax.images}) == 1
    assert [tiles[2*i].yaxis.label.get_color() for i in range(3)] == [colour(i) for i in range(3)]
    assert {im.get_cmap().name for ax in tiles for im in ax.images} == {"magma"}


def test_a_film_keeps_first_and_last_step():
    figure = film(np.stack([MAPS]*20), LAYOUT.names, steps=range(10, 30), most=4)
    assert [ax.get_title() for ax in figure.axes[:4]] == [f"step {t} / fox" for t in (10, 16, 23, 29)]
    assert len(film(MAPS[None], LAYOUT.names).axes) == 3 + 3                                        # one step: three tiles, three bars


def test_only_even_colour_maps():
    for name in CMAPS:
        grey = paint(np.linspace(0, 1, 64)[None], name)[0] @ [.299, .587, .114]
        assert (np.diff(grey) > -1).all() and grey[-1] - grey[0] > 150


# --- numbers ---------------------------------------------------------------------------------------------------------------------
def test_an_even_map_scores_the_boxes_area():
    cover = LAYOUT.cover(GRID)
    np.testing.assert_allclose(share_in_box(np.ones((3, *GRID)), cover), cover.float().mean(-1))
    np.testing.assert_allclose(share_in_box(np.ones(GRID), cover[0]), cover[0].float().mean())


@given(stacks.filter(lambda m: m.shape[1] >= 2 and m.shape[2] >= 2))
@settings(deadline=None, max_examples=60)
def test_leakage_rows_sum_to_one_and_agree_with_the_owner(maps):
    maps = np.resize(maps, (3, *maps.shape[1:]))
    table = leakage(maps, LAYOUT)
    assert table.shape == (3, 4)
    for heat, line in zip(maps, table):
        if heat.max() == 0: assert np.isnan(line).all()
        else: assert abs(line.sum() - 1) < 1e-9 and (line >= 0).all()
    owner = LAYOUT.owner(maps.shape[1:]).numpy()
    if maps[0].max() > 0:
        by_hand = [maps[0].astype(np.float64).ravel()[owner == j].sum()/maps[0].sum(dtype=np.float64) for j in (0, 1, 2, -1)]
        np.testing.assert_allclose(table[0], by_hand, atol=1e-9)


def test_share_counts_the_whole_box_and_leakage_only_what_it_wins():
    cover, table = LAYOUT.cover(GRID), leakage(MAPS, LAYOUT)
    share = share_in_box(MAPS, cover)
    assert share[0] > table[0, 0] and share[1] > table[1, 1]      # the cat lies on top of both
    np.testing.assert_allclose(share[2], table[2, 2])
    assert ((0 <= share) & (share <= 1)).all()


def test_a_map_of_zeros_has_no_share():
    maps = MAPS.copy(); maps[1] = 0
    assert np.isnan(share_in_box(maps, LAYOUT.cover(GRID))).tolist() == [False, True, False]
    assert np.isnan(leakage(maps, LAYOUT)).all(1).tolist() == [False, True, False]


def test_leakage_figure_reads_a_table():
    import pandas as pd
    table = pd.DataFrame(leakage(MAPS, LAYOUT), index=LAYOUT.names, columns=[*LAYOUT.names, "background"])
    ax = leakage_figure(table).axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == LAYOUT.names
    assert [t.get_text() for t in ax.get_xticklabels()] == [*LAYOUT.names, "background"]
    assert leakage_figure(leakage(MAPS, LAYOUT)).axes[0].get_yticklabels()[0].get_text() == "subject 0"
