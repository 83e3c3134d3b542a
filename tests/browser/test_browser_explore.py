"As a new user: one command, `anyms explore`, something to look at at once, then one's own picture, and its eye."
# ruff: noqa: F811  (fixtures are imported by their names)
import os, signal, subprocess, sys, time
from contextlib import contextmanager

import pytest

from chrome import box_of, chrome, free_port, open_page, settle  # noqa: F401
from conftest import embedded_weights

pytestmark = pytest.mark.skipif(not embedded_weights(), reason="anyms/stickers/weights is not there")
BUSY = 4   # so many times slower than a quiet machine a busy one may be
POINTED = """e => { const r = e.querySelector('canvas').getBoundingClientRect(), c = e.querySelector('canvas'), times = [];
    for (let i = 0; i < 60; i++) {
        const start = performance.now();
        c.dispatchEvent(new PointerEvent('pointermove', {clientX: r.left + r.width*(i % 16 + .5)/16, clientY: r.top + r.height*(i % 11 + .5)/16}));
        for (const k of e.querySelectorAll('canvas')) k.getContext('2d').getImageData(0, 0, 1, 1);
        times.push(performance.now() - start);
    }
    return times.sort((a, b) => a - b)[30] }"""   # the median, in ms

@contextmanager
def explored(tmp_path):
    "`anyms explore` in a folder of its own: its address, and when it was started."
    (tmp_path/"jupyter").mkdir()
    port, log, began = free_port(), tmp_path/"log", time.monotonic()
    with open(log, "w") as out:
        command = [sys.executable, "-c", "from anyms.cli import app; app()", "explore", "mine", "--no-browser", f"--port={port}"]
        server = subprocess.Popen(command, cwd=tmp_path, env=settle(tmp_path/"jupyter"), stdin=subprocess.DEVNULL,
                                  stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
    try: yield f"http://127.0.0.1:{port}/", began
    finally:
        server.send_signal(signal.SIGINT)
        try: server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()

def go(page, address):
    "Ask until somebody answers, as a reader does who presses reload."
    for _ in range(600):
        try: return page.goto(address)
        except Exception: time.sleep(.05)
    return page.goto(address)

def shot(page, name):
    if os.environ.get("ANYMS_SHOTS"): page.screenshot(path=f"{os.environ['ANYMS_SHOTS']}/{name}_{page.viewport_size['width']}.png")

def point(page, canvas, x, y):
    "At a place of a canvas, 0..1."
    r = canvas.bounding_box()
    page.mouse.move(r["x"] + x*r["width"], r["y"] + y*r["height"])

def captions(panel): return panel.locator("figcaption").all_inner_texts()[1:]

@pytest.mark.parametrize("size", [os.environ.get("ANYMS_SIZE", "1280x800")])
def test_a_stored_picture_then_three_stickers_and_an_eye(chrome, tmp_path, size):
    width, height = map(int, size.split("x"))
    page = open_page(chrome, viewport=dict(width=width, height=height))
    with explored(tmp_path) as (address, began):
        def since(): return time.monotonic() - began
        seconds = {}

        # something to look at, that answers
        go(page, address)
        stored = page.locator("#stored .anyms-reading")
        stored.locator("canvas").first.wait_for()
        page.locator("#stored .anyms-explorer[data-ready=yes]").wait_for()
        seconds["first useful view"] = since()
        shot(page, "1_first")
        point(page, stored.locator("canvas").first, .25, .52)
        assert captions(stored) == ["penguin: heard here", "hat: not heard here", "tree: not heard here"]
        assert stored.evaluate(POINTED) < 50
        slider = page.locator("#stored input[type=range]").first
        slider.focus()
        before = page.locator("#stored .anyms-explorer").screenshot()
        page.keyboard.press("Home")
        page.wait_for_timeout(200)
        assert page.locator("#stored .anyms-explorer").screenshot() != before

        # the app, beside what the reader looks at and not instead of it
        page.wait_for_function("document.documentElement.dataset.live", timeout=280_000)
        seconds["live app"] = since()
        assert page.locator("#stored").is_visible() and slider.input_value() == "0", "whoever looks around is not interrupted"
        assert "ready" in page.locator("#told").inner_text()
        page.locator("#to-live").click()
        app = page.frame_locator("iframe")
        app.locator(".anyms[data-state=ready]").first.wait_for(timeout=60_000)
        shot(page, "2_app")

        # three stickers, a picture, its eye
        start = since()
        app.locator("button[data-name=clear]").click()
        search = app.locator("input[data-name=search]")
        for word in ("fox", "crown", "cat"):
            search.fill(word)
            search.press("Enter")
        words = app.locator(".anyms[data-state=ready] .hint", has_text="a fox, a crown and a cat")
        words.wait_for(timeout=60_000)
        seconds["three stickers and their picture"] = since() - start
        shot(page, "3_drawn")
        reading = app.locator(".anyms-reading")
        reading.locator("figure").nth(3).wait_for()
        box = page.frames[1].evaluate("() => document.querySelector('g.box[aria-label^=fox]').getAttribute('aria-label')")
        x0, y0, x1, y1 = (int(part.strip("%,"))/100 for part in box.split() if "%" in part)
        point(page, reading.locator("canvas").first, x0 + .36*(x1 - x0), y0 + .53*(y1 - y0))
        assert captions(reading) == ["fox: heard here", "crown: not heard here", "cat: not heard here"]
        seconds["and its eye"] = since() - start
        shot(page, "4_eye")
        point(page, reading.locator("canvas").nth(1), .4, .45)
        assert "places that read this cell of fox" in reading.locator("output").inner_text()
        shot(page, "5_cell")
        seconds["a hover, ms"] = reading.evaluate(POINTED)
        assert seconds["a hover, ms"] < 50

        # a drag from the tray, and an undo: prompt and picture follow
        search.fill("owl")
        tile, board = (box_of(app.locator(name).first) for name in (".tile[data-noun=owl]", "svg.board"))
        page.mouse.move(tile["x"] + 20, tile["y"] + 20)
        page.mouse.down()
        page.mouse.move(board["x"] + .7*board["width"], board["y"] + .2*board["height"], steps=3)
        page.mouse.up()
        prompt = app.locator(".widget-text input").first
        def follows(words):
            app.locator(".anyms[data-state=ready] .hint", has_text=words).wait_for(timeout=60_000)
            assert prompt.input_value() == f"{words} on the beach"
        follows("a fox, a crown, a cat and an owl")
        app.locator("button[data-name=undo]").click()
        follows("a fox, a crown and a cat")

        # nothing is lost on the way back
        page.locator("#to-stored").click()
        assert slider.input_value() == "0" and slider.is_visible()
        page.locator("#to-live").click()
        assert app.locator("g.box").count() == 3
        app.locator("button", has_text="Compare").click()
        app.locator(".anyms-explorer[data-ready=yes]").wait_for(timeout=120_000)
        app.locator(".anyms-explorer").scroll_into_view_if_needed()
        seconds["compared"] = since()
        shot(page, "6_compared")
    print({name: round(value, 1) for name, value in seconds.items()})
    assert seconds["first useful view"] < 4*BUSY and seconds["and its eye"] < 60
    assert not page.outside, page.outside
    assert (tmp_path/"mine"/"anyms-explorer.ipynb").exists()
    assert not [e for e in page.errors if "anyms" in e.lower()], page.errors
    page.context.close()


def test_who_only_waits_is_taken_to_the_app(chrome, tmp_path):
    "No click is needed: the app comes by itself, and a reload begins with the stored picture again."
    page = open_page(chrome)
    with explored(tmp_path) as (address, _):
        go(page, address)
        page.wait_for_function("document.documentElement.dataset.live", timeout=280_000)
        assert not page.locator("#stored").is_visible() and page.frame_locator("iframe").locator(".anyms-editor .tile").first.is_visible()
        page.reload()
        assert page.locator("#stored .anyms-reading canvas").first.is_visible()
    page.context.close()
