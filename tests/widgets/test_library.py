"Pictures for new boxes: which noun a name means, which drawing, whose picture."
import pytest

from anyms.images import read_image, square
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.stickers.world.sprites import DRAWINGS, sprite, all_sprites
from anyms.widgets.editor import edit
from anyms.widgets.board import NO_PICTURE
from comparisons import a_layout, added, renamed, same, talk
from conftest import picture


def test_wrong_library():
    with pytest.raises(TypeError, match="library"): edit(None, library=[1])

@pytest.mark.parametrize("name, noun", [("fox", "fox"), ("Fox", "fox"), ("fox 2", "fox"), ("fox_3", "fox"), ("an old fox", "fox")])
def test_type_fox_get_a_fox(name, noun):
    e = edit(a_layout(("hat", "crown")))
    added(e, name)
    assert same(e.layout[name].image, square(read_image(sprite(noun)))) and not e.bare and not e.bad

def test_a_name_without_a_sticker_is_said_in_place_and_named_later():
    e = edit(a_layout())
    added(e, "subject")
    assert e.message.startswith(f"subject: {NO_PICTURE}") and not e.bad and e.bare == ["subject"]
    renamed(e, "subject", "fox")
    assert e.layout["fox"].image is not None and NO_PICTURE not in e.message

def test_a_sticker_follows_its_name_and_a_given_picture_stays():
    e = edit(Layout([Subject("fox", sprite("fox", "noto"), (.1, .1, .5, .5)), Subject("hat", picture(0), (.5, .5, .9, .9))]))
    renamed(e, "fox", "penguin")
    assert same(e.layout["penguin"].image, square(read_image(sprite("penguin", "noto")))), "in the same set of drawings"
    renamed(e, "hat", "crown")
    assert same(e.layout["crown"].image, read_image(picture(0)))
    renamed(e, "penguin", "somebody")
    assert same(e.layout["somebody"].image, square(read_image(sprite("penguin", "noto")))), "a picture is never lost by a name"

def test_which_fox():
    e = edit(None)
    added(e, "fox")
    names, texts, chosen = e.drawings["9"]
    assert set(names) == {s.drawing for s in all_sprites() if s.noun == "fox"} and chosen == names[0] and len(names) <= len(DRAWINGS)
    kept = {s.drawing for s in all_sprites() if s.noun == "fox" and s.split != "train"}
    assert {n for n, t in zip(names, texts) if "kept from training" in t} == kept
    talk(e, dict(draw=9, drawing="noto"))
    assert same(e.layout["fox"].image, square(read_image(sprite("fox", "noto")))) and e.drawings["9"][2] == "noto"
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
