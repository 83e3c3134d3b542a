"One wish: the picture with and without its reading, bounded, restored, alone; and a comparison by a button."
import threading

import pytest

from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.maps.reads import read_map
from anyms.pipeline.generation import generate
from anyms.widgets.compared import Compared
from anyms.widgets.player import play
from anyms.widgets.reading import unpack_weights
from anyms.widgets.wish import Wish, draw_wish, latent_of, read_layers
from comparisons import a_layout, asks_nothing_outside, same


def a_wish(layout=None, is_read=True, **settings):
    return Wish("fox hat", layout or a_layout(("fox", "hat")), dict(seed=0, num_inference_steps=3, **settings), is_read)

def granted(pipe, *a, **k): return draw_wish(pipe, a_wish(*a, **k), lambda: None)

@pytest.mark.parametrize("variant", ["crop_merge", "fused", "masked", "full", "joint"])
@pytest.mark.parametrize("kind", ["sd15-plain", "sdxl-plus"])
def test_watching_changes_nothing(pipes, kind, variant):
    pipe = pipes(kind)
    watched, plain = granted(pipe, variant=variant), granted(pipe, is_read=False, variant=variant)
    assert same(watched.result.image, plain.result.image) and plain.reads is None
    assert watched.step == 1 and watched.reads.steps == [1] and not hasattr(pipe.unet, "attn_recorder")

def test_it_is_bounded(pipes):
    "Layers behind the middle, of one grid, four at the most; none where every grid is too fine for a page."
    unet = pipes("sdxl-plus").unet
    for latent in (latent_of(pipes("sdxl-plus")), (64, 64), (128, 96)):
        layers = read_layers(unet, latent)
        assert 0 < len(layers) <= 4 and all("up_blocks" in name for name in layers)
    assert read_layers(unet, (4096, 4096)) == []
    reads = granted(pipes("sdxl-plus")).reads
    assert len(reads.steps) == 1 and len(set(reads.grids.values())) == 1 and reads.nbytes < 1e6

def test_a_wish_that_is_given_up_leaves_nothing(pipes):
    pipe = pipes("sdxl-plus")
    before = dict(pipe.unet.attn_processors)
    class Over(Exception): pass
    def check(): raise Over
    with pytest.raises(Over): draw_wish(pipe, a_wish(), check)
    assert not hasattr(pipe.unet, "attn_recorder")
    assert all(before[name] is processor for name, processor in pipe.unet.attn_processors.items())

def test_somebody_else_is_not_watched(pipes):
    "A cell draws with the same model while a player does: only the player's picture is in its reads."
    pipe, layout = pipes("sdxl-plus"), a_layout(("crown",))
    alone = granted(pipe)
    other = threading.Thread(target=lambda: [generate(pipe, "crown", layout, num_inference_steps=9, progress=False) for _ in range(3)])
    other.start()
    found = [granted(pipe) for _ in range(3)]
    other.join()
    for one in found:
        assert one.reads.names == ["fox", "hat"] and one.reads.maps.keys() == alone.reads.maps.keys()
        assert all((one.reads.maps[key] == alone.reads.maps[key]).all() for key in alone.reads.maps)

@pytest.mark.parametrize("layout, words", [(Layout([Subject("fox", box=(0, 0, 1, 1))]), "no picture yet")])
def test_what_cannot_be_drawn(pipes, layout, words):
    with pytest.raises(ValueError, match=words): granted(pipes("sdxl-plus"), layout)
    with pytest.raises(ValueError, match="no subject yet"): draw_wish(pipes("sdxl-plus"), Wish("fox", None, {}), lambda: None)

# in the player

@pytest.fixture
def player(pipes):
    p = play(pipes("sdxl-plus"), "fox hat", a_layout(("fox", "hat")), rest=.02, num_inference_steps=2)
    assert p.wait(120)
    yield p
    p.close()
    p.wait(120)

def test_the_page_has_what_was_read(player):
    "An adapter whose tokens have no place: bars, and the very numbers."
    facts, reads = player.view.facts, player.granted.reads
    assert facts["cells"] is None and [s["name"] for s in facts["subjects"]] == ["fox", "hat"]
    weights = read_map(reads, "hat", player.granted.step).reshape(-1, facts["tokens"])
    found = unpack_weights(facts["subjects"][1], facts["tokens"])
    assert abs(found - weights).max() < weights.max()/30 + 1/255
    assert "<img" not in player.screen.value and "class=\"drawn\"" in player.html()
    asks_nothing_outside(player.view.html())

def test_a_box_switches_it_off(player):
    image = player.result.image
    player.controls["is_read"].value = False
    assert player.wait(120) and player.granted.reads is None and player.view.facts == {} and "class=\"drawn\"" in player.screen.value
    assert same(player.result.image, image) and player.view.html() == ""

def test_an_error_shows_the_last_picture_faded(player):
    player.variant, player.background = "fused", "query"
    assert player.wait(120) and player.error and player.view.facts == {} and "opacity" in player.screen.value
    player.background = "zero"
    assert player.wait(120) and player.view.facts["subjects"]

def test_text_alone_reads_nothing(player):
    player.variant = "text_only"
    assert player.wait(120) and not player.error
    assert all("1" not in subject["heard"] for subject in player.view.facts.get("subjects", []))

def test_the_embedded_model_has_cells(embedded):
    p = play(embedded, "a fox and a hat", a_layout(("fox", "hat")), rest=0, num_inference_steps=2)
    assert p.wait(120) and p.view.facts["cells"] == [6, 6] and p.view.facts["grid"] == [16, 16] and len(str(p.view.facts)) < 120_000
    p.close()

# the button

def test_a_comparison_of_the_board_as_it_is(player):
    below = Compared(player, ["full", "crop_merge"])
    assert below.runs is None and len(below.children) == 2
    player.seed = 3
    below.button.click()
    assert below.worker.wait(120) and below.runs.variants == ["full", "crop_merge"] and below.runs.seeds == [3] and len(below.children) == 3
    assert player.wait(120) and same(below.runs["crop_merge", 3].image, player.result.image)
    runs, player.editor.layout = below.runs, None
    below.button.click()
    assert below.worker.wait(120) and "no subject yet" in below.words.value and below.runs is runs
