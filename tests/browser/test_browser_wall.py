"A phone and the projector in a real Chromium: join, drag, keys, send, the picture on both; a vote, its answer; nonsense in between."
# ruff: noqa: F811  (fixtures are imported by their names)
import os
from urllib.request import Request, urlopen

import pytest
from PIL import Image

from anyms.classroom.painter import Painter
from anyms.classroom.questions import QUESTIONS
from anyms.classroom.room import Room
from anyms.classroom.serve import WallServer
from chrome import chrome, open_page  # noqa: F401 (chrome is a fixture)

PHONE = dict(viewport=dict(width=360, height=740), has_touch=True, is_mobile=True)
WIDE = dict(viewport=dict(width=1920, height=1080))


def squares(orders): return [Image.new("RGB", (128, 128), (200, 40*order.number % 256, 90)) for order in orders]

@pytest.fixture
def room(): return Room()

@pytest.fixture
def server(room):
    with WallServer(room) as server, Painter(room, squares): yield server

@pytest.fixture
def pages(chrome, server):
    "A phone that has joined, and the projector; at the end nothing was asked of anybody else, and no script has stumbled."
    wall, phone = open_page(chrome, **WIDE), open_page(chrome, **PHONE)
    wall.goto(server.teacher_url)
    wall.wait_for_selector("[data-ready=yes]")
    join(phone, server)
    yield phone, wall
    for page in (phone, wall):
        assert not page.errors and not page.outside and page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.context.close()

def join(phone, server, code=None):
    phone.goto(server.url)
    phone.wait_for_selector("[data-stage=join]")
    phone.keyboard.type(code or server.room.code.lower())            # the field has the focus
    phone.keyboard.press("Enter")
    if code is None: phone.wait_for_selector("[data-stage=draw]")

def shot(page, name):
    if os.environ.get("ANYMS_SHOTS"): page.screenshot(path=f"{os.environ['ANYMS_SHOTS']}/{name}.png")

def boxes(phone): return {g.get_attribute("data-noun"): [float(g.locator(".edge").get_attribute(k)) for k in ("x", "y", "width", "height")] for g in phone.locator("g.box").all()}

def said(page): return page.locator(".say").inner_text()

def drag(phone, where, dx, dy):
    "From the middle of something, by shares of the board."
    place, side = phone.locator(where).bounding_box(), phone.locator("svg.board").bounding_box()["width"]
    x, y = place["x"] + place["width"]/2, place["y"] + place["height"]/2
    phone.mouse.move(x, y)
    phone.mouse.down()
    phone.mouse.move(x + dx*side/2, y + dy*side/2)
    phone.mouse.move(x + dx*side, y + dy*side)
    phone.mouse.up()

def send(phone):
    phone.locator("[data-name=send]").click()
    phone.wait_for_selector(".mine[data-picture]:not([hidden]) img")
    phone.wait_for_function("() => document.querySelector('.mine img').naturalWidth === 128")

def test_a_picture_by_finger(pages, room):
    phone, wall = pages
    phone.locator("[data-sticker=fox]").click()
    before = boxes(phone)["fox"]
    drag(phone, "g[data-noun=fox] image", .1, -.1)
    moved = boxes(phone)["fox"]
    assert [round(a - b) for a, b in zip(moved, before)] == [10, -10, 0, 0]
    drag(phone, "g[data-noun=fox] .hold", .2, -.1)
    grown = boxes(phone)["fox"]
    assert [round(a - b) for a, b in zip(grown, moved)] == [0, 0, 20, -10] and said(phone).startswith("fox: from 16 % to 78 %")
    drag(phone, "g[data-noun=fox] image", 3, 3)                       # it cannot leave the board
    x, y, w, h = boxes(phone)["fox"]
    assert round(x + w) == 100 and round(y + h) == 100
    shot(phone, "wall-phone")
    send(phone)
    wall.wait_for_selector(".grid figure img:not([hidden])")
    assert wall.locator(".grid figcaption").first.inner_text() == "fox on the beach" and "1 drawn" in wall.locator(".counts").inner_text()
    sticker, = room.wall[0].drawing.stickers
    assert sticker.noun == "fox" and sticker.box == tuple(round(v/100, 3) for v in (x, y, x + w, y + h))
    shot(wall, "wall-projector")

def test_a_picture_by_keyboard(pages, room):
    phone, wall = pages
    phone.locator("#find").focus()
    phone.keyboard.type("owl")
    phone.keyboard.press("Tab")
    assert phone.evaluate("document.activeElement.dataset.sticker") == "owl"
    phone.keyboard.press("Enter")
    phone.locator("g[data-noun=owl]").focus()
    before = boxes(phone)["owl"]
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Shift+ArrowLeft", "Shift+ArrowUp"): phone.keyboard.press(key)
    after = boxes(phone)["owl"]
    assert [round(a - b) for a, b in zip(after, before)] == [4, 2, -2, -2]
    assert "Arrow keys move" in phone.locator("g[data-noun=owl]").get_attribute("aria-label")
    phone.locator("#scene").select_option("at night")
    phone.locator("[data-name=send]").focus()
    phone.keyboard.press("Enter")
    phone.wait_for_selector(".mine[data-picture]:not([hidden])")
    assert room.wall[0].drawing.scene == "at night" and "owl at night" in phone.locator(".mine").inner_text()
    phone.locator("g[data-noun=owl]").focus()
    phone.keyboard.press("Delete")
    assert boxes(phone) == {} and "taken away" in said(phone)

def test_three_stickers_at_most(pages):
    phone, _ = pages
    for noun in ("fox", "cat", "dog", "panda"): phone.locator(f"[data-sticker={noun}]").click()
    assert list(boxes(phone)) == ["fox", "cat", "dog"] and "room for 3" in said(phone)
    phone.locator("button", has_text="Empty").click()
    phone.locator("[data-name=send]").press("Enter")                  # says why it does nothing
    assert boxes(phone) == {} and said(phone) == "Tap a sticker first."

def test_a_wrong_code(chrome, server):
    phone = open_page(chrome, **PHONE)
    join(phone, server, "WRONG2")
    phone.wait_for_function("() => document.querySelector('.say').textContent.includes('not the code')")
    phone.context.close()

def test_a_vote_and_its_answer(pages, room):
    phone, wall = pages
    phone.evaluate("() => { document.body.style.minHeight = '3000px'; scrollTo(0, 1500) }")   # looking at a picture further down
    wall.keyboard.press("n")
    phone.wait_for_selector(".vote [data-option=B]")
    phone.wait_for_function("() => { const top = document.querySelector('.vote').getBoundingClientRect().top; return top >= 0 && top < innerHeight/2 }")
    assert QUESTIONS[0].text in phone.locator(".vote").inner_text() and wall.locator(".asked h2").inner_text() == "Predict 1 of 8"
    phone.locator(".vote [data-option=C]").click()
    phone.wait_for_selector(".vote [data-option=C][aria-pressed=true]")
    phone.locator(".vote [data-option=B]").click()
    phone.wait_for_selector(".vote [data-option=B][aria-pressed=true]")
    wall.wait_for_function("() => document.querySelector('.total').textContent === '1 vote'")
    assert wall.locator("li .bar").count() == 0                     # nobody sees how the others vote
    shot(wall, "wall-asked")
    wall.keyboard.press("v")
    wall.wait_for_function("() => document.querySelector('li[data-option=B] output')?.textContent === '1'")
    wall.locator("[data-action='show votes']", has_text="Hide votes").click()
    wall.wait_for_function("() => !document.querySelector('li .bar')")
    for page in (phone, wall): assert page.locator(".right").count() == 0 and QUESTIONS[0].why not in page.content()
    wall.locator("[data-action=reveal]").click()
    phone.wait_for_selector(".vote [data-option=B].right")
    wall.wait_for_selector("li[data-option=B].right")
    for page in (phone, wall): assert QUESTIONS[0].why in page.inner_text("body")
    assert phone.locator(".vote button:not([disabled])").count() == 0
    shot(wall, "wall-revealed")
    wall.keyboard.press("q")
    phone.wait_for_selector(".vote", state="detached")
    wall.wait_for_selector("#root:not(.asking)")

def test_nonsense_in_between_harms_neither_page(pages, server, room):
    phone, wall = pages
    phone.locator("[data-sticker=fox]").click()
    for body in (b"{", b'{"place": "<img src=x onerror=alert(1)>", "stickers": []}', b"[" * 4000):
        request = Request(server.url + "draw", body, {"Content-Type": "application/json", "Authorization": f"Bearer {list(room.phones)[0]}"})
        with pytest.raises(OSError, match="HTTP Error 4"): urlopen(request, timeout=5)
    send(phone)
    wall.wait_for_selector(".grid figure img:not([hidden])")
    assert room.drawn == 1

def test_teachers_buttons(pages, room):
    phone, wall = pages
    old = room.code
    wall.keyboard.press("p")
    wall.wait_for_function("() => document.querySelector('[data-action=pause]').textContent === 'Go on'")
    phone.locator("[data-sticker=fox]").click()
    phone.locator("[data-name=send]").click()
    phone.wait_for_function("() => document.querySelector('.wait').textContent.includes('paused')")
    wall.keyboard.press("p")
    phone.wait_for_selector(".mine[data-picture]:not([hidden])")
    wall.keyboard.press("c")
    assert room.wall and "Once more" in said(wall)
    wall.keyboard.press("c")
    phone.wait_for_function("() => document.querySelector('.wait').textContent.includes('cleared')")
    wall.keyboard.press("k")
    wall.keyboard.press("k")
    wall.wait_for_function("old => document.querySelector('.code').textContent !== old", arg=old)
    assert room.code != old and wall.locator(".code").inner_text() == room.code

def test_the_secret_is_out_of_sight_and_a_reload_keeps_both_pages(pages, room):
    phone, wall = pages
    assert room.teacher not in wall.url and room.teacher not in wall.content()
    wall.reload()
    wall.wait_for_selector("[data-ready=yes]")
    phone.reload()
    phone.wait_for_selector("[data-stage=draw]")
    assert len(room.phones) == 1

def test_a_projector_without_the_secret(chrome, server):
    page = open_page(chrome, **WIDE)
    page.goto(server.url + "wall")
    page.wait_for_function("() => document.querySelector('.say').textContent.includes('terminal')")
    assert server.room.code not in page.content()
    page.context.close()

def test_everything_fits_and_can_be_touched(pages):
    phone, wall = pages
    sizes = phone.evaluate("""() => [...document.querySelectorAll('button, input, select')].filter(e => e.checkVisibility())
        .map(e => { const r = e.getBoundingClientRect(); return [r.width, r.height] })""")
    assert min(min(size) for size in sizes) >= 24
    for width, height in ((1920, 1080), (1280, 720)):
        wall.set_viewport_size(dict(width=width, height=height))
        for key in ("n", "q"):
            wall.keyboard.press(key)
            wall.wait_for_timeout(700)
            assert wall.evaluate("document.documentElement.scrollHeight") <= height
            assert wall.evaluate("[...document.querySelectorAll('.grid figure')].every(f => f.getBoundingClientRect().bottom <= document.querySelector('footer').getBoundingClientRect().top)")
    wall.set_viewport_size(dict(width=360, height=740))

def test_the_laptop_goes_away(chrome, room):
    phone = open_page(chrome, **PHONE)
    with WallServer(room) as server: join(phone, server)
    phone.wait_for_function("() => document.querySelector('.say').textContent.includes('does not answer')", timeout=30_000)
    with WallServer(room, port=server.port):
        phone.wait_for_function("() => document.querySelector('.say').textContent === ''", timeout=40_000)
    phone.context.close()
