"figures: axes, bars, titles, and that nothing is drawn by itself."
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from anyms.images import color
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.maps.figures import draw, film_strip, panel
from anyms.maps.heatmap import range_label
from anyms.maps.metric_figures import leakage_figure, share_figure
from anyms.maps.metrics import leakage

GRID = (5, 8)
LAYOUT = Layout([Subject("fox", box=(0, .2, .5, 1)), Subject("crown", box=(.5, 0, 1, .6)),
                 Subject("cat", box=(.25, .4, .75, 1), priority=1)])
MAPS = np.random.default_rng(0).random((3, *GRID), dtype=np.float32)
IMAGE = Image.new("RGB", (80, 50), "teal")

LEAK = leakage(MAPS, LAYOUT.owner(GRID))


def figures():
    yield draw(MAPS[0], "full / fox", label="mass", image=IMAGE, layout=LAYOUT)
    yield panel({"full": MAPS, "masked": 2*MAPS}, LAYOUT.names, images={"full": IMAGE, "masked": IMAGE}, layout=LAYOUT,
        label="mass", over=True)
    yield film_strip(np.stack([MAPS]*20), LAYOUT.names, most=4, label="mass")
    yield leakage_figure(LEAK, LAYOUT.names, "full / mass")
    yield share_figure({"full": [.2, .4, .6]}, LAYOUT.names, [.1, .2, .3], "mass")


def test_figures_draw_nothing_by_themselves_and_leave_settings_alone():
    settings_before, open_before = dict(matplotlib.rcParams), plt.get_fignums()
    for figure in figures():
        assert isinstance(figure, Figure)
        figure.canvas.draw()
    assert plt.get_fignums() == open_before and dict(matplotlib.rcParams) == settings_before


@pytest.mark.parametrize("call", [lambda ax: draw(MAPS[0], ax=ax), lambda ax: leakage_figure(LEAK, LAYOUT.names, ax=ax),
                                  lambda ax: share_figure({"full": [.2, .4, .6]}, LAYOUT.names, ax=ax)],
                                  ids=["draw", "leakage_figure", "share_figure"])
def test_one_axes_suffices(call):
    figure, axes = plt.subplots(1, 2)
    plt.close(figure)
    assert call(axes[1]) is figure
    assert axes[1].has_data() and not axes[0].has_data()


@pytest.mark.parametrize("how, bars", [("shared", 1), ("subject", 3), ("map", 6), ((0, 1), 1)])
def test_a_panel_has_a_colour_bar_per_range_and_says_which(how, bars):
    figure = panel({"full": MAPS, "masked": 2*MAPS}, LAYOUT.names, color_range=how, label="mass")
    found = [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]
    assert len(found) == bars
    words = " ".join([ax.get_ylabel() for ax in found] + [figure.get_suptitle()])
    assert range_label(how) in words and "mass" in words


def test_panel_titles_rows_colours_and_shared_limits():
    figure = panel({"full": MAPS, "masked": 2*MAPS[:, ::2, ::2]}, LAYOUT.names, layout=LAYOUT)        # grids may differ
    tiles = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    assert [ax.get_title() for ax in tiles] == [f"{v} / {s}" for s in LAYOUT.names for v in ("full", "masked")]
    assert len({im.get_clim() for ax in tiles for im in ax.images}) == 1
    assert [tiles[2*i].yaxis.label.get_color() for i in range(3)] == [color(i) for i in range(3)]
    assert {im.get_cmap().name for ax in tiles for im in ax.images} == {"magma"}


def test_a_film_keeps_first_and_last_step():
    figure = film_strip(np.stack([MAPS]*20), LAYOUT.names, steps=range(10, 30), most=4)
    assert [ax.get_title() for ax in figure.axes[:4]] == [f"step {t} / fox" for t in (10, 16, 23, 29)]
    # one step: three tiles, three bars
    assert len(film_strip(MAPS[None], LAYOUT.names).axes) == 3 + 3


def test_leakage_figure_reads_a_table():
    table = pd.DataFrame(LEAK, index=LAYOUT.names, columns=[*LAYOUT.names, "background"])
    ax = leakage_figure(table).axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == LAYOUT.names
    assert [t.get_text() for t in ax.get_xticklabels()] == [*LAYOUT.names, "background"]
    assert leakage_figure(LEAK).axes[0].get_yticklabels()[0].get_text() == "subject 0"
