"The hour as one file in a real browser: no network, by keyboard, on a projector and on a phone; Predicts fold, notes on demand."
import re
from pathlib import Path

import pytest

from anyms.layout.layout import Layout
from anyms.lessons.hour import (
    MARK, Chapter, chapter_html, claim_file, hour_document, lesson_cast, lesson_page, other_height, write_lesson)
from anyms.pipeline.loading import load
from anyms.stickers.judge.judge import load_judge
from chrome import chrome, open_page, page  # noqa: F401

TITLES = ["The riddle", "A word is not a picture", "Attention with fingers", "Why they blend", "Take it apart",
          "What does this place read?", "One sentence each"]
EVIL = "<img src=x onerror=alert(1)>"
LAYOUT, PROMPT = lesson_cast()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    document = lesson_page(load("stickers"), load_judge(), PROMPT, LAYOUT, cases=1, steps=5)
    return write_lesson(document, tmp_path_factory.mktemp("hour")/"stick"/"lesson.html")

@pytest.fixture
def hour(page, file):
    "The file, opened with the network cut."
    page.context.set_offline(True)
    page.goto(file.as_uri())
    yield page
    assert not page.errors and not page.outside

def title(page): return page.locator("section:not([hidden]) > h2").inner_text()

def turn(page, key="ArrowRight"):
    page.locator("section:not([hidden]) > h2").focus()
    page.keyboard.press(key)

# the file

def test_it_is_small_and_names_no_address(file):
    text = file.read_text("utf8")
    assert len(text.encode()) <= 2_000_000 and MARK in text[:1000]
    assert text.replace("http://www.w3.org/2000/svg", "").count("http") == 0

def test_it_is_the_same_each_time():
    one = [Chapter("A", 5, ["b"], "", "c", "d", ["e"])]
    assert hour_document(one, "t") == hour_document(one, "t")

# by keyboard

def test_arrow_keys_turn_chapters(hour):
    seen = [title(hour)]
    for _ in range(8):
        turn(hour)
        seen.append(title(hour))
    assert list(dict.fromkeys(seen)) == TITLES and seen[-1] == TITLES[-1]
    turn(hour, "ArrowLeft")
    assert title(hour) == TITLES[-2]
    hour.reload()
    assert title(hour) == TITLES[-2]                     # the place is kept

def test_buttons_and_the_list_turn_chapters(hour):
    hour.get_by_role("button", name="next chapter").click()
    assert title(hour) == TITLES[1]
    hour.get_by_label("chapter", exact=True).select_option("4")
    assert title(hour) == TITLES[4]
    hour.get_by_role("button", name="previous chapter").click()
    assert title(hour) == TITLES[3]

def test_a_predict_folds_until_asked(hour):
    answer = hour.locator("section:not([hidden]) details.predict > p")
    assert not answer.first.is_visible()
    hour.locator("section:not([hidden]) details.predict > summary").press("Enter")
    assert answer.first.is_visible()

def test_notes_are_the_speakers(hour):
    notes = hour.locator("section:not([hidden]) details.notes")
    assert not notes.is_visible()
    hour.keyboard.press("n")
    assert "Vote by hands" in notes.inner_text()
    turn(hour)
    assert "Collect answers" in notes.inner_text()       # they stay on from chapter to chapter
    hour.get_by_role("button", name="speaker notes").click()
    assert not notes.is_visible()

def test_a_widget_keeps_its_own_arrows(hour):
    for _ in range(3): turn(hour)
    box = hour.locator(".anyms-toy svg rect").first
    box.focus()
    before = hour.evaluate("document.querySelector('.anyms-toy').anymsToy.boxes[0][0]")
    box.press("ArrowRight")
    assert title(hour) == "Why they blend"
    assert hour.evaluate("document.querySelector('.anyms-toy').anymsToy.boxes[0][0]") > before

# what lives in it

@pytest.mark.parametrize("number, wanted", [(0, ".anyms-guess button"), (3, ".anyms-toy svg"), (3, ".anyms-explorer canvas"),
                                            (4, ".anyms-toy svg"), (5, ".anyms-reading canvas")])
def test_every_page_is_alive(hour, number, wanted):
    for _ in range(number): turn(hour)
    assert hour.locator(f"section:not([hidden]) {wanted}").first.is_visible()

@pytest.mark.parametrize("width, scheme", [(360, "dark"), (1280, "light")])
def test_nothing_scrolls_sideways(chrome, file, width, scheme):
    page = open_page(chrome, viewport=dict(width=width, height=740), color_scheme=scheme)
    page.goto(file.as_uri())
    page.keyboard.press("n")
    for _ in TITLES:
        for fold in page.locator("section:not([hidden]) details.predict > summary").all(): fold.click()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), title(page)
        turn(page)
    assert not page.errors and not page.outside
    page.context.close()

def test_without_a_script_all_of_it_can_be_read(chrome, file):
    page = open_page(chrome, java_script_enabled=False)
    page.goto(file.as_uri())
    assert [one.inner_text() for one in page.locator("h2").all()] == TITLES
    assert page.locator("img.fallback").first.is_visible()
    page.context.close()

# words and files

def test_words_are_words(page):
    page.set_content(hour_document([Chapter(EVIL, 5, [EVIL], "", EVIL, EVIL, [EVIL])], EVIL))
    assert page.locator("img").count() == 0 and page.get_by_text(EVIL).count() >= 3 and not page.errors

def test_minutes_are_told():
    assert "minute 15 to 25" in chapter_html(Chapter("A", 10, [], "", "b", "c", []), 3, 15)

@pytest.mark.parametrize("box, moved", [((.5, .25, .9, .75), (0, .5)), ((.5, .1, .9, .5), (.6, 1)), ((.5, .5, .9, .9), (0, .4))])
def test_the_last_box_moves_to_the_far_edge_and_no_other(box, moved):
    there = other_height(LAYOUT.replace("tree", box=box))
    assert there.boxes[:-1] == LAYOUT.boxes[:-1]
    x0, y0, x1, y1 = there.boxes[-1]
    assert (x0, x1) == (box[0], box[2]) and (y0, y1) == pytest.approx(moved)

def test_the_cast_is_the_plans():
    "One cast: the plan, tutorials 1 to 4 and the file put the same drawings into the same boxes."
    import nbformat
    from anyms.layout.subject import Subject
    from anyms.stickers.world import CAST, sprite
    root = Path(__file__).resolve().parents[2]/"nbs"
    pages = [root/"teach.ipynb", *sorted((root/"tutorials").glob("[1-4]_*.ipynb"))]
    assert len(pages) == 5
    for path in pages:
        text = "\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code")
        first = re.search(r"Layout\(\[.*?\]\)$", text, re.S | re.M)[0]
        assert eval(first, dict(Layout=Layout, Subject=Subject, sprite=sprite, CAST=CAST)).to_dict() == LAYOUT.to_dict(), path.name
        assert f'"{PROMPT}"' in text

def test_the_riddle_begins_with_the_cast(hour):
    assert PROMPT in hour.locator(".anyms-guess").inner_text()

@pytest.mark.parametrize("options, said", [(dict(cases=0), "cases"), (dict(steps=1), "steps"), (dict(layout=Layout([LAYOUT[0]])), "two or more")])
def test_what_no_hour_has_is_refused(options, said):
    with pytest.raises(ValueError, match=said): lesson_page(None, None, **(dict(prompt=PROMPT, layout=LAYOUT) | options))

def test_nothing_of_yours_is_overwritten(tmp_path):
    mine = tmp_path/"mine.html"
    mine.write_text("my page")
    with pytest.raises(ValueError, match="has not written it"): claim_file(mine)
    with pytest.raises(ValueError, match="must be a .html file"): claim_file(tmp_path)
    ours = write_lesson(hour_document([], "t"), Path(tmp_path/"ours.html"))
    assert claim_file(ours) == ours
