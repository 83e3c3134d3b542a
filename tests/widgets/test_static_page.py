"Sheets, static state and plain HTML: what a page without a kernel holds."
import json
import re

import numpy as np
import pytest
from PIL import Image

from anyms.maps import STATS
from anyms.maps import colorize
from anyms.widgets import ComparisonData, static_explorer
from anyms.widgets.editor import edit
from anyms.widgets.explorer import explore
from anyms.widgets.page import STAT_QUESTIONS, answer, static_source, tile_sheet
from comparisons import Elements, NASTY, a_layout, a_result, asks_nothing_outside, image_of, slowly, some_runs


@pytest.fixture(scope="module")
def runs(): return some_runs()

def test_sheets_hold_the_exact_colours(runs):
    "What the page gets is painted as `heatmap.paint` paints, tile by tile."
    m = ComparisonData(runs)
    for subject in m.names:
        entry = answer(m, ["heat", "7", "norm", "all layers", "shared", subject])
        sheet, unit = np.asarray(image_of(entry["src"]).convert("RGB")), m.colors(7, "norm", "all layers", "shared")[0]
        for v in range(3):
            for t in range(4):
                i = v*4 + t
                x, y = i % entry["columns"]*8, i//entry["columns"]*8
                np.testing.assert_array_equal(sheet[y:y + 8, x:x + 8], colorize(unit[v, t, m.names.index(subject)]))

def test_film_of_the_page_is_the_film_of_the_runs(runs):
    m = ComparisonData(runs)
    entry = answer(m, ["film", "7", "noisy"])
    sheet = np.asarray(image_of(entry["src"]).convert("RGB"))
    i = 1*4 + 2
    np.testing.assert_array_equal(sheet[:32, i*32:(i + 1)*32], np.asarray(runs["masked", 7].step_images[2]))

def test_large_sheets_wrap():
    tiles = [Image.new("RGB", (256, 100), (i, 0, 0)) for i in range(50)]
    entry = tile_sheet(tiles)
    sheet = image_of(entry["src"])
    assert entry["columns"] == 16 and sheet.size == (4096, 400)
    assert sheet.getpixel((49 % 16*256, 49//16*100))[0] == 49

# plain HTML

def test_every_widget_leaves_html(runs):
    for w in (explore(runs), edit(a_layout()), edit(None)):
        bundle = w._repr_mimebundle_()
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        assert "application/vnd.jupyter.widget-view+json" in data
        asks_nothing_outside(data["text/html"])

def test_stepper_is_small_and_complete(runs):
    page = static_explorer(runs, max_steps=3)
    asks_nothing_outside(page)
    tags = Elements(page).tags
    assert [a["alt"] for t, a in tags if t == "img"] and "anymsStaticExplorer" in page and len(page) < 150_000
    assert page == static_explorer(runs, max_steps=3), "the same page each time, or a stored notebook changes at every run"

def test_stepper_choices(runs):
    page = static_explorer(runs, stats=["norm"], subjects=["crown"], max_steps=1, seed=7, layer="up")
    facts = json.loads(re.search(r"anymsStaticExplorer\(root, (\{.*?\}), \{\"subject\"", page)[1])
    assert facts["stats"] == ["norm"] and facts["choices"] == ["crown"] and facts["seeds"] == ["7"] and facts["steps"] == [0]
    for wrong in (dict(stats=["own"]), dict(subjects=["ox"]), dict(max_steps=0), dict(seed=3), dict(stats=[]), dict(layer="attic")):
        with pytest.raises(ValueError): static_explorer(runs, **wrong)

def test_stepper_without_maps(): asks_nothing_outside(static_explorer(some_runs(stats=None)))

def test_the_stepper_begins_there_too():
    page = static_explorer([slowly(a_layout())], max_steps=10)
    assert '"step":4' in page

@pytest.mark.parametrize("name", NASTY)
def test_names_are_escaped_everywhere(name):
    runs = some_runs(names=(name, "crown"), variants=("full", name))
    pages = [explore(runs).html(), static_explorer(runs), edit(a_layout((name, "crown"))).html()]
    for page in pages:
        tags = Elements(page).tags
        assert not [t for t, a in tags if "onerror" in a or a.get("src") == "x"], "a name became an element"
        assert sum(t == "script" for t, _ in tags) == 1 and page.count("</script>") == 1
        assert "\u2028" not in re.search(r"(?s)<script>.*</script>", page)[0]
    explore(runs).image()
    explore(runs).report()
    for source in ("page.js", "explorer.js", "tray.js", "editor.js", "toy.js", "reading.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", static_source(source))

def test_scripts_need_nothing_from_outside():
    for name in ("page.js", "explorer.js", "tray.js", "editor.js", "toy.js", "reading.js", "widgets.css"):
        source = static_source(name)
        assert set(re.findall(r"https?://[^\s'\"]+", source)) <= {"http://www.w3.org/2000/svg"}
        assert "import(" not in source and "url(" not in source

@pytest.mark.parametrize("name", ["background", "in its box"])
def test_no_heading_of_the_page_has_two_meanings(name):
    facts = explore(a_result(a_layout((name, "hat")))).facts
    assert len({*facts["heads"], *facts["subjects"]}) == 4

def test_every_statistic_is_said_in_a_sentence():
    assert STAT_QUESTIONS.keys() == STATS.keys() and explore(some_runs()).facts["statTexts"]["mass"].startswith("who would win this place")

# the page

def test_controls_of_the_page_have_names():
    "Whatever is made without a text of its own has a label."
    for source in ("page.js", "explorer.js", "tray.js", "editor.js", "toy.js", "reading.js"):
        code = static_source(source)
        for tag in re.findall(r"make\('(?:select|input)', \{[^}]*", code):
            assert any(word in tag for word in ("aria-label", "data-name")), tag

def test_facts_are_plain_json():
    for runs in (some_runs(), some_runs(stats=None)): json.dumps(explore(runs).facts)
