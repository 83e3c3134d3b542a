"The explorer without a kernel on a phone and in a wide window: all fits, fingers find the controls, nothing is asked of the network."
# ruff: noqa: F811  (fixtures are imported by their names)
import pytest

from anyms.widgets import static_explorer
from chrome import chrome, open_page  # noqa: F401 (chrome is a fixture)
from comparisons import some_runs

PHONE = dict(viewport=dict(width=390, height=844), has_touch=True, is_mobile=True)
TEXT = "text " * 2000


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    "A page with the static_explorer of three variants and text below it."
    file = tmp_path_factory.mktemp("page")/"index.html"
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>page</title>'
    explorer = static_explorer(some_runs(names=("fox", "hat", "tree")))
    file.write_text(f'{head}<body style="margin:8px">{explorer}<p>{TEXT}</p></body>', "utf8")
    return file.as_uri()

def opened(chrome, address, **options):
    page = open_page(chrome, **options)
    page.goto(address)
    page.wait_for_selector(".anyms-explorer[data-ready=yes]")
    return page

def test_a_phone_shows_slider_and_all_variants_on_one_screen(chrome, address):
    page = opened(chrome, address, **PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    slider = page.locator("input[data-name=step]").bounding_box()
    heats = [c.bounding_box() for c in page.locator("canvas[data-kind=heat]").all()]
    assert len(heats) == 3 and len({h["y"] for h in heats}) == 1, "side by side"
    assert max(h["y"] + h["height"] for h in heats) - slider["y"] < 844 and min(h["width"] for h in heats) >= 100
    page.context.close()

def test_the_slider_stays_at_hand(chrome, address):
    page = opened(chrome, address, **PHONE)
    page.evaluate("""() => { const r = document.querySelector('.anyms-explorer .panels').getBoundingClientRect();
                             scrollTo(0, scrollY + r.top + 20) }""")
    page.wait_for_timeout(100)
    assert 0 <= page.locator("input[data-name=step]").bounding_box()["y"] < 100
    page.context.close()

def test_controls_are_large_enough_to_touch(chrome, address):
    page = opened(chrome, address, **PHONE)
    sizes = page.evaluate("""() => [...document.querySelectorAll('.anyms input, .anyms button, .anyms select')]
        .filter(e => e.checkVisibility()).map(e => { const r = e.getBoundingClientRect(); return [e.dataset.name, r.width, r.height] })""")
    assert sizes and not [s for s in sizes if min(s[1:]) < 24]
    page.context.close()

def test_the_projector_button_without_a_kernel(chrome, address):
    page = opened(chrome, address, viewport=dict(width=1280, height=800))
    before = page.locator("canvas").first.bounding_box()["width"]
    page.locator("button[data-name=projector]").click()
    page.wait_for_function("before => document.querySelector('canvas').getBoundingClientRect().width > before", arg=before)
    slider = page.locator("input[data-name=step]")
    slider.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert slider.input_value() == "1" and "step 2 of" in page.locator("output").inner_text()
    bottoms = [c.bounding_box() for c in page.locator("canvas[data-kind=heat]").all()]
    assert max(b["y"] + b["height"] for b in bottoms) <= page.evaluate("innerHeight")
    page.locator("button[data-name=projector]").click()
    page.wait_for_function("() => document.querySelector('.anyms-explorer fieldset').checkVisibility()")
    assert not page.outside and not page.errors
    page.context.close()
