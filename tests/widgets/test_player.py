"Play without a browser: what is drawn, what is said, whose turn it is."
import html
import threading

import pytest

from anyms.pipeline.generation import generate
from anyms.widgets.player import play
from anyms.widgets.player import knows_stickers
from comparisons import Elements, NASTY, a_layout, asks_nothing_outside, same


# play

@pytest.fixture
def player(pipes):
    p = play(pipes("sdxl-plus"), "fox hat", a_layout(("fox", "hat")), rest=.02, num_inference_steps=2)
    assert p.wait(120)
    yield p
    p.wait(120)

def test_play_draws_what_generate_draws(player, pipes):
    assert not player.error and not player.working
    alone = generate(pipes("sdxl-plus"), "fox hat", player.editor.layout, num_inference_steps=2, progress=False)
    assert same(player.result.image, alone.image)
    assert player.figure() and len(player.table()) == 2 and "data-state=\"ready\"" in player.screen.value
    asks_nothing_outside(player._repr_mimebundle_()["text/html"])

@pytest.mark.parametrize("name, value", [("scale", 2.), ("variant", "full"), ("seed", 5), ("background", "query"), ("prompt", "hat"),
                                         ("num_inference_steps", 1), ("guidance_scale", 5.)])
def test_every_control_redraws(player, name, value):
    before = player.result
    player.controls[name].value = value
    assert player.working and "drawing" in player.screen.value
    assert player.wait(120) and not player.error and player.result.settings[name] == value
    assert not same(before.image, player.result.image)

def test_a_moved_box_redraws(player):
    before = player.result
    player.editor.boxes = [dict(player.editor.boxes[0], box=[.5, .5, 1, 1]), player.editor.boxes[1]]
    assert player.wait(120) and tuple(player.result.layout["fox"].box) == (.5, .5, 1, 1) and not same(before.image, player.result.image)

def test_a_drag_draws_one_picture(player):
    done = player.worker.done
    player.worker.rest = .3
    for i in range(30): player.editor.boxes = [dict(player.editor.boxes[0], box=[i/100, .1, i/100 + .4, .6]), player.editor.boxes[1]]
    assert player.wait(120) and player.worker.done == done + 1 and player.result.layout["fox"].box.x0 == .29

def test_an_impossible_state_is_said_in_the_panel(player, capsys):
    before = player.result
    player.variant, player.background = "fused", "query"
    assert player.wait(120) and "background" in player.error and player.result is before
    assert "data-state=\"error\"" in player.screen.value and html.escape(player.error) in player.screen.value
    player.background = "zero"
    assert player.wait(120) and player.error == "" and player.result is not before
    assert capsys.readouterr().err == ""

def test_a_subject_without_a_picture_is_said_in_the_panel(player):
    player.editor.boxes = [*player.editor.boxes, dict(id=9, name="<i>new</i>", box=[0, 0, .2, .2], priority=0, scale=1)]
    assert player.wait(120) and player.error == "<i>new</i>: this box has no picture yet: choose one below."
    assert "<i>new" not in player.screen.value
    assert "block;opacity" not in player.screen.value, "the picture fades only when something went wrong"
    player.editor.boxes = []
    assert player.wait(120) and "no subject yet" in player.error

def test_names_are_escaped_in_the_player(pipes):
    p = play(pipes("sdxl-plus"), NASTY[0], a_layout((NASTY[1], "hat")), rest=0, num_inference_steps=1)
    assert p.wait(120)
    for page in (p.screen.value, p.html()):
        assert not [t for t, a in Elements(page).tags if "onerror" in a] and "alert(2)</script>" not in page

def test_wrong_players(pipes):
    with pytest.raises(TypeError, match="pipe must be"): play("stickers", "fox")
    with pytest.raises(TypeError, match="no choice 'stop'"): play(pipes("sdxl-plus"), "fox", stop=1)

def test_only_the_embedded_model_gets_stickers_unasked(pipes, embedded):
    assert knows_stickers(embedded) and not knows_stickers(pipes("sdxl-plus"))
    mine, none = play(embedded, "a fox", None, num_inference_steps=1), play(embedded, "a fox", None, num_inference_steps=1, library={})
    assert "fox" in mine.editor.nouns and none.editor.nouns == []
    for p in (mine, none): p.close()

# whose turn it is (findings, 18b), and threads that end (newcomer, C11)

def test_the_cell_after_play_draws_and_the_player_too(pipes):
    pipe, layout = pipes("sdxl-plus"), a_layout(("fox", "hat"))
    wanted = generate(pipe, "fox hat", layout, num_inference_steps=30, progress=False)
    p = play(pipe, "fox hat", layout, rest=0, num_inference_steps=30, follow=False)
    other = [generate(pipe, "fox hat", layout, num_inference_steps=30, progress=False) for _ in range(3)]
    assert p.wait(120) and p.error == "" and same(p.result.image, wanted.image)
    assert all(same(r.image, wanted.image) for r in other)
    p.close()

def threads(): return [t for t in threading.enumerate() if t.name == "anyms-play"]

def test_the_thread_of_a_closed_player_ends(pipes):
    p = play(pipes("sdxl-plus"), "fox hat", a_layout(("fox", "hat")), rest=0, num_inference_steps=1000)
    p.close()
    assert p.worker.wait(60) and p.result is None
    p.seed = 3
    assert p.worker.wait(1) and not [t for t in threads() if t.is_alive() and t is p.worker.thread]
