"Layouts to be judged on: reproducible, as asked for, and scenes that they describe."
import json

import pytest
import torch

from anyms.stickers.judge.boxes import worst_overlap
from anyms.stickers.judge.testset import as_layout, held_out_layouts, scenes_of
from anyms.stickers.world.sprites import CORE, nouns, all_sprites
from anyms.stickers.world.backgrounds import PLACES
from anyms.stickers.world.scenes import SIZES
from anyms.stickers.world.rendering import render


@pytest.fixture(scope="module")
def truth(): return held_out_layouts(36)

def test_layouts_are_reproducible_and_longer_sets_begin_alike():
    assert held_out_layouts(30)[:10] == held_out_layouts(10)
    assert held_out_layouts(4, seed=1) != held_out_layouts(4, seed=2)
    assert json.loads(json.dumps(held_out_layouts(3))) == held_out_layouts(3)
    assert len({t["id"] for t in held_out_layouts(200)}) == 200

@pytest.mark.parametrize("overlapping", [True, False, None])
def test_layouts_overlap_as_they_say(overlapping):
    some = held_out_layouts(60, overlapping=overlapping, hue=.5)
    assert {t["overlapping"] for t in some} == ({True, False} if overlapping is None else {overlapping})
    for t in some:
        worst = worst_overlap(torch.tensor([t["boxes"]])).item()
        assert .149 < worst < .601 if t["overlapping"] else worst == 0
        assert len(t["nouns"]) == len(set(t["nouns"])) == len(t["boxes"]) == len(t["sprites"]) == len(t["hue"])
        assert 2 <= len(t["nouns"]) <= 4
        assert all(nouns().index(n) < CORE for n in t["nouns"]) and t["place"] in [p.name for p in PLACES[:4]]
        assert all(n in t["prompt"] for n in t["nouns"])
        low, high = SIZES[len(t["nouns"])]
        assert all(low-1e-3 <= max(b[2]-b[0], b[3]-b[1]) <= high+1e-3 for b in t["boxes"])
    assert {len(t["nouns"]) for t in some} == {2, 3, 4}

def test_layouts_of_held_out_parts_only():
    assert all(all_sprites()[k].split == "noun" for t in held_out_layouts(6, words=155, splits=("noun",)) for k in t["sprites"])
    assert all(all_sprites()[k].split == "drawing" for t in held_out_layouts(6, splits=("drawing",)) for k in t["sprites"])

@pytest.mark.parametrize("kw, words", [
    (dict(overlapping="yes"), "overlapping='yes': give True, False or None"),
    (dict(splits=("test",)), "splits=('test',): choose from train, drawing, noun"),
    (dict(splits=()), "choose from train"),
    (dict(overlapping=True, subjects=(1, 2)), "one subject cannot overlap"),
    (dict(subjects=(2, 9)), "subjects"),
    (dict(subjects=(3, 2)), "subjects"),
    (dict(words=1), "only 1 nouns are left"),
])
def test_layouts_refuse_bad_wishes(kw, words):
    with pytest.raises(ValueError) as e: held_out_layouts(4, **kw)
    assert words in str(e.value)

def test_true_scenes_are_those_the_layouts_describe(truth):
    scenes = scenes_of(truth)
    assert scenes.nouns(0) == truth[0]["nouns"] and (scenes.sprite[0, len(truth[0]["nouns"]):] == -1).all()
    assert torch.allclose(scenes.box[1, :len(truth[1]["boxes"])], torch.tensor(truth[1]["boxes"]))
    assert render(scenes[:4]).isfinite().all()

def test_as_layout(truth):
    layout = as_layout(truth[1])
    assert list(layout.names) == truth[1]["nouns"] and list(layout.order) == list(range(len(layout)))
    assert torch.allclose(torch.tensor([list(b) for b in layout.boxes]), torch.tensor(truth[1]["boxes"]))
    assert all(i.size == (96, 96) and i.getpixel((0, 0)) == (255, 255, 255) for i in layout.images)
