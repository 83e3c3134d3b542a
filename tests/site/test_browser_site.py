"The built site in a real browser: every page, no request to anywhere else, search, maths, the stepper, colours in light and dark, widths, access for everybody."
import os, re
from pathlib import Path

import pytest

from chrome import chrome, find_chromium, open_page, serve  # noqa: F401

pytest.importorskip("latex2mathml")
from anyms import site  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
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
    light.wait_for_function("b => getComputedStyle(document.body).backgroundColor !== b",
        arg=style(light, "html", "backgroundColor") if before < 0 else "rgb(255, 255, 255)")
    assert brightness(style(light, "body", "backgroundColor")) < 60 < before
    light.goto(f"{url}/nbs/layout/07_layout.html")
    assert brightness(style(light, "body", "backgroundColor")) < 60, "the choice holds on the next page"

def search(tab, asked):
    "What the search finds: (heading, page) in order."
    box = tab.locator(".smalldocs-search input").first
    box.fill("")
    tab.wait_for_function("() => !document.querySelector('.smalldocs-search-results').classList.contains('show')")
    box.fill(asked)
    tab.wait_for_function("() => document.querySelector('.smalldocs-search-results').classList.contains('show')")
    return tab.evaluate("() => [...document.querySelectorAll('.search-result')].map(r => [r.querySelector('.search-result-title').textContent, r.getAttribute('href')])")

def test_search_finds(light, url):
    light.goto(f"{url}/nbs/index.html")
    assert any("leakage" in title.lower() for title, _ in search(light, "leakage"))
    keep(light, "search")
    light.locator(".search-result").first.click()
    light.wait_for_url(lambda u: not u.endswith("/nbs/index.html"))
    quiet(light)

@pytest.mark.parametrize("asked", ["leakage", "softmax", "priority", "mass", "token"])
def test_search_explains_a_word_before_it_computes_it(light, url, asked):
    light.goto(f"{url}/nbs/index.html")
    found = search(light, asked)
    assert any("glossary.html" in href for _, href in found[:2]), found[:4]
    assert any("/tutorials/" in href or "glossary" in href or "recipes" in href for _, href in found[:4])

@pytest.mark.parametrize("asked, page",
    [("vram", "recipes|glossary"), ("own photo", "recipes"), ("lora", "recipes"), ("controlnet", "recipes"), ("leakge", "glossary")])
def test_search_answers_what_people_ask(light, url, asked, page):
    light.goto(f"{url}/nbs/stickers/world/00_sprites.html")
    found = search(light, asked)
    assert found and re.search(page, found[0][1]), found[:4]

def test_search_does_not_guess(light, url):
    light.goto(f"{url}/nbs/index.html")
    assert search(light, "xylophonist") == [] and search(light, "marzipan zebra quark") == []
    assert not [title for title, _ in search(light, "generate")[:4] if title.startswith("_")]

def test_search_by_keyboard(light, url):
    "Arrows go into the list and along it, a screen reader hears where, Enter opens."
    light.goto(f"{url}/nbs/index.html")
    found = search(light, "leakage")
    def at():
        return light.evaluate("() => { const i = document.querySelector('.smalldocs-search input'); return [...document.querySelectorAll('.search-result')].findIndex(r => r.id === i.getAttribute('aria-activedescendant') && r.getAttribute('aria-selected') === 'true') }")
    assert at() == -1
    for key, wanted in [("ArrowDown", 0), ("ArrowDown", 1), ("ArrowUp", 0), ("ArrowUp", len(found) - 1),
        ("ArrowDown", 0), ("ArrowDown", 1)]:
        light.keyboard.press(key)
        assert at() == wanted
    light.keyboard.press("Enter")
    light.wait_for_url(lambda u: u.endswith(found[1][1].removeprefix("../")))
    quiet(light)

def test_maths_is_drawn(tab, url, scheme):
    "A fraction is higher than a line of text and its numerator lies above its denominator; no dollar sign or backslash is left over."
    tab.goto(f"{url}/nbs/attention/00_variants.html")
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

@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_solutions_open_by_keyboard(light, url, key):
    light.goto(f"{url}/nbs/tutorials/1_first_layout.html")
    fold = light.locator("main details:not(.code-fold)", has=light.locator("summary", has_text="Solution")).first
    body = fold.locator(":scope > :not(summary)").first
    assert not body.is_visible()
    fold.locator("summary").focus()
    light.keyboard.press(key)
    assert body.is_visible()
    light.keyboard.press(key)
    assert not body.is_visible()
    quiet(light)

def test_a_solution_is_one_of_the_stops_of_the_tab_key(light, url):
    light.goto(f"{url}/nbs/tutorials/1_first_layout.html")
    light.locator("main details:not(.code-fold) summary").first.evaluate("s => { const before = [...document.querySelectorAll('main a')].filter(a => s.compareDocumentPosition(a) & 2).pop(); before.focus() }")
    for _ in range(40):
        light.keyboard.press("Tab")
        if light.evaluate("document.activeElement.tagName") == "SUMMARY": return
    pytest.fail("no summary among forty stops")

def test_code_of_the_library_folds_and_a_link_opens_it(light, url):
    light.goto(f"{url}/nbs/pipeline/10_generation.html")
    folds = light.locator("main details.code-fold")
    assert folds.count() > 10 and light.locator("main details.code-fold:not([open])").count() > 3  # short cells begin open
    light.goto(f"{url}/nbs/reference_pipeline.html")
    light.get_by_role("link", name="generate", exact=True).first.click()
    light.wait_for_url("**/nbs/pipeline/10_generation.html#anyms.pipeline.generation.generate")
    opened = light.locator("main details.code-fold[open]", has=light.locator("summary", has_text="generate")).first
    opened.wait_for()
    assert "def generate(" in opened.inner_text()
    light.wait_for_function("d => { const top = d.getBoundingClientRect().top; return top >= 0 && top < innerHeight }",
        arg=opened.element_handle())
    quiet(light)

def test_code_has_its_colours_and_its_text(tab, url, scheme):
    tab.goto(f"{url}/nbs/layout/01_boxes.html")
    kinds = tab.evaluate("() => Object.fromEntries(['kw', 'st', 'co', 'fu', 'dv', 'cn'].map(k => [k, document.querySelectorAll(`main code.python span.${k}`).length]))")
    assert all(kinds.values()), kinds
    wrong = tab.evaluate("() => [...document.querySelectorAll('main code.python span.kw')].map(s => s.textContent).filter(t => !/^[a-z]+$/.test(t))")
    assert not wrong, "a word in a string is no keyword"
    inks = [style(tab, f"main code.python span.{k}", "color") for k in ("kw", "st", "co", "fu", "dv")]
    assert len(set(inks)) == 5 and style(tab, "main code.python", "color") not in inks[1:]
    assert tab.evaluate("() => [...document.querySelectorAll('main code.python span.st')].some(s => /^\"From pixel edges.*\"$/.test(s.textContent))")

WIDE = """() => {
  document.querySelectorAll('main details').forEach(d => { d.open = true; });
  const column = document.querySelector('main').getBoundingClientRect().right;
  const blocks = [...document.querySelectorAll('main pre, main .cell-output, main .sd-table, main div.sourceCode')].filter(b => b.offsetParent);
  const cut = blocks.filter(b => b.scrollWidth > b.clientWidth + 1 || b.getBoundingClientRect().right > column + 1);
  return { page: document.documentElement.scrollWidth, count: blocks.length, most: Math.max(0, ...cut.map(b => b.querySelectorAll('table tr:first-child > *').length)),
           cut: cut.map(b => [b.className, b.scrollWidth, b.clientWidth, !b.querySelector('table'), b.tabIndex, b.querySelectorAll('thead tr:last-child > *').length, b.innerText.slice(0, 60)]) } }"""

def test_nothing_is_cut_at_the_right_edge(light, url, pages):
    """Code and what it prints stays in its column, at 1280 and 1920 pixels and on a telephone. A table may be wider than a telephone,
    or have more than ten columns: then it scrolls in its own box, which the keyboard reaches."""
    seen = 0
    for p in pages:
        light.goto(f"{url}/{p}")
        for width in (1280, 1920, 390):
            light.set_viewport_size(dict(width=width, height=800))
            light.wait_for_timeout(50)
            found = light.evaluate(WIDE)
            seen += found["count"]
            assert found["page"] <= width, f"{p} at {width} is {found['page']} wide"
            for name, wide, room, code, tab_index, columns, text in found["cut"]:
                assert not code and (width == 390 or columns > 10), f"{p} at {width}: {name} is {wide} wide in {room}: {text!r}"
                assert tab_index == 0, f"{p} at {width}: {name} scrolls, and the keyboard cannot reach it"
    assert seen > 1000

AXE = ROOT/"tests"/"vendor"/"axe.min.js"
EXAMINE = """async options => (await axe.run(document, {resultTypes: ['violations'], ...options})).violations
             .map(v => `${v.impact} ${v.id}, ${v.nodes.length} times, such as ${v.nodes[0].html.slice(0, 120)}`)"""

def test_axe_finds_nothing_critical_or_serious(light, url, pages):
    for p in pages:
        light.goto(f"{url}/{p}")
        light.evaluate(AXE.read_text("utf8"))
        said = light.evaluate(EXAMINE, {})
        assert not [s for s in said if s.startswith(("critical", "serious", "moderate landmark"))], (p, said)

@pytest.mark.parametrize("name", ["index", "glossary", "recipes", "tutorials/1_first_layout", "pipeline/10_generation"])
def test_contrast_in_dark_and_of_what_opens(chrome, url, name):
    tab = open_page(chrome, color_scheme="dark")
    tab.goto(f"{url}/nbs/{name}.html")
    tab.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    tab.evaluate(AXE.read_text("utf8"))
    assert tab.evaluate(EXAMINE, dict(runOnly=["color-contrast", "link-in-text-block"])) == []
    tab.context.close()

def test_axe_is_awake(light, url):
    "The examiner complains about what it should complain about."
    light.goto(f"{url}/nbs/glossary.html")
    light.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<p style=\"color:#ccc;background:#fff\">pale</p><button></button>')")
    light.evaluate(AXE.read_text("utf8"))
    said = " ".join(light.evaluate(EXAMINE, {}))
    assert "color-contrast" in said and "button-name" in said

def test_the_way_past_the_menus(light, url):
    "The first stop of the Tab key leads to the text."
    light.goto(f"{url}/nbs/layout/07_layout.html")
    light.keyboard.press("Tab")
    assert light.evaluate("document.activeElement.className") == "anyms-skip"
    assert light.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    light.keyboard.press("Enter")
    light.keyboard.press("Tab")
    assert light.evaluate("document.activeElement.closest('main') !== null")

def test_menus_open_and_close_by_keyboard(light, url):
    light.goto(f"{url}/nbs/index.html")
    button = light.locator("#quarto-sidebar a[role=button]").first
    menu = light.locator("#" + button.get_attribute("aria-controls"))
    assert menu.is_visible() and button.get_attribute("aria-expanded") == "true"
    button.focus()
    light.keyboard.press("Enter")
    assert not menu.is_visible() and button.get_attribute("aria-expanded") == "false"
    light.keyboard.press("Space")
    assert menu.is_visible()

def test_names_lead_to_their_place(light, url):
    light.goto(f"{url}/nbs/reference_pipeline.html")
    light.get_by_role("link", name="generate", exact=True).first.click()
    light.wait_for_url("**/nbs/pipeline/10_generation.html#anyms.pipeline.generation.generate")
    assert light.locator("[id='anyms.pipeline.generation.generate']").count() == 1
    quiet(light)

def test_on_a_telephone(chrome, url):
    tab = open_page(chrome, viewport=dict(width=390, height=800))
    for name in ("index", "attention/00_variants", "reference", "recipes"):
        tab.goto(f"{url}/nbs/{name}.html")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390, name
        keep(tab, f"telephone-{name}")
    tab.locator(".navbar-toggler").click()
    assert tab.locator("#navbarCollapse a", has_text="Glossary").is_visible()
    tab.locator(".navbar-toggler").click()
    tab.locator(".quarto-btn-toggle").click()
    tab.wait_for_function("document.querySelector('#quarto-sidebar').getBoundingClientRect().left >= 0")
    quiet(tab)
    tab.context.close()

def test_the_stepper_on_a_telephone(chrome, url):
    "Slider and all variants are in sight together, and a finger hits the marks."
    tab = open_page(chrome, viewport=dict(width=390, height=844))
    tab.goto(f"{url}/nbs/index.html")
    panel = tab.locator("[id^=anyms-explorer-]").first
    panel.locator("canvas").first.wait_for()
    panel.locator(".panels").scroll_into_view_if_needed()
    tab.evaluate("document.querySelector('[id^=anyms-explorer-] .panels').scrollIntoView({block: 'center'})")
    tab.wait_for_timeout(150)
    keep(tab, "telephone-stepper")
    def place(s):
        return panel.locator(s).first.evaluate("e => { const r = e.getBoundingClientRect(); return [r.top, r.bottom, r.width] }")
    top, bottom, _ = place("input[type=range]")
    assert 0 <= top and bottom <= 844, "the slider is in sight"
    tops = panel.locator("figure").evaluate_all("all => all.filter(f => !f.hidden).map(f => Math.round(f.getBoundingClientRect().top))")
    assert len(tops) == 3 and len(set(tops)) == 1, f"the variants stand side by side: {tops}"
    assert place("input[type=radio]")[2] >= 20
    tab.context.close()

def test_every_picture_is_drawn(light, url, pages):
    "No picture on any page is a broken one."
    for p in pages:
        light.goto(f"{url}/{p}")
        broken = light.evaluate("async () => { const all = [...document.images]; await Promise.all(all.map(i => i.decode().catch(() => {}))); return all.filter(i => i.src && !i.naturalWidth).map(i => i.alt) }")
        assert not broken, (p, broken)

# what waits, and what lives on a page

def test_a_predict_waits_until_it_is_asked(light, url):
    "On the site as in JupyterLab: what answers a Predict is folded, and opens by keyboard."
    for name in ("1_first_layout", "2_why_subjects_blend", "3_crop_or_mask", "4_honest_heatmaps"):
        light.goto(f"{url}/nbs/tutorials/{name}.html")
        folds = light.locator("details.anyms-output")
        assert folds.count() >= 7 and not light.locator("details.anyms-output .cell-output >> visible=true").count(), name
    folds.first.locator("summary").press("Enter")
    assert folds.first.locator(".cell-output").first.is_visible()
    quiet(light)

def test_the_lesson_plan_keeps_its_answers(light, url):
    light.goto(f"{url}/nbs/teach.html")
    assert "to the last bit" in light.locator("main").text_content()
    assert not light.get_by_text("Zero, to the last bit").is_visible()
    light.locator("details", has_text="Zero, to the last bit").locator("summary").click()
    assert light.get_by_text("Zero, to the last bit").is_visible()

def test_tutorial_two_opens_with_the_toy(light, url):
    light.goto(f"{url}/nbs/tutorials/2_why_subjects_blend.html")
    toy = light.locator(".anyms-toy").first
    toy.locator("svg").first.wait_for()
    above = light.evaluate("""() => { const toy = document.querySelector('.anyms-toy');
        return [...document.querySelectorAll('main h2, main img, main figure')].filter(e => !toy.contains(e) && e.compareDocumentPosition(toy) & 4).length }""")
    assert above == 0, "no section and no picture stands above it"
    assert light.evaluate("document.querySelector('.anyms-toy').anymsToy.sides[0].variant") == "crop_merge"
    quiet(light)

def pixels(tab, canvas): return tab.evaluate("c => c.toDataURL()", canvas.element_handle())

def test_the_home_page_shows_beliefs_and_has_a_switch(light, url):
    light.goto(f"{url}/nbs/index.html")
    panel = light.locator(".anyms-explorer").first
    panel.locator("canvas").first.wait_for()
    light.wait_for_function("document.querySelector('.anyms-explorer').dataset.ready === 'yes'")
    believed, noisy = (panel.get_by_role("radio", name=name) for name in ("what the model believes", "the noisy picture"))
    assert believed.is_checked() and not noisy.is_checked()
    panel.locator("input[type=range][data-name=step]").fill("1")
    canvas = panel.locator("canvas[data-kind=picture]").first
    belief = pixels(light, canvas)
    assert "believes" in canvas.get_attribute("aria-label")
    noisy.check()
    noise = pixels(light, canvas)
    assert noise != belief and "the picture after" in canvas.get_attribute("aria-label")
    believed.check()
    assert pixels(light, canvas) == belief
    quiet(light)

def test_the_home_page_marks_from_when_on_a_subject_is_found(light, url):
    light.goto(f"{url}/nbs/index.html")
    panel = light.locator(".anyms-explorer").first
    marks = panel.locator(".decided")
    marks.first.wait_for()
    said = marks.all_inner_texts()
    assert len(said) == 6 and all(re.search(r"from step \d+|not found", one) for one in said), said
    begins = [int(found[1]) for found in (re.search(r"from step (\d+)", one) for one in said) if found]
    slider = panel.locator("input[type=range][data-name=step]")
    for at, step in enumerate((1, 6, 11, 15, 20)):
        slider.fill(str(at))
        assert f"step {step} " in panel.locator("output").first.inner_text()
        assert panel.locator(".decided .dot[style*=background]").count() == sum(first <= step for first in begins), step

@pytest.mark.parametrize("page", ["nbs/tutorials/4_honest_heatmaps.html", "nbs/widgets/13_reading.html"])
def test_the_read_map_answers_from_stored_data(light, built, page):
    "The page's file with the network cut: hover a place, and references light up; hover a cell, and the picture does."
    light.context.set_offline(True)
    light.goto((built/page).as_uri())
    panel = light.locator(".anyms-reading").first
    picture = panel.locator("canvas").first
    picture.scroll_into_view_if_needed()
    light.wait_for_function("document.querySelector('.anyms-reading').anymsReading")
    def state(): return light.evaluate("document.querySelector('.anyms-reading').anymsReading.state()")
    reference = panel.locator("canvas").nth(1)
    light.wait_for_timeout(200)
    before = pixels(light, reference)
    picture.hover(position=dict(x=8, y=8))
    assert state()["place"] == 0 and pixels(light, reference) != before
    drawn = pixels(light, picture)
    reference.hover(position=dict(x=70, y=70))
    assert state()["place"] is None and state()["cell"]["j"] == 0 and pixels(light, picture) != drawn
    assert not light.outside

def test_a_read_map_is_small(built):
    "At most 8 KB a map: the weights of every place for one reference."
    found = 0
    for page in sorted((built/"nbs").rglob("*.html")):
        for levels, peaks in re.findall(r'"levels":"([^"]*)","peaks":"([^"]*)"', page.read_text("utf8")):
            assert len(levels) + len(peaks) <= 8 * 1024, page.name
            found += 1
    assert found >= 4
