"The built site in a real browser: every page, no request to anywhere else, search, maths, the stepper, colours in light and dark."
import os, re
from pathlib import Path

import pytest

from browser import chrome, find_chromium, open_page, serve  # noqa: F401

pytest.importorskip("latex2mathml")
from anyms import site  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
SHOTS = Path(os.environ["ANYMS_SHOTS"]) if os.environ.get("ANYMS_SHOTS") else None  # a folder: keep screenshots there, to be looked at


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    find_chromium()
    return site.build(ROOT, tmp_path_factory.mktemp("site")/"out", "smalldocs")

@pytest.fixture(scope="module")
def url(built):
    with serve(built, "files") as address: yield address

@pytest.fixture(scope="module")
def pages(built): return sorted(p.relative_to(built).as_posix() for p in (built/"nbs").rglob("*.html"))

@pytest.fixture(params=["light", "dark"])
def scheme(request): return request.param

@pytest.fixture
def tab(chrome, scheme):
    tab = open_page(chrome, color_scheme=scheme)
    yield tab
    tab.context.close()

@pytest.fixture
def light(chrome):
    tab = open_page(chrome, color_scheme="light")
    yield tab
    tab.context.close()

def quiet(tab):
    "Nothing was asked of anybody else, nothing was missing, no script failed."
    assert not tab.outside and not tab.broken and not tab.errors, (tab.outside, tab.broken, tab.errors)

def keep(tab, name):
    if SHOTS: tab.screenshot(path=SHOTS/f"{name}.png")

def style(tab, selector, name): return tab.evaluate("([s, n]) => getComputedStyle(document.querySelector(s))[n]", [selector, name])

def brightness(colour):
    "0 (black) .. 255 (white) of a computed colour."
    return sum(float(v) for v in re.findall(r"[\d.]+", colour)[:3])/3


def test_every_page_answers_and_asks_nobody_else(light, url, pages):
    assert len(pages) >= 20
    for p in pages:
        assert light.goto(f"{url}/{p}").status == 200, p
        assert light.locator("main h1, #title-block-header h1").first.inner_text().strip(), p
        assert light.evaluate("document.documentElement.scrollWidth") <= 1281, f"{p} is wider than the window"
    quiet(light)

def test_the_entrance_leads_to_the_home_page(light, url):
    light.goto(f"{url}/")
    light.wait_for_url("**/nbs/index.html")
    quiet(light)

def test_colours_and_font(tab, url, scheme):
    "A theme whose style sheet does not load looks like a site to every other test."
    tab.goto(f"{url}/nbs/index.html")
    ground, ink = brightness(style(tab, "body", "backgroundColor")), brightness(style(tab, "body", "color"))
    assert (ground > 240 and ink < 100) if scheme == "light" else (ground < 60 and ink > 180)
    assert "sans-serif" in style(tab, "body", "fontFamily") and "mono" in style(tab, "main pre code", "fontFamily").lower()
    assert 14 <= float(style(tab, "body", "fontSize").removesuffix("px")) <= 20
    assert brightness(style(tab, "main pre", "backgroundColor")) != ground or style(tab, ".sourceCode", "backgroundColor")
    tab.wait_for_timeout(200)
    keep(tab, f"home-{scheme}")
    quiet(tab)

def test_a_reader_can_change_light_and_dark(light, url):
    light.goto(f"{url}/nbs/index.html")
    before = brightness(style(light, "body", "backgroundColor"))
    light.locator(".quarto-color-scheme-toggle").first.click()
    light.wait_for_function("b => getComputedStyle(document.body).backgroundColor !== b", arg=style(light, "html", "backgroundColor") if before < 0 else "rgb(255, 255, 255)")
    assert brightness(style(light, "body", "backgroundColor")) < 60 < before
    light.goto(f"{url}/nbs/00_layout.html")
    assert brightness(style(light, "body", "backgroundColor")) < 60, "the choice holds on the next page"

def test_search_finds(light, url):
    light.goto(f"{url}/nbs/index.html")
    box = light.locator(".smalldocs-search input").first
    box.fill("leakage")
    results = light.locator(".search-result")
    results.first.wait_for()
    assert any("leakage" in t.lower() for t in results.all_inner_texts())
    keep(light, "search")
    results.first.click()
    light.wait_for_url(lambda u: not u.endswith("/nbs/index.html"))
    quiet(light)

def test_maths_is_drawn(tab, url, scheme):
    "A fraction is higher than a line of text and its numerator lies above its denominator; no dollar sign or backslash is left over."
    tab.goto(f"{url}/nbs/01_attend.html")
    high, above = tab.evaluate("""() => { const f = document.querySelector('math mfrac'), [a, b] = [...f.children].map(x => x.getBoundingClientRect());
                                          return [f.getBoundingClientRect().height, a.bottom <= b.top + 2] }""")
    assert high > 30 and above
    assert tab.locator("main math").count() >= 5
    prose = " ".join(tab.locator("main p").all_inner_texts())
    assert "$$" not in prose and "\\frac" not in prose and "\\text" not in prose
    assert abs(brightness(style(tab, "main math", "color")) - brightness(style(tab, "body", "backgroundColor"))) > 100
    tab.locator("math mfrac").first.scroll_into_view_if_needed()
    keep(tab, f"maths-{scheme}")
    quiet(tab)

def test_the_stepper_on_the_home_page_moves(tab, url, scheme):
    "The explorer without a kernel: by keyboard the slider changes the pixels, back again brings them back."
    tab.goto(f"{url}/nbs/index.html")
    panel = tab.locator("[id^=anyms-explorer-]").first
    panel.scroll_into_view_if_needed()
    slider = panel.locator("input[type=range]").first
    slider.wait_for()
    slider.focus()
    def pixels():
        tab.wait_for_timeout(150)
        return panel.screenshot()
    last, value = pixels(), slider.input_value()
    keep(tab, f"stepper-{scheme}")
    tab.keyboard.press("ArrowLeft")
    earlier = pixels()
    assert slider.input_value() != value and earlier != last
    tab.keyboard.press("ArrowRight")
    assert slider.input_value() == value and pixels() == last
    quiet(tab)

def test_solutions_are_closed_until_asked_for(light, url):
    light.goto(f"{url}/nbs/00_layout.html")
    note = light.locator(".callout-tip").last
    body = note.locator(".callout-body-container").first
    assert not body.is_visible()
    note.locator(".callout-header").first.click()
    body.wait_for(state="visible")
    quiet(light)

def test_names_lead_to_their_place(light, url):
    light.goto(f"{url}/nbs/reference.html")
    light.get_by_role("link", name="generate", exact=True).first.click()
    light.wait_for_url("**/nbs/05_pipeline.html#anyms.pipeline.generate")
    assert light.locator("[id='anyms.pipeline.generate']").count() == 1
    quiet(light)

def test_on_a_telephone(chrome, url):
    tab = open_page(chrome, viewport=dict(width=390, height=800))
    for name in ("index", "01_attend", "reference"):
        tab.goto(f"{url}/nbs/{name}.html")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 400, name
        keep(tab, f"telephone-{name}")
    quiet(tab)
    tab.context.close()

def test_every_picture_is_drawn(light, url, pages):
    "No picture on any page is a broken one."
    for p in pages:
        light.goto(f"{url}/{p}")
        broken = light.evaluate("async () => { const all = [...document.images]; await Promise.all(all.map(i => i.decode().catch(() => {}))); return all.filter(i => i.src && !i.naturalWidth).map(i => i.alt) }")
        assert not broken, (p, broken)
