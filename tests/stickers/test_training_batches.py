"What training shows: one reference and no box, pictures and captions that belong together, noise levels."
import inspect
import pytest, torch
from anyms.stickers.model.networks import REFERENCE_SIZE
from anyms.stickers.world.sprites import CORE, all_sprites, nouns
from anyms.stickers.world.scenes import Scenes
from anyms.stickers.world.rendering import references, sticker_layer
from anyms.stickers.training.batches import close_up_batch
from anyms.stickers.training.conditioning import encode_image, encode_prompt, predict_velocity
from anyms.stickers.training.losses import sample_timesteps
from anyms.stickers.training.recipe import Recipe
from anyms.stickers.training.windows import region_batch

BATCHES = [lambda step: region_batch(step, 6), lambda step: region_batch(step, 6, 40), lambda step: close_up_batch(step, 8)]
NAMES = ["region", "window", "close-up"]

@pytest.mark.parametrize("make", BATCHES, ids=NAMES)
def test_one_reference_for_each_picture(make):
    "`reference_index` holds one number a picture, references are training drawings, and it shows the sticker that the reference shows."
    for step in range(6):
        batch = make(step)
        assert batch.reference_index.shape == batch.zoom.shape == batch.slot.shape == (len(batch),) == (len(batch.captions),)
        assert batch.references.shape[1:] == (3, REFERENCE_SIZE, REFERENCE_SIZE)
        assert int(batch.reference_index.max()) < len(batch.references)
        used = [k for k in batch.scenes.sprite.flatten().tolist() if k >= 0]
        assert {all_sprites()[k].split for k in used} <= {"train"}

@pytest.mark.parametrize("make", BATCHES, ids=NAMES)
def test_no_reference_means_an_empty_place(make):
    "That is what lets the picture outside all boxes stay empty."
    grey = 0
    for step in range(12):
        batch = make(step)
        for i in range(len(batch)):
            if (batch.references[batch.reference_index[i]] == 0).all():
                grey += 1
                assert batch.scenes.sprite[i, batch.slot[i]] == -1
            else: assert batch.scenes.sprite[i, batch.slot[i]] >= 0
    assert grey > 0

def test_the_reference_shows_the_sticker_of_its_slot():
    "Painted by itself with the same zoom, the sticker of the slot has the reference's colours."
    for step in (1, 2, 3):
        batch = region_batch(step, 8)
        for i in range(8):
            if (batch.references[i] == 0).all(): continue
            k = batch.slot[i]
            sticker, paper = batch.scenes[i:i+1], batch.references[i, :, :1, 0].T/2 + .5
            again = references(sticker.sprite[:, k], sticker.hue[:, k], REFERENCE_SIZE, paper, batch.zoom[i][None])
            assert torch.allclose(again[0], batch.references[i]/2+.5, atol=1e-5)

def test_heard_stickers_are_copies_of_one():
    "Modes with several heard places hold one drawing; other modes are heard at one place only."
    kinds = set()
    for step in range(16):
        batch = region_batch(step, 6)
        for row in batch.scenes.sprite.tolist():
            stickers = [k for k in row if k >= 0]
            kinds.add((len(stickers), len(set(stickers))))
    assert (2, 1) in kinds or (3, 1) in kinds            # the same sticker twice
    assert any(different > 1 for _, different in kinds)   # others beside it

def test_nothing_but_a_mask_carries_a_place():
    for function in (predict_velocity, encode_image, encode_prompt):
        assert not {"box", "boxes", "region", "layout", "mask"} & set(inspect.signature(function).parameters)

def test_shared_references():
    batch = close_up_batch(2, 16, images_per_reference=4)
    assert len(batch.references) == 5 and (batch.references[4] == 0).all()
    present = batch.reference_index < 4
    assert torch.equal(batch.reference_index[present], (torch.arange(16)//4)[present])
    assert len({tuple(b) for b in batch.scenes.box[:4, 0].tolist()}) == 4   # other places and sizes

def test_windows_show_what_the_scene_shows():
    "A window's pixels are the scene's, and its boxes are where the stickers are in it."
    batch = region_batch(3, 6, 40)
    assert batch.images.shape == (6, 3, 40, 40)
    empty = Scenes(torch.full_like(batch.scenes.sprite, -1), batch.scenes.box, batch.scenes.hue, batch.scenes.place, batch.scenes.style)
    alone = (batch.scenes.sprite >= 0).sum(1) == 1
    for i in alone.nonzero()[:, 0].tolist():
        k = int((batch.scenes.sprite[i] >= 0).nonzero()[0])
        one = batch.scenes[i:i+1]
        layer = sticker_layer(one.sprite[:, k], one.box[:, k], one.hue[:, k], (40, 40))[0]
        inside = layer[3] > .99
        assert (batch.images[i][:, inside] - layer[:3, inside].clamp(0, 1)).abs().mean() < .03
    assert len(empty) == 6

def test_captions_may_say_more_than_is_seen():
    "With `extra_nouns` some caption names a noun that does not stand in the picture; without it none does."
    def strangers(recipe):
        found = 0
        for step in range(10):
            batch = region_batch(step, 8, 40, recipe)
            for i, said in enumerate(batch.captions):
                here = set(batch.scenes.nouns(i))
                found += any(noun in said.replace(",", "").split() and noun not in here for noun in nouns()[:CORE])
        return found
    assert strangers(Recipe()) > 0 == strangers(Recipe(extra_nouns=False))

def test_noise_levels():
    drawn, even = (sample_timesteps(8000, 1000, torch.Generator().manual_seed(0), decisive) for decisive in (True, False))
    assert 0 <= int(drawn.min()) and int(drawn.max()) < 1000
    assert (drawn >= 820).float().mean() > .28 > .22 > (even >= 820).float().mean()-.02 and (drawn < 300).float().mean() < .18
