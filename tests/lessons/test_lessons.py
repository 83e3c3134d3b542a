"What the tutorials share: every check answers anything in a sentence, strips and plots are large enough, the toy is exact; a Predict folds its answer."
import re
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import torch
from PIL import Image

from anyms.images import color
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.lessons.checks import EXERCISES, check, feedback
from anyms.lessons.figures import distance, quantize, strip, subplots
from anyms.lessons.toy_attention import toy

ROOT = Path(__file__).resolve().parents[2]
ODD = [3, -1.5, float("nan"), True, "text", "", [], [None], (1, 2), {}, {"a": 1}, set(), object(), int,
       lambda: None, lambda *a: "x", lambda *a: 1/0, np.zeros((2, 2)), torch.ones(3), b"bytes", range(3), Image.new("RGB", (2, 2))]
every = pytest.mark.parametrize("number", sorted(EXERCISES))

def test_each_tutorial_has_its_exercises():
    counts = {}
    for number in EXERCISES: counts[number[0]] = counts.get(number[0], 0) + 1
    assert sorted(counts) == list("123456") and all(3 <= n <= 4 for n in counts.values())

@every
@pytest.mark.parametrize("odd", ODD, ids=lambda o: type(o).__name__)
def test_whatever_a_student_gives_the_check_answers_in_a_sentence(number, odd):
    "No TypeError, no KeyError: an odd answer gets what it is and what is wanted, or what went wrong with it, and never 'Right.'"
    said = feedback(number, odd, *[None for _ in EXERCISES[number].given])
    assert said.startswith("Not yet. ") and ("You gave" in said or EXERCISES[number].hint in said)

@every
@pytest.mark.parametrize("nothing", [None, ..., {"a sentence": None, "another": "norm"}], ids=("None", "dots", "form"))
def test_no_answer_gets_the_hint(number, nothing):
    assert feedback(number, nothing, *[None for _ in EXERCISES[number].given]) == f"Your turn. {EXERCISES[number].hint}"

def test_a_wrong_type_is_named():
    assert feedback("1.2", 3) == "Not yet. You gave an int, 3; exercise 1.2 wants a function edge(x, m)."
    assert "You gave a str, 'fourteen'; exercise 1.1 wants a whole number" in feedback("1.1", "fourteen", None)
    assert "TypeError" in feedback("1.2", lambda x: x) and feedback("1.2", lambda x: x).startswith("Not yet. ")

@pytest.mark.parametrize("number", [14, np.int64(14), np.float32(14), torch.tensor(14)], ids=lambda n: type(n).__name__)
def test_numbers_of_any_make_are_numbers(number):
    held = Layout([Subject("a", box=(.05, .30, .50, .90)), Subject("b", box=(.30, .55, .70, .95), priority=1)])
    assert feedback("1.1", number, held) == "Right."

def test_misuse_of_check_is_told():
    with pytest.raises(TypeError, match=r"check\('1.1', answer, held\)"): check("1.1", 14)
    with pytest.raises(ValueError, match="'0.7' is no exercise; there are 1.1"): check("0.7", 14)

def test_check_prints_lines_that_fit(capsys):
    for number, task in EXERCISES.items(): check(number, None, *[None for _ in task.given])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 84 and sum(line.startswith("Your turn.") for line in lines) == len(EXERCISES)

# --- figures --------------------------------------------------------------------------------------------------------------------
def two():
    red, blue = (Image.new("RGB", (8, 8), shade) for shade in ("#803010", "#104080"))
    return Layout([Subject("a", red, (0, .2, .5, .8)), Subject("b", blue, (.5, .2, 1, .8))])

def test_a_strip_is_large_and_invents_no_pixel():
    red, lime, black = (Image.new("RGB", (64, 64), shade) for shade in ("red", "lime", "black"))
    sheet = strip({"one": red, "two": lime, "three": black, "four": Image.new("RGBA", (64, 64))})
    assert sheet.size == (3*256 + 2*12, 2*(256 + 26) + 12)
    shown = np.asarray(sheet.convert("RGB"))[26:282]
    assert (shown[:, :256] == (255, 0, 0)).all() and (shown[:, 268:524] == (0, 255, 0)).all()
    assert (np.asarray(sheet.convert("RGB"))[-256:, :256] == 255).all(), "what is transparent is white"

def test_a_strip_draws_boxes_and_keeps_shapes():
    sheet = np.asarray(strip({"wide": Image.new("RGB", (96, 48))}, two(), size=192).convert("RGB"))[26:]
    assert sheet.shape == (96, 192, 3), "twice as wide as high"
    ink = np.array([int(color(0)[i:i + 2], 16) for i in (1, 3, 5)])
    assert (np.abs(sheet.astype(int) - ink).sum(-1) < 12).any()

@pytest.mark.parametrize("wrong", [{}, [], None, "picture"])
def test_a_strip_of_nothing_is_refused(wrong):
    with pytest.raises(TypeError, match="must be a non-empty dict"): strip(wrong)

def test_plots_show_once_and_have_no_frame():
    before = plt.get_fignums()
    fig, axes = subplots(3)
    assert plt.get_fignums() == before and len(axes) == 3 and fig.get_size_inches()[0]*fig.dpi == 640
    assert not any(ax.spines[side].get_visible() for ax in axes for side in ("top", "right"))
    assert quantize(fig).mode == "P"

def test_distance():
    a, b = (Image.new("L", (4, 4), shade) for shade in (10, 30))
    assert distance(a, a) == 0 and distance(a, b) == distance(b, a) == 20

# --- the toy --------------------------------------------------------------------------------------------------------------------
def test_in_the_toy_full_at_one_nth_is_the_mean_of_the_references():
    mixed = np.asarray(toy(two(), scale=1/2), int)
    assert np.abs(mixed - np.mean([(0x80, 0x30, 0x10), (0x10, 0x40, 0x80)], 0)).max() <= 1
    assert np.abs(np.asarray(toy(two()), int) - (0x90, 0x70, 0x90)).max() <= 1, "at full scale it is the sum: mixed and loud"

def test_in_the_toy_each_box_holds_its_own_and_the_rest_nothing():
    drawn = np.asarray(toy(two(), "crop_merge"))
    assert (drawn[20:44, :32] == (0x80, 0x30, 0x10)).all() and (drawn[20:44, 32:] == (0x10, 0x40, 0x80)).all() and not drawn[:10].any()
    assert distance(toy(two(), "masked"), toy(two(), "crop_merge")) == 0

# a Predict folds its answer until asked

PAGES = [ROOT/"nbs"/"teach.ipynb", *sorted((ROOT/"nbs"/"lessons").glob("*.ipynb")), *sorted((ROOT/"nbs"/"tutorials").glob("*.ipynb"))]
ASKS = re.compile(r"\*\*Predict\b")

def folds(cell): return cell.metadata.get("jupyter", {}).get("outputs_hidden", False)

@pytest.mark.parametrize("path", [p for p in PAGES if ASKS.search(p.read_text("utf8"))], ids=lambda p: p.stem)
def test_a_predict_folds_its_answer(path):
    "From a Predict to the next one or to the next heading: an answer in a fold, and before it nothing that comes out stands open."
    cells = nbformat.read(path, 4).cells
    asks = [i for i, c in enumerate(cells) if c.cell_type == "markdown" and ASKS.search(c.source)]
    assert asks
    for i in asks:
        before, answered, _ = ASKS.split(cells[i].source)[-1].partition("<summary>Answer</summary>")
        for cell in cells[i + 1:]:
            if answered: break
            if cell.cell_type == "markdown": answered = "<summary>Answer</summary>" in cell.source
            else: assert folds(cell) or not cell.outputs, f"gives the answer away: {cell.source[-80:]}"
        assert answered, f"no folded answer to: {before[:80]}"
