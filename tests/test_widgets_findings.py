"What people tripped over in the widgets: names of ours that subjects may have, first views, new boxes, undo, the prompt, players that wait."
import io, json, threading

import numpy as np, pytest
from PIL import Image

from anyms import widgets
from anyms.heatmap import paint
from anyms.layout import Layout, Subject
from anyms.pipeline import generate
from anyms.stickers.world import DRAWINGS, nouns, sprite, sprites
from anyms.widgets import NO_PICTURE, Moments, Newest, edit, explore, play, stepper
from conftest import picture
from test_widgets import a_layout, a_result, same, some_runs, talk


# names of subjects that are words of ours (findings, 34)

@pytest.mark.parametrize("name", ["background", "box", "(box)", "its own box", "no box", "subject", "variant"])
def test_no_column_of_the_table_has_two_meanings(name):
    layout = Layout([Subject(name, picture(0), (.05, .1, .5, .95)), Subject("hat", picture(1), (.3, .1, .7, .5))])
    moments = Moments(a_result(layout))
    share, leak = moments.numbers(0, "mass", "all layers")
    table = moments.table()
    assert table.columns.is_unique and len(table.columns) == 2 + 1 + 2 + 1
    hat = table.iloc[1]
    assert (hat["variant"], hat["subject"]) == ("full", "hat")
    np.testing.assert_allclose(hat.iloc[2:].astype(float), [share[0, -1, 1], *leak[0, -1, 1]])
    np.testing.assert_allclose([hat[f"in {name}"], hat["in hat"]], leak[0, -1, 1, :2])

def test_ordinary_names_keep_the_ordinary_columns():
    assert list(Moments(some_runs()).table().columns) == ["variant", "subject", "in box", "in fox", "in crown", "in background"]

@pytest.mark.parametrize("name", ["background", "in its box"])
def test_no_heading_of_the_page_has_two_meanings(name):
    facts = explore(a_result(a_layout((name, "hat")))).facts
    assert len({*facts["heads"], *facts["subjects"]}) == 4


# the first view

def slowly(layout, variant="full", steps=10, peak=4):
    "Maps that are flat at first, full of contrast from step `peak` on."
    r = a_result(layout, variant, steps=steps)
    for (stat, layer, t), cell in r.maps.cells.items(): r.maps.cells[stat, layer, t] = (.5 + (cell - .5)*min(t/peak, 1)).astype(np.float16)
    return r

def test_the_first_view_is_the_step_at_which_the_maps_begin_to_draw():
    e = explore([slowly(a_layout(), v) for v in ("full", "masked")])
    assert e.step == 4 and e.strength == 1 and e.facts["steps"][-1] == 9
    assert explore([slowly(a_layout())], step=9).step == 9, "who names a step gets it"
    assert Moments(slowly(a_layout())).view().step == 9

def test_the_stepper_begins_there_too():
    page = stepper([slowly(a_layout())], most=10)
    assert '"step":4' in page

def test_without_contrast_or_maps_the_last_step_is_shown():
    r = a_result(a_layout())
    for cell in r.maps.cells.values(): cell[:] = .5
    assert explore(r).step == 3
    assert explore(some_runs(stats=None)).step == 3

@pytest.mark.parametrize("strength", [1., .7, .4, .2])
def test_the_heat_has_the_colours_of_the_bar_at_every_strength(strength):
    m = Moments(a_result(a_layout(), layers={"up_blocks.0.attn2": (8, 8)}))
    view = m.view(strength=strength, boxes=False)
    heat, _, _ = widgets._heat(m, view, "full", (160, 160))
    unit = m.colours(0, "mass", "all layers", "shared")[0][0, -1, 0]
    np.testing.assert_array_equal(np.asarray(heat)[10::20, 10::20], paint(unit))

def test_strength_is_the_share_of_the_heat():
    for part in (0, .25, .5, 1):
        mask = np.asarray(widgets._windows((160, 80), (4, 8), part))
        assert abs((mask > 0).mean() - part) < .03 and set(np.unique(mask)) <= {0, 255}

def test_every_statistic_is_said_in_a_sentence():
    from anyms.capture import STATS
    assert widgets.ASKS.keys() == STATS.keys() and explore(some_runs()).facts["statTexts"]["mass"].startswith("who would win this place")


# 100 % and the boxes that layers see (newcomer, A10)

def test_the_page_knows_the_box_that_each_layer_counts_on():
    layout = Layout([Subject("fox", picture(0), (.05, .1, .55, .9)), Subject("hat", picture(1), (.5, 0, 1, .5))])
    e = explore(a_result(layout))
    rounded = e.facts["rounded"]
    assert rounded["8 x 8 tokens"][1] == [.5, 0, 1, .5]
    for layer, (x0, y0, x1, y1) in ((l, boxes[0]) for l, boxes in rounded.items()):
        inside = np.zeros((8, 8), bool)
        inside[int(y0*8):int(np.ceil(y1*8)), int(x0*8):int(np.ceil(x1*8))] = True
        for l in e.moments.layers[layer]:
            gh, gw = e.moments.grids[l]
            covered = layout[0].cover((gh, gw)).numpy().repeat(8//gh, 0).repeat(8//gw, 1)
            assert not (covered & ~inside).any(), layer
    assert "100% may show colour outside" in e.facts["counted"]

def test_the_rounded_box_is_dotted_in_the_heat():
    layout = Layout([Subject("fox", picture(0), (.3, .3, .7, .7))])
    m = Moments(a_result(layout, layers={"up_blocks.0.attn2": (4, 4)}))
    assert m.rounded("all layers") != [list(layout.boxes[0])]
    plain, boxed = (np.asarray(widgets._heat(m, m.view(boxes=b), "full", (160, 160))[0]) for b in (False, True))
    changed = (plain != boxed).any(-1)
    x0, y0, x1, y1 = (round(v*160) for v in m.rounded("all layers")[0])
    assert changed[y0, x0:x1].any() and not changed[:y0].any() and not changed[:, :x0].any() and not changed[y1:].any()


# a new box takes the sticker of its name (newcomer, A2)

def added(editor, name, i=9, box=(.7, .1, .9, .3)):
    editor.boxes = [*editor.boxes, dict(id=i, name=name, box=list(box), priority=0, scale=1)]

def renamed(editor, old, new): editor.boxes = [dict(b, name=new) if b["name"] == old else b for b in editor.boxes]

@pytest.mark.parametrize("name, noun", [("fox", "fox"), ("Fox", "fox"), ("fox 2", "fox"), ("fox_3", "fox"), ("an old fox", "fox")])
def test_type_fox_get_a_fox(name, noun):
    e = edit(a_layout(("hat", "crown")))
    added(e, name)
    assert same(e.layout[name].image, widgets.square(widgets.read_image(sprite(noun)))) and not e.bare and not e.bad

def test_a_name_without_a_sticker_is_said_in_place_and_named_later():
    e = edit(a_layout())
    added(e, "subject")
    assert e.message.startswith(f"subject: {NO_PICTURE}") and not e.bad and e.bare == ["subject"]
    renamed(e, "subject", "fox")
    assert e.layout["fox"].image is not None and NO_PICTURE not in e.message

def test_a_sticker_follows_its_name_and_a_given_picture_stays():
    e = edit(Layout([Subject("fox", sprite("fox", "noto"), (.1, .1, .5, .5)), Subject("hat", picture(0), (.5, .5, .9, .9))]))
    renamed(e, "fox", "penguin")
    assert same(e.layout["penguin"].image, widgets.square(widgets.read_image(sprite("penguin", "noto")))), "in the same set of drawings"
    renamed(e, "hat", "crown")
    assert same(e.layout["crown"].image, widgets.read_image(picture(0)))
    renamed(e, "penguin", "somebody")
    assert same(e.layout["somebody"].image, widgets.square(widgets.read_image(sprite("penguin", "noto")))), "a picture is never lost by a name"

def test_which_fox():
    e = edit(None)
    added(e, "fox")
    names, texts, chosen = e.drawings["9"]
    assert set(names) == {s.drawing for s in sprites() if s.noun == "fox"} and chosen == names[0] and len(names) <= len(DRAWINGS)
    kept = {s.drawing for s in sprites() if s.noun == "fox" and s.split != "train"}
    assert {n for n, t in zip(names, texts) if "kept from training" in t} == kept
    talk(e, dict(draw=9, drawing="noto"))
    assert same(e.layout["fox"].image, widgets.square(widgets.read_image(sprite("fox", "noto")))) and e.drawings["9"][2] == "noto"
    e.undo()
    assert e.drawings["9"][2] == names[0]
    talk(e, dict(draw=9, drawing="rembrandt"))
    assert e.bad and "rembrandt" in e.message

def test_a_library_of_ones_own_and_none():
    e = edit(None, library={"balloon": picture(5)})
    assert e.nouns == e.library == ["balloon"]
    added(e, "balloon")
    assert e.layout["balloon"].image is not None and e.drawings == {"9": ["", "", ""]} or e.drawings == {"9": [[], [], ""]}
    bare = edit(None, library=None)
    added(bare, "fox")
    assert bare.bare == ["fox"] and bare.nouns == []
    with pytest.raises(TypeError, match="'stickers'"): edit(None, library="photos")

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
    for change in (lambda: added(e, "fox 2"), lambda: renamed(e, "fox", "owl"), lambda: setattr(e, "boxes", [dict(e.boxes[0], box=[.1, .2, .3, .4]), *e.boxes[1:]]),
                   lambda: setattr(e, "boxes", e.boxes[1:]), lambda: setattr(e, "layout", a_layout(("x", "y"))), lambda: setattr(e, "boxes", [])):
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

def drags(e, number, *lefts):
    for x in lefts: e.set_state({"gesture": number, "boxes": [dict(e.boxes[0], box=[x, .1, x + .3, .6]), *e.boxes[1:]]})

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
    for i in range(widgets.UNDOABLE + 20): e.boxes = [dict(e.boxes[0], scale=1 + i), e.boxes[1]]
    assert len(e._past) == widgets.UNDOABLE


# the prompt

TOLD = [
    ("a penguin, a hat and a tree on the beach", "penguin hat tree", "penguin hat", "a penguin and a hat on the beach"),
    ("a penguin, a hat and a tree on the beach", "penguin hat tree", "penguin hat tree fox", "a penguin, a hat, a tree and a fox on the beach"),
    ("a penguin, a hat and a tree on the beach", "penguin hat tree", "", "on the beach"),
    ("on the beach", "", "owl", "an owl on the beach"),
    ("", "", "owl fox", "an owl and a fox"),
    ("a fox", "fox", "fox fox_2", "two foxes"),
    ("two foxes in the snow", "fox fox_2", "fox", "a fox in the snow"),
    ("a photo of the red fox and a very old hat, studio light", "fox hat", "fox owl", "a photo of the red fox and an owl, studio light"),
    ("a photo of the red fox and a very old hat, studio light", "fox hat", "hat fox owl", "a photo of a very old hat, the red fox and an owl, studio light".replace("a very old hat, the red fox", "a very old hat, the red fox")),
    ("a penguin on a hat on the beach", "penguin hat", "penguin", "a penguin on the beach"),
    ("a penguin on a hat", "penguin hat", "penguin hat fox", "a penguin and a fox on a hat"),
    ("sunset, oil painting", "fox", "fox hat", "a fox and a hat, sunset, oil painting"),
    ("a foxglove and a fox", "fox", "fox hat", "a foxglove and a fox and a hat"),
    ("A Fox at night", "fox", "fox hat", "A Fox and a hat at night"),
    ("a C++ (fox) here", "C++ (fox)", "C++ (fox)|hat", "a C++ (fox) and a hat here"),
]

@pytest.mark.parametrize("prompt, old, new, wanted", TOLD)
def test_the_prompt_follows(prompt, old, new, wanted):
    names = lambda text: text.split("|") if "(" in text else [n.replace("_", " ") for n in text.split()]
    assert widgets._retold(prompt, names(old), names(new)) == wanted

def test_every_noun_can_come_and_go():
    for noun in nouns():
        told = widgets._retold("a penguin on the beach", ["penguin"], ["penguin", noun] if noun != "penguin" else ["penguin"])
        assert noun in told and told.endswith("on the beach")
        assert widgets._retold(told, ["penguin", noun], ["penguin"]) == "a penguin on the beach"

@pytest.fixture
def player(pipes):
    p = play(pipes("sdxl-plus"), "a fox and a hat in the snow", a_layout(("fox", "hat")), rest=.02, steps=1, library="stickers")
    assert p.wait(120)
    yield p
    p.close()
    p.wait(120)

def test_a_subject_more_or_less_and_the_prompt_with_it(player):
    added(player.editor, "owl")
    assert player.wait(120) and player.result.settings["prompt"] == "a fox, a hat and an owl in the snow" and not player.error
    player.editor.boxes = player.editor.boxes[1:]
    assert player.wait(120) and player.result.settings["prompt"] == "a hat and an owl in the snow"
    player.editor.undo()
    assert player.wait(120) and player.prompt == "a fox, a hat and an owl in the snow"

def test_a_box_without_a_picture_is_not_in_the_prompt_yet(player):
    added(player.editor, "subject")
    assert player.wait(120) and NO_PICTURE in player.error and player.prompt == "a fox and a hat in the snow"
    renamed(player.editor, "subject", "crown")
    assert player.wait(120) and not player.error and player.prompt == "a fox, a hat and a crown in the snow"

def test_a_prompt_of_ones_own_stays(player):
    player.controls["follow"].value = False
    added(player.editor, "owl")
    assert player.wait(120) and player.prompt == "a fox and a hat in the snow" and "owl" in player.result.layout.names

def test_the_picture_lies_under_the_boxes(player):
    shown = Image.open(io.BytesIO(widgets.base64.b64decode(player.editor.picture.split(",")[1])))
    assert same(shown, player.result.image.convert("RGB"))

def test_only_the_embedded_model_gets_stickers_unasked(pipes, embedded):
    assert widgets._draws_stickers(embedded) and not widgets._draws_stickers(pipes("sdxl-plus"))
    mine, none = play(embedded, "a fox", None, steps=1), play(embedded, "a fox", None, steps=1, library={})
    assert "fox" in mine.editor.nouns and none.editor.nouns == []
    for p in (mine, none): p.close()


# whose turn it is (findings, 18b), and threads that end (newcomer, C11)

def test_the_cell_after_play_draws_and_the_player_too(pipes):
    pipe, layout = pipes("sdxl-plus"), a_layout(("fox", "hat"))
    wanted = generate(pipe, "fox hat", layout, steps=30, progress=False)
    p = play(pipe, "fox hat", layout, rest=0, steps=30, follow=False)
    other = [generate(pipe, "fox hat", layout, steps=30, progress=False) for _ in range(3)]
    assert p.wait(120) and p.error == "" and same(p.result.image, wanted.image)
    assert all(same(r.image, wanted.image) for r in other)
    p.close()

def threads(): return [t for t in threading.enumerate() if t.name == "anyms-play"]

def test_the_thread_of_a_closed_player_ends(pipes):
    p = play(pipes("sdxl-plus"), "fox hat", a_layout(("fox", "hat")), rest=0, steps=1000)
    p.close()
    assert p.worker.wait(60) and p.result is None
    p.seed = 3
    assert p.worker.wait(1) and not [t for t in threads() if t.is_alive() and t is p.worker._thread]

def test_a_stopped_worker_takes_nothing_more():
    seen, worker = [], None
    worker = Newest(lambda request, check: seen.append(request), rest=.2)
    worker.ask(1)
    worker.stop()
    assert worker.wait(10) and worker._thread is None
    worker.ask(2)
    assert worker.wait(1) and seen == []


# the page

def test_controls_of_the_page_have_names():
    "Whatever is made without a text of its own has a label."
    import re
    for source in ("explorer.js", "editor.js"):
        code = widgets._source(source)
        for tag in re.findall(r"make\('(?:select|input)', \{[^}]*", code):
            assert any(word in tag for word in ("aria-label", "data-name")), tag

def test_facts_are_plain_json():
    for runs in (some_runs(), some_runs(stats=None)): json.dumps(explore(runs).facts)
