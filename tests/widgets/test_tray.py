"The sticker tray without a browser: what lies in it, what is placed, and pictures of one's own."
import io

import pytest
from PIL import Image

from anyms.images import read_image, square
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.stickers.world.sprites import all_sprites, sprite
from anyms.widgets.editor import edit
from anyms.widgets.library import TILE, StickerLibrary, picture_of_file, tray_tiles
from anyms.widgets.page import static_source
from comparisons import a_layout, image_of, same, talk
from conftest import picture


def placed(e, name, drawing, i=9, box=(.6, .5, .96, .86)):
    "What the page asks for when a sticker is dropped."
    return talk(e, dict(sticker=dict(id=i, name=name, box=list(box), drawing=drawing)))

# what lies in it

def test_every_word_has_its_drawings_six_at_most():
    stickers = StickerLibrary()
    some = stickers.nouns[::20]
    tiles = tray_tiles(stickers, some)
    for noun in some:
        assert {drawing for drawing, words, uri in tiles[noun]} == {s.drawing for s in all_sprites() if s.noun == noun}
        assert 1 <= len(tiles[noun]) <= 6
    assert tiles.keys() == set(some)

def test_a_tile_is_its_sticker_small():
    drawing, words, uri = tray_tiles(StickerLibrary(), ["fox"])["fox"][0]
    tile, whole = image_of(uri), square(read_image(sprite("fox", drawing)))
    assert tile.size == (TILE, TILE)
    a, b = (sum(im.convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))) for im in (tile, whole))
    assert abs(a - b) < 12

def test_the_page_asks_for_what_it_shows():
    e = edit(None)
    said = talk(e, dict(tray=["fox", "hat", "zebra", "fox"], most=1))
    assert list(said[0]["tray"]) == ["fox", "hat"] and len(said[0]["tray"]["fox"]) == 1
    assert any("kept from training" in words for _, words, _ in talk(e, dict(tray=["fox"], most=6))[0]["tray"]["fox"])
    assert not e.bad and not e.undoable

def test_the_whole_tray_is_light():
    stickers = StickerLibrary()
    assert sum(len(t[0][2]) for t in tray_tiles(stickers, stickers.nouns, 1).values()) < 500_000

def test_pictures_of_ones_own_lie_in_the_tray_too():
    e = edit(None, library={"balloon": picture(5)})
    [[drawing, words, uri]] = talk(e, dict(tray=["balloon"]))[0]["tray"]["balloon"]
    assert (drawing, words) == ("", "") and image_of(uri).size == (TILE, TILE)
    assert edit(None, library=None).nouns == []

# placed

@pytest.mark.parametrize("drawing", ["noto", "twemoji", ""])
def test_the_drawing_that_was_dragged_lies_on_the_board(drawing):
    e = edit(a_layout())
    placed(e, "fox 2", drawing)
    wanted = sprite("fox", drawing) if drawing else sprite("fox")
    assert same(e.layout["fox 2"].image, square(read_image(wanted))) and not e.bad
    assert "drawing" not in e.boxes[-1], "the board knows it by its picture"

def test_a_placed_sticker_is_taken_back_at_once_and_comes_again():
    e = edit(a_layout())
    before = e.layout
    placed(e, "owl", "noto")
    after = e.layout
    talk(e, dict(undo=-1))
    assert e.layout == before and e.redoable and not e.undoable
    talk(e, dict(undo=1))
    assert e.layout == after and same(e.layout["owl"].image, square(read_image(sprite("owl", "noto"))))

def test_a_sticker_on_a_box_without_a_picture_becomes_its_picture():
    e = edit(Layout([Subject("subject", box=(.1, .1, .5, .5))]))
    e.boxes = [dict(e.boxes[0], name="fox", drawing="noto")]
    assert same(e.layout["fox"].image, square(read_image(sprite("fox", "noto")))) and e.layout["fox"].box.x0 == .1
    e.undo()
    assert e.bare == ["subject"]

def test_a_drawing_that_does_not_exist_is_the_first_one():
    e = edit(None)
    placed(e, "fox", "rembrandt", 0)
    assert same(e.layout["fox"].image, square(read_image(sprite("fox", StickerLibrary().drawings("fox")[0]))))

def test_two_stickers_in_one_breath_lose_nothing():
    "The page asks for the second before it has heard of the first, perhaps under the same id."
    e = edit(a_layout())
    placed(e, "owl", "noto", 2)
    placed(e, "tree", "noto", 2)
    assert e.layout.names == ["fox", "crown", "owl", "tree"] and [b["id"] for b in e.boxes] == [0, 1, 2, 3] and e.last == 3

@pytest.mark.parametrize("name, box, words", [("fox", (0, 0, .5, .5), "occurs twice"), ("owl", (.5, .5, 1.4, .9), "outside the picture"),
                                              (7, (0, 0, .5, .5), "name")])
def test_a_sticker_that_cannot_be_placed(name, box, words):
    e = edit(a_layout())
    before = e.layout
    placed(e, name, "noto", box=box)
    assert e.bad and words in e.message and e.layout is before

def test_a_new_box_may_name_its_drawing_too():
    e = edit(None)
    e.boxes = [dict(id=0, name="fox", box=[0, 0, .5, .5], drawing="noto")]
    assert same(e.layout["fox"].image, square(read_image(sprite("fox", "noto"))))

# a picture of one's own, dropped or pasted

def png(fill=(200, 30, 30), mode="RGB", size=(12, 12)):
    file = io.BytesIO()
    Image.new(mode, size, fill).save(file, "PNG")
    return file.getvalue()

def dropped(e, content, i=9, name="my cat", box=(.5, .5, .9, .9)):
    return talk(e, dict(place=dict(id=i, name=name, box=list(box)), file="my cat.png"), [content])

def test_a_dropped_picture_is_a_new_subject():
    e = edit(a_layout())
    before = e.layout
    dropped(e, png())
    assert e.layout["my cat"].image.getpixel((3, 3)) == (200, 30, 30) and tuple(e.layout["my cat"].box) == (.5, .5, .9, .9)
    assert (e.last, e.selected) == (9, 9) and not e.bad
    e.undo()
    assert e.layout == before
    e.redo()
    assert e.layout.names[-1] == "my cat"

def test_transparent_parts_are_said():
    e = edit(None)
    dropped(e, png((200, 30, 30, 120), "RGBA"), 0)
    assert "transparent parts" in e.message and not e.bad

@pytest.mark.parametrize("content, change, words", [
    (b"no picture", {}, "cannot be read"), (png(size=(1, 1)), {}, "too small"), (png(), dict(name="fox"), "occurs twice"),
    (png(), dict(name=" "), "is empty"), (png(), dict(box=(.5, .5, 1.4, .9)), "outside the picture")])
def test_what_cannot_be_placed_is_said_and_nothing_changes(content, change, words):
    e = edit(a_layout())
    before = e.layout
    dropped(e, content, **change)
    assert e.bad and words in e.message and e.layout is before
    e.undo()
    assert e.layout == before and not e.bad

def test_a_file_that_is_no_picture():
    with pytest.raises(ValueError, match=r"'notes.txt' cannot be read as an image"): picture_of_file(b"hello", "notes.txt")

# the page

def test_the_tray_writes_names_as_text():
    code = static_source("tray.js")
    assert "innerHTML" not in code and "aria-label" in code and "role: 'status'" in code
