"The widgets in JupyterLab and in voila, in a real Chromium: what the mouse and the keyboard do, and that the pixels are those of the data."
# ruff: noqa: F811  (fixtures are imported by their names)
import io

import nbformat, numpy as np, pytest
from PIL import Image

from anyms.maps import colorize
from anyms.pipeline import Comparison
from anyms.widgets import ComparisonData
from chrome import chrome, drag, follows, open_page, python, run_all, run_python, serve  # noqa: F401 (chrome is a fixture)
from comparisons import decoded, some_runs

pytestmark = pytest.mark.slow
NAMES = ("fox", "<b>crown</b>")

EXPLORER = ["from anyms.pipeline import Comparison\nfrom anyms.widgets import explore\nruns = Comparison.load('runs')",
            "explorer = explore(runs, step=3)\nexplorer"]
EDITOR = ["from anyms.pipeline import Comparison\nfrom anyms.widgets import edit\nlayout = Comparison.load('runs').layout",
          "editor = edit(layout)\neditor"]
PLAYER = ["from anyms.pipeline import Comparison, load\nfrom anyms.widgets import play\nlayout = Comparison.load('runs').layout",
          "pipe = load('stickers')",
          "player = play(pipe, 'a fox on the beach', layout, num_inference_steps=2)\nplayer"]


def notebook(path, cells):
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nb.metadata = dict(kernelspec=dict(display_name="Python 3 (ipykernel)", language="python", name="python3"))
    nbformat.write(nb, path)

@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    "A folder with saved runs and a notebook for each widget."
    folder = tmp_path_factory.mktemp("desk")
    some_runs(NAMES).save(folder/"runs")
    for name, cells in dict(explorer=EXPLORER, editor=EDITOR, player=PLAYER).items(): notebook(folder/f"{name}.ipynb", cells)
    return folder

@pytest.fixture(scope="module")
def lab(chrome, desk):
    with serve(desk, "lab") as url: yield url

@pytest.fixture(scope="module")
def moments(desk): return ComparisonData(Comparison.load(desk/"runs"))

def opened(chrome, lab, name):
    page = open_page(chrome)
    run_all(page, lab, f"{name}.ipynb")
    return page

def eventually(page, script, wanted, seconds=30):
    "Wait until a script's value is `wanted`."
    page.wait_for_function(f"wanted => JSON.stringify(({script})()) === JSON.stringify(wanted)", arg=wanted, timeout=seconds*1000)

def ready(page): page.wait_for_selector(".anyms-explorer[data-ready=yes]", timeout=60_000)

def pixels(page, variant, kind):
    "A canvas of the explorer [h w 3]."
    uri = page.evaluate("""([v, k]) => [...document.querySelectorAll('.anyms-explorer figure')]
        .find(f => f.dataset.variant === v).querySelector(`canvas[data-kind=${k}]`).toDataURL()""", [variant, kind])
    return np.asarray(Image.open(io.BytesIO(decoded(uri))).convert("RGB"))

def shows(page, moments, **view):
    "The blocks of heat on the page are the colours of the captured numbers."
    view = moments.select(alpha=1., boxes=False, **view)
    unit = moments.colors(view.seed, view.stat, view.layer, view.color_range)[0]
    j, t = moments.names.index(view.subject), moments.steps.index(view.step)
    for variant in view.variants:
        heat = pixels(page, variant, "heat")
        wanted = colorize(unit[moments.variants.index(variant), t, j])
        gh, gw = wanted.shape[:2]
        ys, xs = ((np.arange(n) + .5)*side/n for n, side in zip((gh, gw), heat.shape))
        np.testing.assert_allclose(heat[ys.astype(int)][:, xs.astype(int)].astype(int), wanted, atol=1)

def set_range(page, name, value):
    script = "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})) }"
    page.locator(f"input[data-name={name}]").evaluate(script, value)


# the explorer in JupyterLab

@pytest.fixture
def explorer(chrome, lab):
    page = opened(chrome, lab, "explorer")
    ready(page)
    set_range(page, "alpha", 1)
    page.locator("input[data-name=boxes]").uncheck()
    yield page
    page.context.close()

def test_slider_statistic_subject_and_variants(explorer, moments):
    page = explorer
    shows(page, moments, step=3)
    slider = page.locator("input[data-name=step]")
    slider.focus()
    before = pixels(page, "full", "heat"), pixels(page, "full", "picture")
    page.keyboard.press("ArrowLeft")
    shows(page, moments, step=2)
    assert all((a != b).any() for a, b in zip(before, (pixels(page, "full", "heat"), pixels(page, "full", "picture"))))
    follows(page, "explorer.step", 2)
    page.locator("input[data-name=stat]").nth(1).check()
    ready(page)
    shows(page, moments, step=2, stat="norm")
    page.get_by_label("<b>crown</b>").first.check()
    ready(page)
    shows(page, moments, step=2, stat="norm", subject=NAMES[1])
    page.locator("select[data-name=layer]").select_option("4 x 4 tokens")
    ready(page)
    shows(page, moments, step=2, stat="norm", subject=NAMES[1], layer="4 x 4 tokens")
    page.locator("input[data-name=color_range]").first.check()
    ready(page)
    shows(page, moments, step=2, stat="norm", subject=NAMES[1], layer="4 x 4 tokens", color_range="map")
    page.locator("input[data-name=seed]").nth(1).check()
    ready(page)
    shows(page, moments, step=2, stat="norm", subject=NAMES[1], layer="4 x 4 tokens", color_range="map", seed=7)
    page.locator("input[data-name=variant]").first.uncheck()
    eventually(page, "() => [...document.querySelectorAll('.anyms-explorer figure')].map(f => f.hidden)", [True, False, False])
    follows(page, "[explorer.variants, explorer.seed, explorer.color_range, explorer.stat]", [["masked", "crop_merge"], 7, "map", "norm"])
    assert not page.locator(".anyms-explorer b:text-is('crown')").count(), "a name became an element"
    assert not page.outside and not [e for e in page.errors if "anyms" in e]

def test_numbers_of_the_moment(explorer, moments):
    page = explorer
    set_range(page, "step", 1)
    shown = [c.strip() for c in page.locator(".anyms-explorer table[data-variant=masked] td").all_inner_texts()]
    table = moments.table(moments.select(step=1, variants=("masked",)))
    wanted = [f"{round(100*x)}%" for _, row in table.drop(columns=["variant", "subject"]).iterrows() for x in row]
    assert shown == wanted

def test_play_runs_through_the_steps_and_stops(explorer):
    page = explorer
    page.evaluate("""() => { const s = document.querySelector('.anyms-explorer input[data-name=step]');
                             window.seen = new Set(); setInterval(() => window.seen.add(s.value), 50) }""")
    page.locator("button[data-name=play]").click()
    page.wait_for_function("() => window.seen.size === 4")
    page.locator("button[data-name=play]").click()
    follows(page, "explorer.playing", False)
    at = page.locator("input[data-name=step]").input_value()
    page.wait_for_timeout(1200)
    assert page.locator("input[data-name=step]").input_value() == at

def test_python_moves_the_page(explorer, moments):
    run_python(explorer, "explorer.step = 0; explorer.stat = 'norm'")
    eventually(explorer, "() => document.querySelector('.anyms-explorer input[data-name=step]').value", "0")
    ready(explorer)
    explorer.wait_for_function("() => document.querySelectorAll('.anyms-explorer input[data-name=stat]')[1].checked")
    shows(explorer, moments, step=0, stat="norm")

def test_a_slider_step_is_quick(explorer):
    "Input event to painted canvas, median over forty steps."
    times = explorer.evaluate("""async () => {
        const s = document.querySelector('.anyms-explorer input[data-name=step]'), times = [];
        for (let i = 0; i < 40; i++) {
            s.value = i % 4; const start = performance.now();
            s.dispatchEvent(new Event('input', {bubbles: true}));
            document.querySelector('.anyms-explorer canvas[data-kind=heat]').getContext('2d').getImageData(0, 0, 1, 1);
            await new Promise(requestAnimationFrame); times.push(performance.now() - start);
        }
        return times.sort((a, b) => a - b) }""")
    assert times[20] < 150, times

def test_downloads(explorer):
    for kind, name in dict(gif="anyms-film.gif", strip="anyms-strip.png", zip="anyms-report.zip").items():
        with explorer.expect_download(timeout=60_000) as download: explorer.locator(f"button[data-name=export-{kind}]").click()
        assert download.value.suggested_filename == name

def test_a_restarted_kernel_loses_nothing_that_was_shown(explorer, moments):
    page = explorer
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    page.wait_for_selector(".anyms-explorer .say.bad:text('kernel of this explorer is gone')", timeout=60_000)
    set_range(page, "step", 0)
    shows(page, moments, step=0)
    page.locator("input[data-name=stat]").nth(1).check()   # its neighbours had been sent along
    ready(page)
    shows(page, moments, step=0, stat="norm")
    page.locator("input[data-name=seed]").nth(1).check()
    page.wait_for_selector(".anyms-explorer .say.bad:text('not on the page yet')")
    page.locator("input[data-name=seed]").first.check()
    shows(page, moments, step=0, stat="norm")


def test_pictures_grow_with_the_window_and_fill_a_projector(explorer):
    page = explorer
    def side(): return page.locator("canvas[data-kind=picture]").first.bounding_box()["width"]
    sides = []
    for width, height in ((1280, 800), (1920, 1080)):
        page.set_viewport_size(dict(width=width, height=height))
        page.wait_for_timeout(300)
        sides.append(side())
        assert page.locator("canvas[data-kind=heat]").first.bounding_box()["height"]*2 < height
    assert sides[1] > 1.3*sides[0] >= 1.3*200
    page.locator("button[data-name=projector]").click()
    wider = "before => document.querySelector('canvas[data-kind=picture]').getBoundingClientRect().width > before"
    page.wait_for_function(wider, arg=sides[1])
    assert page.locator("input[data-name=step]").is_visible()
    assert not page.locator("input[data-name=stat]").first.is_visible() and not page.locator(".anyms-explorer table").first.is_visible()
    page.locator("button[data-name=projector]").click()
    page.wait_for_function("() => document.querySelector('.anyms-explorer table').checkVisibility()")

def test_the_heat_keeps_the_colours_of_the_bar(explorer, moments):
    for alpha in (.3, .7):
        set_range(explorer, "alpha", alpha)
        shows(explorer, moments, step=3)

def test_the_statistic_is_said_in_a_sentence(explorer):
    assert "who would win this place" in explorer.locator(".anyms-explorer .meaning").inner_text()
    explorer.locator("input[data-name=stat]").nth(1).check()
    explorer.wait_for_selector(".anyms-explorer .meaning:text('moved this place')")
    assert "100% may show colour outside" in explorer.locator(".anyms-explorer .counted").inner_text()

LABELLESS = """() => [...document.querySelectorAll('.anyms input, .anyms select, .anyms button, .anyms [role=button], .anyms [role=img]')]
    .filter(e => !(e.getAttribute('aria-label') || (e.labels && e.labels.length && e.labels[0].textContent.trim())
                   || (e.matches('button') && e.textContent.trim()))).map(e => e.outerHTML.slice(0, 120))"""
SMALL = """() => [...document.querySelectorAll('.anyms button, .anyms select, .anyms label')]
    .filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 23.5).map(e => e.outerHTML.slice(0, 120))"""

def test_controls_have_names_and_room(chrome, lab):
    for name, element in dict(explorer=".anyms-explorer[data-ready=yes]", editor=".anyms-editor g.box").items():
        page = opened(chrome, lab, name)
        page.wait_for_selector(element, timeout=60_000)
        assert page.evaluate(LABELLESS) == []
        assert page.evaluate(SMALL) == []
        page.context.close()


# the box editor in JupyterLab

@pytest.fixture
def editor(chrome, lab):
    page = opened(chrome, lab, "editor")
    page.wait_for_selector(".anyms-editor g.box", timeout=60_000)
    page.locator("svg.board").scroll_into_view_if_needed()
    yield page
    page.context.close()

BOXES = "[[round(v, 2) for v in b] for b in editor.layout.boxes] if editor.layout else []"

def close(page, expression, wanted, atol=.02):
    for _ in range(60):
        said = python(page, expression)
        if np.shape(said) == np.shape(wanted) and np.allclose(said, wanted, atol=atol): return
        page.wait_for_timeout(100)
    assert said == wanted

def test_move_resize_draw_delete(editor):
    page = editor
    close(page, BOXES, [[0, .1, .5, .9], [.5, .1, 1, .9]])
    drag(page, (.25, .5), (.35, .45))
    close(page, BOXES, [[.1, .05, .6, .85], [.5, .1, 1, .9]])
    drag(page, (.98, .88), (.88, .68))
    close(page, BOXES, [[.1, .05, .6, .85], [.5, .1, .9, .7]])
    drag(page, (.7, .75), (.95, .95))
    close(page, BOXES, [[.1, .05, .6, .85], [.5, .1, .9, .7], [.7, .75, .95, .95]])
    follows(page, "editor.layout.names", [*NAMES, "subject"])
    assert "lies on top" in page.locator(".anyms-editor .say").first.inner_text()
    page.keyboard.press("Delete")
    follows(page, "editor.layout.names", list(NAMES))
    drag(page, (.2, .3), (-.5, .3))
    close(page, "[round(editor.layout.boxes[0].x0, 2)]", [0.])
    assert not page.outside

def test_all_corners_and_edges_resize(editor):
    page = editor
    for start, stop, wanted in (((.505, .11), (.605, .21), [.6, .2, 1, .9]), ((.99, .21), (.89, .11), [.6, .1, .9, .9]),
                                ((.61, .89), (.71, .79), [.7, .1, .9, .8]), ((.705, .45), (.605, .45), [.6, .1, .9, .8]),
                                ((.895, .45), (.945, .5), [.6, .1, .95, .8]), ((.78, .105), (.8, .205), [.6, .2, .95, .8]),
                                ((.78, .795), (.7, .895), [.6, .2, .95, .9])):
        drag(page, start, stop)
        close(page, BOXES, [[0, .1, .5, .9], wanted])

def test_undo_and_redo_by_keys_and_buttons(editor):
    page = editor
    drag(page, (.75, .5), (.65, .55))
    close(page, BOXES, [[0, .1, .5, .9], [.4, .15, .9, .95]])
    page.keyboard.press("Delete")
    follows(page, "editor.layout.names", [NAMES[0]])
    page.keyboard.press("Control+z")
    follows(page, "editor.layout.names", list(NAMES))
    page.keyboard.press("Control+z")
    close(page, BOXES, [[0, .1, .5, .9], [.5, .1, 1, .9]])
    page.wait_for_selector("button[data-name=undo]:disabled")
    page.locator("button[data-name=redo]").click()
    close(page, BOXES, [[0, .1, .5, .9], [.4, .15, .9, .95]])
    page.locator("button[data-name=redo]").click()
    follows(page, "editor.layout.names", [NAMES[0]])
    page.locator("g.box").first.focus()
    page.keyboard.press("Delete")
    follows(page, "editor.layout", None)
    page.keyboard.press("Control+z")
    follows(page, "editor.layout.names", [NAMES[0]])
    page.keyboard.press("Control+Shift+z")
    follows(page, "editor.layout", None)

def test_type_fox_get_a_fox(editor):
    page = editor
    page.locator("button[data-name=add]").click()
    follows(page, "editor.bare", ["subject"])
    page.wait_for_selector(".anyms-editor .say:text('this box has no picture yet: choose one below')")
    page.keyboard.type("fox 2")
    page.keyboard.press("Enter")
    follows(page, "[editor.layout.names[-1], editor.bare]", ["fox 2", []])
    page.wait_for_selector(".anyms-editor select[data-name=drawing]")
    page.locator("select[data-name=drawing][data-row='2']").select_option("noto (kept from training)")
    follows(page, "editor.drawings['2'][2]", "noto")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    follows(page, "editor.layout.names", list(NAMES))
    page.locator("g.box").first.focus()
    page.keyboard.type("owl")
    page.keyboard.press("Enter")
    follows(page, "editor.layout.names", ["owl", NAMES[1]])

def test_names_stand_above_all_boxes_and_apart(editor):
    run_python(editor, "editor.layout = [s.replace(box=(.2, .2, .8, .8)) for s in editor.layout]")
    editor.wait_for_function("() => document.querySelectorAll('svg.board > g:last-child text').length === 2")
    first, second = (t.bounding_box() for t in editor.locator("svg.board > g:last-child text").all())
    above = first["y"] + first["height"] <= second["y"] + 4
    assert above or first["x"] + first["width"] <= second["x"] or second["x"] + second["width"] <= first["x"]

def test_keyboard_alone(editor):
    page = editor
    page.locator("g.box").first.focus()
    for _ in range(5): page.keyboard.press("ArrowRight")
    close(page, "list(editor.layout['fox'].box)", [.05, .1, .55, .9], .001)
    for _ in range(5): page.keyboard.press("Shift+ArrowUp")
    close(page, "list(editor.layout['fox'].box)", [.05, .1, .55, .85], .001)
    page.keyboard.press("]")
    follows(page, "editor.layout.order", [1, 0])
    page.keyboard.press("[")
    follows(page, "editor.layout.order", [0, 1])
    page.keyboard.press("Delete")
    follows(page, "editor.layout.names", [NAMES[1]])
    page.keyboard.press("Delete")
    follows(page, "editor.layout", None)
    assert "no subject yet" in page.locator(".anyms-editor .say").first.inner_text()
    page.locator("button[data-name=add]").press("Enter")
    follows(page, "editor.layout.names", ["subject"])
    assert page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets.length") == 2, "the notebook took a key for its own"

def test_list_snap_and_grid(editor):
    page = editor
    page.locator("input[data-name=name]").first.fill("owl")
    page.keyboard.press("Enter")
    follows(page, "editor.layout.names", ["owl", NAMES[1]])
    page.locator("button[data-name=front]").first.click()
    follows(page, "editor.layout.order", [1, 0])
    page.locator("select[data-name=level]").select_option(index=2)
    page.locator("input[data-name=snap]").check()
    follows(page, "[v*8 % 1 for b in editor.layout.boxes for v in b]", [0.]*8)
    page.wait_for_function("() => document.querySelector('.anyms-editor .hint').textContent.includes('tokens without a subject')")
    drag(page, (.25, .5), (.37, .5))
    follows(page, "[v*8 % 1 for b in editor.layout.boxes for v in b]", [0.]*8)
    page.locator("input[data-name=name]").first.fill(NAMES[1])
    page.keyboard.press("Enter")
    page.wait_for_selector(".anyms-editor .say.bad:text('occurs twice')")
    assert python(page, "editor.layout.names") == ["owl", NAMES[1]]
    assert not page.locator(".anyms-editor b:text-is('crown')").count()

def test_python_moves_the_boxes(editor):
    run_python(editor, "editor.layout = editor.layout.replace('fox', box=(.5, .5, 1, 1))")
    editor.wait_for_function("""() => [...document.querySelectorAll('g.box rect.edge')]
        .some(r => r.getAttribute('x') === '160' && r.getAttribute('y') === '160')""")


# play in JupyterLab

def test_play_redraws_and_says_what_is_impossible(chrome, lab, embedded):
    page = opened(chrome, lab, "player")
    page.wait_for_selector(".anyms[data-state=ready]", timeout=120_000)
    page.wait_for_selector(".anyms-reading canvas")
    first = page.locator("svg.board image").first.get_attribute("href")
    page.locator("svg.board").scroll_into_view_if_needed()
    page.locator("g.box").first.focus()
    for _ in range(12): page.keyboard.press("Shift+ArrowLeft")
    changed = """first => document.querySelector('.anyms[data-state=ready]')
                          && document.querySelector('svg.board image').getAttribute('href') !== first"""
    page.wait_for_function(changed, arg=first, timeout=120_000)
    second = page.locator("svg.board image").first.get_attribute("href")
    page.locator(".widget-dropdown select").nth(0).select_option("fused")
    page.locator(".widget-dropdown select").nth(1).select_option("query")
    page.wait_for_selector(".anyms[data-state=error] .say.bad", timeout=120_000)
    assert "background" in page.locator(".anyms[data-state=error] .say.bad").inner_text()
    assert page.locator("img.drawn").is_visible() and not page.locator(".anyms-reading").count(), "the last picture, faded"
    page.locator(".widget-dropdown select").nth(0).select_option("full")
    page.locator(".widget-dropdown select").nth(1).select_option("zero")
    page.wait_for_function(changed, arg=second, timeout=120_000)
    eventually(page, "() => document.querySelector('svg.board image').getAttribute('display')", "inline")
    assert python(page, "[player.error, player.result.settings['variant']]") == ["", "full"]
    page.context.close()


# voila

def test_the_explorer_as_an_app(chrome, desk, moments):
    with serve(desk, "voila", "explorer.ipynb") as url:
        page = open_page(chrome)
        page.goto(url, timeout=120_000)
        ready(page)
        set_range(page, "alpha", 1)
        page.locator("input[data-name=boxes]").uncheck()
        shows(page, moments, step=3)
        page.locator("input[data-name=step]").focus()
        page.keyboard.press("ArrowLeft")
        shows(page, moments, step=2)
        page.locator("select[data-name=layer]").select_option("8 x 8 tokens")
        ready(page)
        shows(page, moments, step=2, layer="8 x 8 tokens")
        assert not [e for e in page.errors if "anyms" in e.lower()]
        page.context.close()
