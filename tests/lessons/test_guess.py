"Guess the variant in a real browser: two clicks a picture, by mouse and keyboard; no answer before it is revealed; both intervals."
import base64, re

import numpy as np
import pytest
from PIL import Image

from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.lessons import guess
from anyms.lessons.guess import ALIKE, GUESSED, different_pictures, far_apart, guess_facts, guess_page, judge_counts, wilson
from anyms.pipeline.comparison import Comparison
from anyms.pipeline.result import Result
from anyms.stickers.world.sprites import sprite
from chrome import chrome, open_page, page  # noqa: F401

NAME = "<img src=x onerror=alert(1)>"
LAYOUT = Layout([Subject("fox", sprite("fox"), (0, 0, .45, 1)), Subject(NAME, sprite("crown"), (.55, 0, 1, .5), priority=1)])
SHADES = dict(text_only=10, full=60, joint=110, masked=200, crop_merge=201)   # the last two within what rounding may do


def picture(shade): return Image.new("RGB", (64, 64), (shade, 255 - shade, 90))

def a_round(case, shades=SHADES, seed=0):
    return Comparison(Result(picture(shade + case), LAYOUT, dict(prompt=f"case {case} & co", variant=name, seed=seed), 0.)
                      for name, shade in shades.items())

class FakeJudge:
    "Finds everything in light pictures."

@pytest.fixture
def judge(monkeypatch):
    monkeypatch.setattr(guess, "found_in_box", lambda judge, images, layout: np.array([[np.asarray(i)[0, 0, 0] > 150]*2 for i in images]))
    return FakeJudge()

@pytest.fixture
def rounds(): return [a_round(case) for case in range(3)]

def game(page, rounds, judge=None):
    page.set_content(guess_page(rounds, judge))
    return page.locator(".anyms-guess")

def answer(game, i, placed, variant):
    tile = game.locator(f"[data-place='{i}']")
    tile.get_by_role("button", name="yes" if placed else "no", exact=True).click()
    tile.get_by_role("button", name=variant, exact=True).click()

def truth(rounds, k=0, judge=None): return guess_facts(rounds, judge)["rounds"][k]["pictures"]

# what the page is told

def test_equal_pictures_are_shown_once(rounds):
    found = [names for names, _ in different_pictures(rounds[0])]
    assert found == [["text_only"], ["full"], ["joint"], ["masked", "crop_merge"]]
    assert far_apart(picture(7), picture(7)) == 0
    assert far_apart(picture(7), picture(8 + ALIKE)) == ALIKE + 1

def test_the_order_is_shuffled_by_the_seed(rounds):
    def order(seed): return [[p["names"] for p in one["pictures"]] for one in guess_facts(rounds, seed=seed)["rounds"]]
    assert order(0) == order(0) != order(1)
    assert all(sorted(map(tuple, one)) == sorted(map(tuple, order(1)[0])) for one in order(0))

def test_pictures_carry_no_notes(rounds):
    html = guess_page(rounds)
    for data in re.findall(r"data:image/\w+;base64,([A-Za-z0-9+/=]+)", html):
        assert not any(name.encode() in base64.b64decode(data) for name in GUESSED)

def test_the_judge_counts(rounds, judge):
    assert judge_counts(rounds, judge) == dict(text_only=(0, 3), full=(0, 3), joint=(0, 3), masked=(3, 3), crop_merge=(3, 3))

@pytest.mark.parametrize("k, n", [(0, 0), (0, 1), (1, 1), (3, 4), (17, 40), (40, 40)])
def test_both_sides_count_alike(page, rounds, k, n):
    game(page, rounds)
    found = page.evaluate("([k, n]) => document.querySelector('.anyms-guess').anymsGuess.wilson(k, n)", [k, n])
    assert found == pytest.approx(wilson(k, n), abs=1e-12)
    assert 0 <= found[0] <= (k/n if n else .5) <= found[1] <= 1

# the game

def test_nothing_of_an_answer_before_it_is_revealed(page, rounds, judge):
    g = game(page, rounds, judge)
    tiles = g.locator("[data-place]")
    assert tiles.count() == 4
    alts = [tiles.nth(i).locator("img").get_attribute("alt") for i in range(4)]
    assert alts == [f"picture {letter}, untitled" for letter in "ABCD"]
    plain = {re.sub(r'src="[^"]*"|picture [ABCD]|>[ABCD]<', "", tiles.nth(i).inner_html()) for i in range(4)}
    assert len(plain) == 1                               # but for letter and pixels, one picture is as another
    assert g.locator("table").count() == 0 and g.locator("[data-name=verdict]").count() == 0
    assert not page.errors and not page.outside

def test_a_game_by_mouse(page, rounds, judge):
    g, pictures = game(page, rounds, judge), truth(rounds)
    g.get_by_role("button", name="Reveal").click()
    assert "Picture A is still open" in g.get_by_role("status").inner_text()
    assert g.get_by_role("button", name="Next case").is_disabled()
    wrong = next(name for name in GUESSED if name not in pictures[0]["names"])
    for i, one in enumerate(pictures): answer(g, i, "crop_merge" in one["names"], one["names"][-1] if i else wrong)
    assert g.locator("[data-name=verdict]").count() == 0
    g.get_by_role("button", name="Reveal").click()
    assert "3 of 4 right" in g.get_by_role("status").inner_text()
    assert "masked and crop_merge drew the same picture" in g.get_by_role("status").inner_text()
    assert g.locator("[data-name=verdict]").first.inner_text().startswith("no, it was " + pictures[0]["names"][0])
    assert "drawn by" in g.locator("[data-place='0'] img").get_attribute("alt")
    assert g.locator("[data-name=score]").inner_text() == "Score: 3 of 4; blind guessing gets about 1.0"
    row = g.locator("[data-variant=crop_merge]").inner_text().replace("\t", " ")
    assert "1 of 1: 21 to 100 %" in row and "3 of 3: 44 to 100 %" in row
    assert "0 of 1: 0 to 79 %" in g.locator("[data-variant=full]").inner_text()
    assert g.locator("[data-place='0']").get_by_role("button", name="yes").is_disabled()
    g.get_by_role("button", name="Next case").click()
    assert "Case 2 of 3" in g.inner_text() and g.locator("[data-name=verdict]").count() == 0
    g.get_by_role("button", name="Previous case").click()
    assert g.locator("[data-name=verdict]").count() == 4
    assert not page.errors and not page.outside

def test_a_game_by_keyboard_alone(page, rounds, judge):
    g = game(page, rounds, judge)
    for k in range(3):
        page.keyboard.press("Tab")
        for one in truth(rounds, k, judge):
            page.keyboard.press("y" if one["placed"] else "n")
            page.keyboard.press(str(GUESSED.index(one["names"][0]) + 1))
        page.keyboard.press("Enter")
        assert f"Score: {4*k + 4} of {4*k + 4}" in g.locator("[data-name=score]").inner_text()
        page.keyboard.press("Enter")
    row = g.locator("[data-variant=masked]").inner_text()
    assert row.count("3 of 3: 44 to 100 %") == 2        # you and the judge agree
    assert not page.errors

def test_without_a_judge_nobody_stands_beside(page):
    rounds = [a_round(0, dict(full=10, crop_merge=200))]
    g = game(page, rounds)
    for i, one in enumerate(truth(rounds)): answer(g, i, True, one["names"][0])
    g.get_by_role("button", name="Reveal").click()
    assert "judge" not in g.inner_text() and "2 of 2 right" in g.inner_text()

def test_no_name_becomes_an_element(page, rounds):
    g = game(page, rounds)
    assert g.get_by_text(NAME).count() == 1 and page.locator("img[src=x]").count() == 0 and not page.errors

@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_the_screen(chrome, rounds, judge, width):
    page = open_page(chrome, viewport=dict(width=width, height=740))
    g = game(page, rounds, judge)
    for i, one in enumerate(truth(rounds)): answer(g, i, True, one["names"][0])
    g.get_by_role("button", name="Reveal").click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.context.close()

# what is refused

@pytest.mark.parametrize("bad, said", [
    ([], "rounds is empty"),
    ([Comparison([*a_round(0), *a_round(1, seed=1)])], r"rounds\[0\] has 2 seeds"),
    ([a_round(0), a_round(0, dict(full=1))], r"rounds\[1\] has the variants \['full'\]")])
def test_what_is_no_game_is_refused(bad, said):
    with pytest.raises(ValueError, match=said): guess_page(bad)
