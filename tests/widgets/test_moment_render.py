"One moment as picture, figure, strip, film and report; colors and boxes in the heat."
import io
import json
import re
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageColor

from anyms.images import color
from anyms.maps import colorize
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.widgets import ComparisonData
from anyms.widgets.explorer import explore
from anyms.widgets.render import token_windows
from comparisons import LAYERS, a_layout, a_result, some_runs
from conftest import picture


@pytest.fixture(scope="module")
def runs(): return some_runs()

def test_image_figure_and_strip(runs):
    m = ComparisonData(runs)
    a, b = (m.image(m.select(step=t)) for t in (0, 3))
    assert a.size == b.size and a.tobytes() != b.tobytes()
    assert m.image(m.select(variants=("full",))).width < a.width
    assert [ax.get_title() for ax in m.figure().axes if ax.get_title()][:3] == ["full", "masked", "crop_merge"]
    assert m.strip(max_steps=2).width < m.strip(max_steps=4).width
    with pytest.raises(ValueError, match="max_steps=0"): m.strip(max_steps=0)
    with pytest.raises(ValueError, match="seconds"): m.gif(seconds=0)

@pytest.mark.parametrize("alpha", [1., .7, .4, .2])
def test_the_heat_has_the_colours_of_the_bar_at_every_alpha(alpha):
    m = ComparisonData(a_result(a_layout(), layers={"up_blocks.0.attn2": (8, 8)}))
    view = m.select(alpha=alpha, boxes=False)
    heat, _, _ = m.heat_image(view, "full", (160, 160))
    unit = m.colors(0, "mass", "all layers", "shared")[0][0, -1, 0]
    np.testing.assert_array_equal(np.asarray(heat)[10::20, 10::20], colorize(unit))

def test_alpha_is_the_share_of_the_heat():
    for part in (0, .25, .5, 1):
        mask = np.asarray(token_windows((160, 80), (4, 8), part))
        assert abs((mask > 0).mean() - part) < .03 and set(np.unique(mask)) <= {0, 255}

def test_the_rounded_box_is_dotted_in_the_heat():
    layout = Layout([Subject("fox", picture(0), (.3, .3, .7, .7))])
    m = ComparisonData(a_result(layout, layers={"up_blocks.0.attn2": (4, 4)}))
    assert m.rounded_boxes("all layers") != [list(layout.boxes[0])]
    plain, boxed = (np.asarray(m.heat_image(m.select(boxes=b), "full", (160, 160))[0]) for b in (False, True))
    changed = (plain != boxed).any(-1)
    x0, y0, x1, y1 = (round(v*160) for v in m.rounded_boxes("all layers")[0])
    assert changed[y0, x0:x1].any() and not changed[:y0].any() and not changed[:, :x0].any() and not changed[y1:].any()

def test_pictures_that_are_not_square():
    layout = a_layout()
    r = a_result(layout, layers={"up_blocks.0.attn2": (4, 8)})
    r.image, r.step_images = Image.new("RGB", (64, 32)), [Image.new("RGB", (64, 32), (i*50, 0, 0)) for i in range(4)]
    e = explore(r)
    assert e.facts["size"] == (224, 112)
    e.image()
    e.strip()
    e.html()

# exports

def test_gif_is_the_film(runs):
    e = explore(runs)
    film = Image.open(io.BytesIO(e.gif(seconds=.2)))
    assert film.format == "GIF" and film.n_frames == 4 and film.info["duration"] == 200 and film.info["loop"] == 0
    film.seek(3)
    assert film.info["duration"] == 800

def believing(runs):
    "The same runs with beliefs: every step's picture, upside down."
    for result in runs: result.predicted_images = [frame.rotate(180) for frame in result.step_images]
    return runs

def found(runs, variant="full", **steps):
    return pd.DataFrame([dict(variant=variant, seed=7, subject=name, step=step) for name, step in steps.items()])

def test_film_and_strip_show_beliefs_unless_noise_is_asked_for():
    data = ComparisonData(believing(some_runs()))
    assert data.select().film == "belief"
    for drawn in (data.gif, data.strip, data.image):
        shown, believed, noisy = drawn(), drawn(data.select(film="belief")), drawn(data.select(film="noisy"))
        assert shown == believed and shown != noisy

def test_marks_fill_from_their_step_on():
    data = ComparisonData(some_runs(), found(some_runs(), fox=2, crown=float("nan")))
    seen = [data.marks_at(data.select(seed=7, step=step), "full") for step in range(4)]
    assert seen == [{0: False, 1: False}]*2 + [{0: True, 1: False}]*2
    assert data.marks_at(data.select(seed=0), "full") == {} == data.marks_at(data.select(seed=7), "masked")

def test_marks_are_seen_in_strip_and_film():
    runs = some_runs()
    plain, marked = ComparisonData(runs), ComparisonData(runs, found(runs, fox=2, crown=1))
    strips = [np.asarray(data.strip(data.select(seed=7))) for data in (plain, marked)]
    changed = np.argwhere((strips[0] != strips[1]).any(-1))
    assert len(changed) and {tuple(c) for c in strips[1][changed[:, 0], changed[:, 1]]} >= {ImageColor.getrgb(color(i)) for i in range(2)}
    films = [Image.open(io.BytesIO(data.gif(data.select(seed=7)))) for data in (plain, marked)]
    assert not np.array_equal(*(np.asarray(film.convert("RGB")) for film in films))
    assert plain.strip(plain.select(seed=0)) == ComparisonData(runs).strip(plain.select(seed=0))

def test_report_holds_everything(runs):
    e = explore(runs, stat="norm", step=1)
    z = zipfile.ZipFile(io.BytesIO(e.report()))
    names = z.namelist()
    assert z.testzip() is None and len([n for n in names if n.startswith("pictures/") and n.endswith(".png")]) == 6
    assert json.loads(z.read("view.json"))["step"] == 1 and Layout.from_dict(json.loads(z.read("layout.json"))).names == ["fox", "crown"]
    first = next(n for n in names if n.endswith("full-0.png"))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(z.read(first)))), np.asarray(runs["full", 0].image))
    maps = np.load(io.BytesIO(z.read(next(n for n in names if n.endswith("full-0.npz")))))
    layer = next(iter(LAYERS))
    np.testing.assert_array_equal(maps[f"norm/{layer}"][2], runs["full", 0].maps.maps["norm", layer, 2])
    assert b"in box" in z.read("moment.csv") and b"norm_in_box" in z.read("numbers.csv")
    assert e.report() == e.report()

def test_file_names_are_plain():
    e = explore(some_runs(names=("../../evil", "<b>"), variants=("full", "../x/y z")))
    for name in zipfile.ZipFile(io.BytesIO(e.report())).namelist():
        assert re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) and ".." not in name
