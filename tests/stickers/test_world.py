"The sticker world: ground truth is exact, and held-out parts stay out of training."
import pytest
import torch

from anyms.stickers import world


def test_the_world_is_as_large_as_promised():
    per_noun = {n: sum(s.noun == n for s in world.all_sprites()) for n in world.nouns()}
    assert len(per_noun) >= 100 and set(per_noun.values()) <= {4, 5, 6}
    assert len(world.PLACES) >= 8

def test_held_out_parts_never_enter_a_training_scene():
    scenes = world.sample_scenes(3000, seed=5, stickers=(1, 5), words=len(world.nouns()))
    used = {world.all_sprites()[i].split for i in scenes.sprite.unique().tolist() if i >= 0}
    assert used == {"train"}

@pytest.mark.parametrize("split", ["drawing", "noun"])
def test_held_out_parts_can_be_asked_for(split):
    scenes = world.sample_scenes(200, seed=5, stickers=(1, 3), words=len(world.nouns()), splits=(split,))
    assert {world.all_sprites()[i].split for i in scenes.sprite.unique().tolist() if i >= 0} == {split}

def test_a_tenth_is_held_out():
    by = {k: {s.noun for s in world.all_sprites() if s.split == k} for k in ("train", "noun")}
    assert len(by["noun"])/len(world.nouns()) >= .085 and not by["noun"] & by["train"]
    assert sum(s.split == "drawing" for s in world.all_sprites())/len(world.all_sprites()) >= .09

def test_same_seed_same_scene_and_size_does_not_matter():
    one, two = world.sample_scenes(20, seed=3), world.sample_scenes(20, seed=3)
    assert torch.equal(one.sprite, two.sprite) and torch.equal(one.box, two.box)
    assert torch.equal(world.render(one), world.render(two))
    small = torch.nn.functional.avg_pool2d(world.render(one, (128, 128)), 4)
    assert (small-world.render(one, (32, 32))).abs().mean() < .03

@pytest.mark.parametrize("size", [(64, 64), (48, 64), (64, 96)])
def test_boxes_are_the_visible_extent(size):
    h, w = size
    scenes = world.sample_scenes(60, seed=11, stickers=(1, 1), words=len(world.nouns()), size=size)
    empty = world.Scenes(torch.full_like(scenes.sprite, -1), scenes.box, scenes.hue, scenes.place, scenes.style)
    changed = (world.render(scenes, size)-world.render(empty, size)).abs().amax(1) > .08
    for seen, box in zip(changed, scenes.box[:, 0]):
        ys, xs = torch.nonzero(seen, as_tuple=True)
        found = torch.tensor([xs.min()/w, ys.min()/h, (xs.max()+1)/w, (ys.max()+1)/h])
        inside = torch.tensor([-1/w, -1/h, 1/w, 1/h])*1.6
        assert ((found-box)*torch.sign(inside) <= inside.abs()).all()        # nothing is painted outside its box
        assert (found-box).abs().max() < .2                                   # and the box is not much too large

def test_stickers_keep_their_aspect():
    scenes = world.sample_scenes(100, seed=2, stickers=(1, 3), size=(64, 128))
    for i, row in enumerate(scenes.sprite.tolist()):
        for j, k in enumerate(row):
            if k < 0: continue
            w, h = world.all_sprites()[k].cell[2:]
            x0, y0, x1, y1 = scenes.box[i, j].tolist()
            assert (x1-x0)*128/((y1-y0)*64) == pytest.approx(w/h, rel=1e-3)

@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
def test_stickers_on_a_grid(size):
    "Corner and longest side in whole cells, aspect kept, everything inside; without `grid` the same scenes lie anywhere."
    on, free = (world.sample_scenes(200, seed=2, stickers=(1, 3), size=size, grid=grid) for grid in (4, 0))
    assert torch.equal(on.sprite, free.sprite) and not torch.equal(on.box, free.box)
    pixels = torch.tensor([size[1], size[0]])
    corner, extent = on.box[..., :2]*pixels/4, (on.box[..., 2:]-on.box[..., :2])*pixels/4
    for number in (corner, extent.amax(-1)): assert (number-number.round()).abs().max() < 1e-3
    before = (free.box[..., 2:]-free.box[..., :2])*pixels
    assert torch.allclose(extent[..., 0]/extent[..., 1], before[..., 0]/before[..., 1], rtol=1e-3)
    assert on.box.min() >= 0 and on.box.max() <= 1+1e-6 and (on.box-free.box).abs().max() < 5/min(size)

def test_turning_the_hue_keeps_grey_and_returns_after_a_full_turn():
    turn = world.turn_hue(torch.tensor([.37, 1.]))
    assert torch.allclose(turn @ torch.ones(3), torch.ones(2, 3), atol=1e-3)
    assert torch.allclose(turn[1], torch.eye(3), atol=1e-3)

def test_captions():
    scenes = world.sample_scenes(200, seed=1, stickers=(0, 3))
    for i in range(200):
        words, short = world.caption(scenes, i), world.caption(scenes, i, nouns=False)
        assert words.endswith(short) and all(n in words for n in scenes.nouns(i))
        if not scenes.nouns(i): assert words == short

@pytest.mark.parametrize("call, message", [
    (lambda: world.sprite("dragon"), r"noun='dragon' is not in the sticker world.*fox"),
    (lambda: world.sprite("owl", "fxemoji"), r"drawing='fxemoji'.*'owl' has no such drawing; choose one of .*noto"),
    (lambda: world.sprite("fox", "clipart"), r"drawing='clipart'.*choose one of"),
    (lambda: world.sample_scenes(4, stickers=(3, 1)), r"stickers=\(3, 1\).*least <= most"),
    (lambda: world.sample_scenes(4, stickers=(1, 9)), r"stickers=\(1, 9\).*<= 5"),
    (lambda: world.sample_scenes(4, words=2, stickers=(3, 3)), r"words=2.*only 2 nouns are left for 3 stickers"),
    (lambda: world.sample_scenes(4, splits=("test",)), r"splits=\('test',\).*only 0 nouns"),
])
def test_bad_requests_to_the_world(call, message):
    with pytest.raises(ValueError, match=message): call()
