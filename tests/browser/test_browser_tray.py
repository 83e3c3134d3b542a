"The sticker tray in JupyterLab, in a real Chromium: search, keyboard, drag, undo, the prompt from boxes, a picture of one's own."
# ruff: noqa: F811  (fixtures are imported by their names)
import os

import nbformat, pytest

from chrome import box_of, chrome, drag, follows, open_page, python, run_all, run_python, serve  # noqa: F401 (chrome is a fixture)
from conftest import embedded_weights

pytestmark = pytest.mark.slow

EDITOR = ["from anyms.widgets import edit\neditor = edit()\neditor"]
PLAYER = ["from anyms.pipeline import load\nfrom anyms.widgets import play\npipe = load('stickers')",
          "player = play(pipe, 'on the beach', num_inference_steps=2)\nplayer"]
FILE = """(e, [type, name, at]) => {
    const canvas = Object.assign(document.createElement('canvas'), {width: 32, height: 32}), ink = canvas.getContext('2d');
    ink.fillStyle = '#d02020'; ink.fillRect(0, 0, 32, 32);
    return new Promise(done => canvas.toBlob(blob => {
        const data = new DataTransfer(), r = e.getBoundingClientRect();
        data.items.add(new File([blob], name, {type: 'image/png'}));
        const all = {bubbles: true, cancelable: true};
        if (type === 'drop') e.dispatchEvent(new DragEvent('drop', {...all, dataTransfer: data,
            clientX: r.left + at[0]*r.width, clientY: r.top + at[1]*r.height}));
        else e.dispatchEvent(new ClipboardEvent('paste', {...all, clipboardData: data}));
        done() })) }"""


@pytest.fixture(scope="module")
def lab(chrome, tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    for name, cells in dict(editor=EDITOR, player=PLAYER).items():
        nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        nb.metadata = dict(kernelspec=dict(display_name="Python 3 (ipykernel)", language="python", name="python3"))
        nbformat.write(nb, folder/f"{name}.ipynb")
    with serve(folder, "lab") as url: yield url

@pytest.fixture
def opened(chrome, lab):
    pages = []
    def open_one(name):
        page = open_page(chrome)
        pages.append(page)
        run_all(page, lab, f"{name}.ipynb")
        page.wait_for_selector(".tray .tile img", timeout=60_000)
        page.locator(".tray").scroll_into_view_if_needed()
        return page
    yield open_one
    for page in pages: page.context.close()

def shot(page, name):
    if os.environ.get("ANYMS_SHOTS"): page.screenshot(path=f"{os.environ['ANYMS_SHOTS']}/{name}.png")

def drag_tile(page, noun, drawing, to):
    "A tile onto a place of the board, 0..1."
    tile = box_of(page.locator(f".tile[data-noun={noun}][data-drawing={drawing}]"))
    board = box_of(page.locator("svg.board"))
    x, y = board["x"] + to[0]*board["width"], board["y"] + to[1]*board["height"]
    page.mouse.move(tile["x"] + 20, tile["y"] + 20)
    page.mouse.down()
    page.mouse.move(x - 20, y - 20)
    page.mouse.move(x, y)
    assert page.locator(".anyms-ghost").count() == 1
    page.mouse.up()
    assert page.locator(".anyms-ghost").count() == 0

DRAWN = "[editor.drawings[str(b['id'])][2] for b in editor.boxes]"

def test_search_keyboard_drag_and_undo(opened):
    page = opened("editor")
    assert page.locator(".tile").count() > 100, "every word has a tile"
    search = page.locator("input[data-name=search]")
    search.fill("fo")
    page.wait_for_selector(".tile[data-noun=fox][data-drawing=noto] img")
    first = page.locator(".tile").first.get_attribute("data-noun")
    assert first.startswith("fo") and page.locator(".tile[data-noun=fox]").count() == 6
    search.fill("fox")
    search.press("Enter")
    follows(page, "editor.layout.names", ["fox"])
    page.wait_for_selector(".told:text('fox is on the board')")
    page.keyboard.press("Control+z")
    follows(page, "editor.layout", None)
    page.keyboard.press("Control+Shift+z")
    follows(page, "editor.layout.names", ["fox"])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    drawing = page.evaluate("() => document.activeElement.dataset.drawing")
    page.keyboard.press("Enter")
    follows(page, "editor.layout.names", ["fox", "fox 2"])
    assert python(page, DRAWN)[1] == drawing
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("() => document.activeElement.dataset.name") == "search", "and back to the word"
    search.fill("owl")
    page.wait_for_selector(".tile[data-noun=owl][data-drawing=noto] img")
    drag_tile(page, "owl", "noto", (.3, .25))
    follows(page, "editor.layout.names", ["fox", "fox 2", "owl"])
    assert python(page, DRAWN)[2] == "noto"
    x0, y0, x1, y1 = python(page, "list(editor.layout['owl'].box)")
    assert abs((x0 + x1)/2 - .3) < .02 and abs((y0 + y1)/2 - .25) < .02
    shot(page, "tray")
    page.locator("button[data-name=undo]").click()
    follows(page, "editor.layout.names", ["fox", "fox 2"])
    page.locator("button[data-name=redo]").click()
    follows(page, DRAWN, [python(page, DRAWN)[0], drawing, "noto"])
    assert page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets.length") == 1, "the notebook took a key for its own"
    assert not page.outside and not [e for e in page.errors if "anyms" in e]

def test_three_clicks_in_one_breath(opened):
    "Faster than the kernel answers: three subjects, in three places."
    page = opened("editor")
    page.evaluate("() => [3, 4, 5].forEach(i => document.querySelectorAll('.tile')[i].click())")
    follows(page, "len(editor.layout or ())", 3)
    boxes = python(page, "[list(b) for b in editor.layout.boxes]")
    assert len({tuple(b) for b in boxes}) == 3 and python(page, "editor.message") == "", "apart, so that nothing overlaps"

SLOW = """import time
def slow(name, seconds, kind=type(editor)):
    before = getattr(kind, name)
    setattr(kind, name, lambda *a, **k: (time.sleep(seconds), before(*a, **k))[1])
[slow(name, .8) for name in ('place_sticker', 'undo', 'place_picture')]"""

def shown(page):
    "Names and left upper corners of the boxes on the page."
    labels = page.locator("g.box").evaluate_all("all => all.map(g => g.getAttribute('aria-label'))")
    return sorted((label.split(":")[0], label.split("from ")[1].split(" to")[0]) for label in labels)

CORNERS = "sorted([s.name, f'{round(100*s.box.x0)}%, {round(100*s.box.y0)}%'] for s in editor.layout or ())"

def test_a_box_is_dragged_while_python_is_slow(opened):
    "The answer to an older state comes late, and overwrites nothing: not the drag, not the sticker, not the name, not the undo."
    page = opened("editor")
    page.locator(".tile[data-noun=hat]").click()
    follows(page, CORNERS, [["hat", "4%, 50%"]])
    run_python(page, SLOW)
    page.locator(".tile[data-noun=tree]").click()              # takes .8 s
    drag(page, (.2, .7), (.3, .3))                         # meanwhile
    page.wait_for_function("() => document.querySelectorAll('g.box').length === 2")
    follows(page, CORNERS, [["hat", "14%, 10%"], ["tree", "56%, 50%"]])
    assert shown(page) == [("hat", "14%, 10%"), ("tree", "56%, 50%")]
    drag(page, (.3, .3), (.25, .35))
    page.locator("button[data-name=undo]").click()             # .8 s
    drag(page, (.75, .7), (.7, .6))
    field = page.locator("input[data-name=name]").first
    field.fill("crown")
    field.press("Enter")
    follows(page, CORNERS, [["crown", "14%, 10%"], ["tree", "51%, 40%"]])
    page.wait_for_timeout(300)
    assert shown(page) == [("crown", "14%, 10%"), ("tree", "51%, 40%")]
    page.locator("svg.board").evaluate(FILE, ["drop", "my cat.png", [.8, .2]])
    drag(page, (.75, .7), (.7, .7))
    follows(page, "[editor.layout.names, round(editor.layout['tree'].box.x0, 2)]", [["crown", "tree", "my cat"], .46])
    page.wait_for_function("() => document.querySelectorAll('g.box').length === 3")

def test_a_sticker_outside_the_board_is_nothing(opened):
    page = opened("editor")
    tile = box_of(page.locator(".tile").first)
    page.mouse.move(tile["x"] + 20, tile["y"] + 20)
    page.mouse.down()
    page.mouse.move(tile["x"] + 300, tile["y"] - 30)
    page.mouse.up()
    page.wait_for_timeout(300)
    assert python(page, "editor.layout") is None
    page.locator(".tile").first.click()
    follows(page, "len(editor.layout or ())", 1)

def test_a_picture_of_ones_own_by_drop_and_paste(opened):
    page = opened("editor")
    board = page.locator("svg.board")
    board.evaluate(FILE, ["drop", "my cat.png", [.5, .5]])
    follows(page, "[editor.layout and editor.layout.names, editor.bare]", [["my cat"], []])
    page.wait_for_function("() => document.activeElement.dataset.name === 'name'")
    assert python(page, "list(editor.layout['my cat'].image.getpixel((3, 3)))") == [208, 32, 32]
    board.evaluate(FILE, ["paste", "image.png", [0, 0]])
    follows(page, "editor.layout.names", ["my cat", "picture"])
    page.wait_for_function("() => document.activeElement.value === 'picture'")
    page.keyboard.type("fox")
    page.keyboard.press("Enter")
    follows(page, "editor.layout.names", ["my cat", "fox"])
    assert python(page, DRAWN) == ["", ""], "a picture of one's own stays"

def state(page): return page.evaluate("document.querySelector('.anyms-reading').anymsReading.state()")

def hovers(page):
    "Both directions: a place of the picture, a cell of a reference; and the place stays when the next picture comes."
    page.wait_for_function("() => document.querySelectorAll('.anyms-reading canvas').length === 4")
    picture, fox = (page.locator(".anyms-reading canvas").nth(i) for i in (0, 1))
    x0, y0, x1, y1 = python(page, "list(player.editor.layout['fox'].box)")
    picture.scroll_into_view_if_needed()
    r = picture.bounding_box()
    page.mouse.click(r["x"] + (x0 + x1)/2*r["width"], r["y"] + (y0 + y1)/2*r["height"])
    at = state(page)["place"]
    gh, gw = python(page, "player.view.facts['grid']")
    assert (at//gw, at % gw) == (int((y0 + y1)/2*gh), int((x0 + x1)/2*gw)) and state(page)["pinned"]
    assert page.locator(".anyms-reading figcaption").nth(1).inner_text() == "fox: heard here"
    page.locator(".widget-dropdown select").first.select_option("full")
    page.wait_for_selector(".anyms[data-state=ready] .hint:text('full')", timeout=120_000)
    page.wait_for_function("() => document.querySelectorAll('.anyms-reading .silent').length === 0")
    assert state(page)["place"] == at and state(page)["pinned"], "the next picture, the same place"
    fox.focus()
    page.keyboard.press("ArrowRight")
    assert state(page)["cell"] == dict(j=0, token=1) and "read this cell of fox" in page.locator(".anyms-reading output").inner_text()

@pytest.mark.skipif(not embedded_weights(), reason="anyms/stickers/weights is not there")
def test_three_stickers_a_prompt_and_a_picture(opened):
    page = opened("player")
    assert page.locator("input[type=checkbox]").last.is_checked(), "prompt from boxes"
    for word in ("fox", "hat", "tree"):
        page.locator("input[data-name=search]").fill(word)
        page.locator("input[data-name=search]").press("Enter")
    follows(page, "player.prompt", "a fox, a hat and a tree on the beach")
    page.wait_for_selector(".anyms-reading canvas", timeout=120_000)
    follows(page, "player.result and [player.result.layout.names, player.error]", [["fox", "hat", "tree"], ""])
    hovers(page)
    page.wait_for_function("() => document.querySelector('svg.board image').getAttribute('display') === 'inline'")
    shot(page, "play")
    page.locator("button[data-name=undo]").click()
    follows(page, "player.prompt", "a fox and a hat on the beach")
