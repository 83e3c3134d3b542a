"The editor without a browser: boxes, layouts, refusals, undo."
import io

import numpy as np
import pytest
import traitlets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from anyms.layout.boxes import Box
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.widgets.editor import PAGES, Editor, edit
from anyms.widgets.history import UNDOABLE
from comparisons import a_layout, added, renamed, same, talk
from conftest import picture


# the editor

def test_layout_goes_round():
    layout = a_layout(priority=2, scale=.5)
    e = edit(layout)
    assert e.layout == layout and [b["name"] for b in e.boxes] == layout.names and len(e.thumbs) == 2 and e.message == ""

def test_a_box_from_the_page_changes_the_layout():
    e = edit(a_layout())
    e.set_state({"boxes": [dict(e.boxes[0], box=[.1, .2, .3, .4]), e.boxes[1]]})
    assert tuple(e.layout["fox"].box) == (.1, .2, .3, .4)
    assert e.layout["fox"].image is not None, "the reference stays"

def test_add_delete_rename_reorder():
    e = edit(a_layout(), library={"balloon": picture(5)})
    e.boxes = [*e.boxes, dict(id=2, name="balloon", box=[.1, .1, .3, .3], priority=0, scale=1)]
    assert e.layout.names == ["fox", "crown", "balloon"] and e.layout["balloon"].image is not None
    e.boxes = [dict(b, name="owl") if b["name"] == "fox" else b for b in e.boxes]
    assert e.layout["owl"].image is not None
    e.boxes = [dict(b, priority=5) if b["name"] == "owl" else b for b in e.boxes]
    assert e.layout.order[-1] == 0
    e.boxes = e.boxes[1:]
    assert e.layout.names == ["crown", "balloon"]
    e.boxes = []
    assert e.layout is None and "no subject yet" in e.message

def test_python_may_set_the_layout():
    e = edit(None)
    assert "no subject yet" in e.message and e.layout is None and e.table().empty and e.figure().size
    e.layout = a_layout(("a", "b", "c"))
    assert [b["name"] for b in e.boxes] == ["a", "b", "c"] and e.last == 2
    e.layout = [Subject("x", box=(0, 0, 1, 1))]
    assert e.layout.names == ["x"]
    with pytest.raises((TypeError, traitlets.TraitError), match="Layout"): e.layout = "fox"

@pytest.mark.parametrize("change, words", [(dict(box=[.5, .5, 1.4, .9]), "outside the picture"), (dict(box=[.5, .5, .5, .9]), "no area"),
                                           (dict(box=[.9, .1, .2, .5]), "reversed"), (dict(name="crown"), "occurs twice"),
                                           (dict(name="  "), "is empty"), (dict(scale=None), "not a number"),
                                           (dict(scale=-1), "not a strength"),
                                           (dict(box=[float("nan"), 0, 1, 1]), "not finite")])
@pytest.mark.parametrize("snap", [False, True])
def test_an_unsound_edit_is_refused_in_place(change, words, snap):
    e = edit(a_layout())
    e.snap = snap
    before = e.layout
    e.boxes = [dict(e.boxes[0], **change), e.boxes[1]]
    assert words in e.message and e.bad and e.layout is before
    e.boxes = [dict(e.boxes[0], box=[.25, .25, .5, .5], name="fox", scale=1), e.boxes[1]]
    assert not e.bad and tuple(e.layout["fox"].box) == (.25, .25, .5, .5)

def test_an_overlap_is_explained():
    e = edit(a_layout())
    e.level = 0
    e.boxes = [dict(b, box=[.2, .2, .8, .8]) for b in e.boxes]
    assert "lies on top" in e.message and not e.bad and e.cells["collisions"] > 0

def test_cells_are_the_layouts():
    e = edit(a_layout(), latent=(12, 20), depth=3)
    assert e.levels == [[12, 20], [6, 10], [3, 5]]
    for level in range(3):
        e.level = level
        found = e.layout.coverage(e.grid)
        assert e.cells["owners"] == found.owners.ravel().tolist() and e.cells["counts"] == found.counts.ravel().tolist()
        assert e.cells["gaps"] == int((found.counts == 0).sum())
    e.level = 9
    assert e.level == -1

def test_a_mask_stays_until_its_box_moves():
    mask = np.zeros((16, 16), bool)
    mask[4:8, 4:12] = True
    e = edit(Layout([Subject("fox", image=picture(0), mask=mask)]))
    e.boxes = [dict(e.boxes[0], scale=2)]
    assert e.layout["fox"].mask is not None
    e.boxes = [dict(e.boxes[0], box=[0, 0, .5, .5])]
    assert e.layout["fox"].mask is None

def png(mode="RGB", fill=(200, 30, 30), size=(12, 12)):
    file = io.BytesIO()
    Image.new(mode, size, fill).save(file, "PNG")
    return file.getvalue()

def test_a_picture_from_the_page():
    e = edit(a_layout())
    talk(e, dict(image=0, file="a.png"), [png()])
    assert e.layout["fox"].image.getpixel((3, 3)) == (200, 30, 30) and not e.bad
    half = Image.new("RGBA", (12, 12), (200, 30, 30, 255))
    half.paste((0, 0, 0, 0), (0, 0, 6, 12))
    file = io.BytesIO()
    half.save(file, "PNG")
    talk(e, dict(image=0, file="b<i>.png"), [file.getvalue()])
    assert e.layout["fox"].image.getpixel((1, 1)) == (255, 255, 255) and "transparent parts" in e.message
    unfit = (png("RGBA", (0, 0, 0, 0)), "transparent everywhere"), (b"no picture", "cannot be read"), (png(size=(1, 1)), "too small")
    for content, words in unfit:
        talk(e, dict(image=0, file="c.png"), [content])
        assert words in e.message and e.bad and e.layout["fox"].image.getpixel((1, 1)) == (255, 255, 255)

def test_fifty_boxes_and_more_than_there_are_tokens():
    e = edit(a_layout([f"s{i}" for i in range(50)]))
    assert len(e.layout) == 50
    before = e.layout
    e.boxes = [*e.boxes, *(dict(id=50 + i, name=f"t{i}", box=[0, 0, .5, .5], priority=0, scale=1) for i in range(20))]
    assert "use fewer subjects" in e.message and e.layout is before

fraction = st.floats(0, 1)

@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(fraction, fraction, fraction, fraction), min_size=1, max_size=5), st.booleans(), st.integers(-1, 1))
def test_whatever_is_drawn_the_layout_is_sound(corners, snap, level):
    "Any four numbers: either the layout has them, on token edges if asked, or the message says why not and the old one stays."
    e = Editor(Layout([Subject("first", box=(0, 0, 1, 1))]))
    e.snap, e.level = snap, level
    before = e.layout
    e.boxes = [dict(id=i, name=f"s{i}", box=list(c), priority=0, scale=1) for i, c in enumerate(corners)]
    if e.bad: assert e.layout is before and any(words in e.message for words in ("no area", "reversed"))
    else:
        gh, gw = e.grid
        for got, wanted in zip(e.layout.boxes, corners):
            if snap:
                assert all(abs(v*n - round(v*n)) < 1e-9 for v, n in zip(got, (gw, gh, gw, gh)))
                assert got.tokens(e.grid) == Box(*wanted).tokens(e.grid)
            else: assert np.allclose(tuple(got), wanted, atol=1e-6)
        assert [b["box"] for b in e.boxes] == [[round(v, 6) for v in b] for b in e.layout.boxes]

@pytest.mark.parametrize("wrong", [dict(latent=(0, 4)), dict(depth=0)])
def test_wrong_grids(wrong):
    with pytest.raises(ValueError): edit(a_layout(), **wrong)

def test_many_overlaps_are_one_sentence():
    e = edit(a_layout(("a", "b", "c", "d", "e")))
    e.boxes = [dict(b, box=[.2, .2, .8, .8]) for b in e.boxes]
    assert e.message.startswith("10 pairs of boxes overlap") and e.message.count("\n") == 0
    few = edit(a_layout(("a", "b")))
    few.boxes = [dict(b, box=[.2, .2, .8, .8]) for b in few.boxes]
    assert few.message == "\n".join(few.layout.notes)

# undo

def test_everything_can_be_taken_back():
    e = edit(a_layout())
    states = [e.layout]
    for change in (lambda: added(e, "fox 2"), lambda: renamed(e, "fox", "owl"),
                   lambda: setattr(e, "boxes", [dict(e.boxes[0], box=[.1, .2, .3, .4]), *e.boxes[1:]]),
                   lambda: setattr(e, "boxes", e.boxes[1:]), lambda: setattr(e, "layout", a_layout(("x", "y"))),
                   lambda: setattr(e, "boxes", [])):
        change()
        states.append(e.layout)
    for state in reversed(states[:-1]):
        talk(e, dict(undo=-1))
        assert e.layout == state
    assert not e.undoable and e.redoable
    talk(e, dict(undo=-1))
    for state in states[1:]:
        talk(e, dict(undo=1))
        assert e.layout == state
    assert e.undoable and not e.redoable

def test_a_deleted_subject_comes_back_with_its_picture():
    e = edit(a_layout())
    e.boxes = e.boxes[1:]
    e.undo()
    assert same(e.layout["fox"].image, a_layout()["fox"].image) and [b["name"] for b in e.boxes] == ["fox", "crown"]

def tells(e, *changes, number, gesture=0, page="a page"):
    "What a page has changed, as it says it."
    talk(e, dict(edit=dict(page=page, number=number, gesture=gesture, changes=list(changes))))

def drags(e, gesture, *lefts):
    for i, x in enumerate(lefts, 1 + e.heard.get("a page", 0)):
        tells(e, dict(id=0, fields=dict(box=[[x, .1, x + .3, .6], i])), number=i, gesture=gesture)

def test_a_drag_is_one_change():
    e = edit(a_layout())
    before = e.layout
    drags(e, 1, .05, .1, .15, .2)
    between = e.layout
    drags(e, 2, .25, .3)
    e.undo()
    assert e.layout == between
    e.undo()
    assert e.layout == before and not e.undoable

def test_a_program_goes_on_where_a_drag_ended():
    e = edit(a_layout())
    drags(e, 1, .05, .1)
    dragged = e.layout
    e.boxes = e.boxes[1:]
    e.undo()
    assert e.layout == dragged

def test_a_new_change_forgets_what_was_taken_back():
    e = edit(a_layout())
    e.boxes = e.boxes[1:]
    e.undo()
    added(e, "fox 2")
    e.redo()
    assert e.layout.names == ["fox", "crown", "fox 2"]

def test_what_was_refused_can_be_taken_back():
    e = edit(a_layout())
    renamed(e, "fox", "crown")
    assert e.bad and e.undoable
    e.undo()
    assert not e.bad and [b["name"] for b in e.boxes] == ["fox", "crown"] and e.layout.names == ["fox", "crown"]

def test_history_has_an_end():
    e = edit(a_layout())
    for i in range(UNDOABLE + 20): e.boxes = [dict(e.boxes[0], scale=1 + i), e.boxes[1]]
    assert len(e.history.past) == UNDOABLE


# a page that is ahead of Python: an answer to an older state never overwrites a newer one

def touched(i, number, **fields): return dict(id=i, fields={name: [value, number] for name, value in fields.items()})

def test_a_box_that_is_dragged_while_a_sticker_is_placed():
    "The page does not know the sticker yet: it says what it moved, and the sticker stays."
    e = edit(a_layout())
    talk(e, dict(sticker=dict(id=2, name="owl", box=[.5, .5, .9, .9], drawing="noto")))
    tells(e, touched(0, 1, box=[.1, .2, .4, .6]), number=1)
    assert e.layout.names == ["fox", "crown", "owl"] and tuple(e.layout["fox"].box) == (.1, .2, .4, .6) and e.heard == {"a page": 1}
    e.undo()
    assert e.layout.names == ["fox", "crown", "owl"] and tuple(e.layout["fox"].box) == (0, .1, .5, .9)

def test_the_same_words_twice_are_said_once():
    e = edit(a_layout())
    tells(e, touched(0, 1, box=[.1, .2, .4, .6]), number=1)
    e.undo()
    tells(e, touched(0, 1, box=[.1, .2, .4, .6]), touched(1, 2, name="hat"), number=2)
    assert tuple(e.layout["fox"].box) == (0, .1, .5, .9) and e.layout.names == ["fox", "hat"], "an undo is not undone by an older change"

def test_what_was_taken_away_is_not_dragged_back():
    e = edit(a_layout())
    talk(e, dict(sticker=dict(id=2, name="owl", box=[.5, .5, .9, .9])))
    e.undo()
    tells(e, touched(2, 1, box=[0, 0, .2, .2]), number=1)
    assert e.layout.names == ["fox", "crown"] and not e.bad and e.redoable

def test_a_refused_change_is_heard_too():
    e = edit(a_layout())
    tells(e, touched(0, 1, name="crown"), number=1)
    assert e.bad and e.heard == {"a page": 1} and e.layout.names == ["fox", "crown"]
    tells(e, touched(0, 2, box=[.1, .2, .4, .6]), number=2)
    assert not e.bad and tuple(e.layout["fox"].box) == (.1, .2, .4, .6)

def test_a_box_of_the_page_is_new_and_gone():
    e = edit(a_layout())
    new = dict(touched(2, 1, name="tree", box=[.2, .2, .4, .4], priority=1, scale=.5), new=1)
    tells(e, new, number=1)
    assert e.layout.names == ["fox", "crown", "tree"] and (e.layout["tree"].priority, e.layout["tree"].scale, e.last) == (1, .5, 2)
    tells(e, dict(id=2, fields={}, gone=2), number=2)
    assert e.layout.names == ["fox", "crown"]

def test_two_pages_show_one_board():
    e = edit(a_layout())
    tells(e, dict(touched(2, 1, name="tree", box=[.2, .2, .4, .4], priority=0, scale=1), new=1), number=1, page="left")
    tells(e, dict(touched(2, 1, name="owl", box=[.6, .2, .8, .4], priority=0, scale=1), new=1), number=1, page="right")
    assert e.layout.names == ["fox", "crown", "tree", "owl"] and e.heard == dict(left=1, right=1)
    for i in range(30): tells(e, number=1, page=f"page {i}")
    assert len(e.heard) == PAGES

def test_a_picture_for_a_box_that_is_gone():
    e = edit(a_layout())
    talk(e, dict(image=7, file="cat.png"), [b"no picture at all"])
    assert e.bad
    talk(e, dict(draw=7, drawing="noto"))
    assert e.bad and "no longer on the board" in e.message and e.layout.names == ["fox", "crown"]
