"Different layouts in one batch are what each is alone; the pipeline comes back as it was; the painter outlives what goes wrong."
import numpy as np
import pytest
from PIL import Image

from anyms.attention.adapter import find_processors
from anyms.classroom.messages import Drawing, Sticker
from anyms.classroom.painter import Painter, draw_layouts, layout_of, sticker_painter
from anyms.classroom.room import Room
from anyms.pipeline.generation import generate
from anyms.pipeline.loading import load

DRAWINGS = [
    Drawing("on the beach", (Sticker("fox", (.05, .3, .5, .9)), Sticker("tree", (.55, .1, .95, .9)))),
    Drawing("at night", (Sticker("owl", (.25, .2, .8, .85)),)),
    Drawing("in the snow", (Sticker("penguin", (.2, .3, .8, .95)), Sticker("hat", (.3, .08, .7, .5)), Sticker("penguin", (.02, .02, .3, .3)))),  # overlap
]
STEPS = 3

@pytest.fixture(scope="module")
def pipe(): return load("stickers")

def apart(a, b): return int(np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int)).max())

def orders_of(room, drawings):
    for i, drawing in enumerate(drawings): room.submit(room.join(room.code, f"address {i}"), drawing)

def dots(orders): return [Image.new("RGB", (8, 8), (order.number, 0, 0)) for order in orders]

def test_a_batch_is_what_each_is_alone(pipe):
    layouts, prompts = zip(*map(layout_of, DRAWINGS))
    together = draw_layouts(pipe, layouts, prompts, [5, 6, 7], STEPS)
    for i, image in enumerate(together):
        alone = generate(pipe, prompts[i], layouts[i], "crop_merge", seed=5 + i, num_inference_steps=STEPS, progress=False).image
        assert apart(image, alone) <= 2, f"picture {i}"
    assert apart(together[0], together[1]) > 30

def test_whoever_is_in_the_batch_a_picture_is_the_same(pipe):
    layouts, prompts = zip(*map(layout_of, DRAWINGS))
    forth = draw_layouts(pipe, layouts, prompts, [5, 6, 7], STEPS)
    back = draw_layouts(pipe, layouts[::-1], prompts[::-1], [7, 6, 5], STEPS)
    assert max(apart(a, b) for a, b in zip(forth, back[::-1])) <= 2

def test_the_pipeline_is_as_it_was(pipe):
    state = [*find_processors(pipe.unet).values(), pipe.unet.encoder_hid_proj, *pipe.unet._forward_pre_hooks.values()]
    layouts, prompts = zip(*map(layout_of, DRAWINGS))
    draw_layouts(pipe, layouts, prompts, [0, 1, 2], 1)
    with pytest.raises(ValueError): draw_layouts(pipe, layouts, prompts, [], 1)
    after = [*find_processors(pipe.unet).values(), pipe.unet.encoder_hid_proj, *pipe.unet._forward_pre_hooks.values()]
    assert len(state) == len(after) and all(a is b for a, b in zip(state, after))

def test_prompts_say_what_is_there():
    assert [layout_of(drawing)[1] for drawing in DRAWINGS] == [
        "a fox and a tree on the beach", "an owl at night", "two penguins and a hat in the snow"]
    assert layout_of(DRAWINGS[2])[0].names == ["penguin", "hat", "penguin 2"]

def test_every_sticker_can_be_drawn():
    from anyms.stickers.world.sprites import nouns
    for noun in nouns():
        layout, prompt = layout_of(Drawing("in a room", (Sticker(noun, (0, 0, .5, .5)),)))
        assert noun in prompt and layout[0].image is not None

def test_the_real_painter_fills_the_wall(pipe):
    room = Room()
    orders_of(room, [DRAWINGS[i % 3] for i in range(7)])
    painter = Painter(room, sticker_painter(pipe, 2), batch=4)
    assert [painter.work(), painter.work(), painter.work()] == [4, 3, 0]
    assert room.drawn == 7 and all(picture[8:12] == b"WEBP" for picture in room.pictures.values())

def test_a_broken_batch_harms_no_other(capsys):
    room, seen = Room(), []
    orders_of(room, DRAWINGS)
    def brittle(orders):
        seen.append([order.number for order in orders])
        if len(seen) == 1: raise MemoryError("too large")
        return dots(orders)
    painter = Painter(room, brittle, batch=2)
    painter.work()
    painter.work()
    assert seen == [[1, 2], [3]] and [phone.order.state for phone in room.phones.values()] == ["failed", "failed", "done"]
    assert "too large" in capsys.readouterr().err

def test_nothing_is_written_unless_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    room = Room()
    orders_of(room, DRAWINGS)
    Painter(room, dots).work()
    assert list(tmp_path.rglob("*")) == []
    orders_of(room, DRAWINGS[:1])
    Painter(room, dots, keep=tmp_path).work()
    assert [path.name for path in tmp_path.iterdir()] == ["picture-0004.png"]

def test_the_thread_draws_and_ends():
    room = Room()
    with Painter(room, dots) as painter:
        orders_of(room, DRAWINGS)
        with room.changed: assert room.changed.wait_for(lambda: room.drawn == 3, 10)
    assert not painter.thread.is_alive()
