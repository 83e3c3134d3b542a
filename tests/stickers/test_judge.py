"The judge: who is missing, what it says of true and of wrong pictures, and of pictures that nobody knows the truth of."
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.stickers.judge.detections import Detections
from anyms.stickers.judge.detector import Detector
from anyms.stickers.judge.embedder import Embedder
from anyms.stickers.judge.judge import GALLERY, Judge, gallery, load_judge, missing_and_ghosts
from anyms.stickers.judge.limits import ceiling
from anyms.stickers.judge.scores import bootstrap
from anyms.stickers.judge.testset import as_layout, held_out_layouts, scenes_of
from anyms.stickers.world.sprites import nouns, all_sprites
from anyms.stickers.world.rendering import render


@pytest.fixture(scope="module")
def judge(): return load_judge()

@pytest.fixture(scope="module")
def fresh():
    torch.manual_seed(0)
    return Judge(Detector(), Embedder())

@pytest.fixture(scope="module")
def truth(): return held_out_layouts(36)

@pytest.fixture(scope="module")
def rows(judge, truth): return ceiling(judge, truth)

def seen(*detections):
    "Detections of (noun, box, score)."
    noun = torch.tensor([nouns().index(n) for n, *_ in detections], dtype=torch.long)
    box, score = torch.tensor([b for _, b, _ in detections]).view(-1, 4), torch.tensor([s for *_, s in detections])
    return Detections(box, score, torch.nn.functional.one_hot(noun, len(nouns())).float(), torch.zeros(10))

HOME, AWAY = (.1, .1, .5, .5), (.6, .6, .9, .9)

def test_gallery_holds_every_other_drawing_of_the_noun(truth):
    for t in truth[:6]:
        for j, noun in enumerate(t["nouns"]):
            pick = gallery(t, j).tolist()
            assert len(set(pick)) == GALLERY and pick[0] == t["sprites"][j]
            assert {i for i, s in enumerate(all_sprites()) if s.noun == noun} <= set(pick)
            assert pick == gallery(t, j).tolist()

@pytest.mark.parametrize("detections, missing, ghost", [
    ([("fox", HOME, .9)], False, False),
    ([], True, False),
    ([("cat", HOME, .9)], True, False),                                # somebody else stands there
    ([("fox", HOME, .1)], True, False),                                # too weak to count as seen
    ([("fox", AWAY, .9)], True, True),
    ([("fox", HOME, .9), ("fox", AWAY, .8)], False, True),
    ([("fox", (.1, .1, .5, .89), .9)], False, False),                  # a little more than half of it is inside
    ([("fox", (.1, .1, .5, .91), .9)], True, True),                    # a little less
    ([("fox", (0., 0., 1., 1.), .9)], True, True),                     # as large as the picture: not in its box
    ([("cat", AWAY, .9)], True, False),                                # of a noun that nobody named
])
def test_missing_and_ghosts(detections, missing, ghost):
    m, g = missing_and_ghosts(seen(*detections), dict(nouns=["fox"], boxes=[HOME]))
    assert (m.tolist(), g.tolist()) == ([missing], [ghost])

def test_the_judge_counts_pictures_once(judge):
    truth = held_out_layouts(8, subjects=(2, 2), overlapping=False)
    gone = [t | dict(boxes=[t["boxes"][1], t["boxes"][0]]) for t in truth]   # true pictures, asked for swapped boxes: everybody is away
    rows = judge(render(scenes_of(truth)), gone)
    value = bootstrap(rows, n=20).set_index("figure").value
    assert value.missing > .9 and value.incomplete == 1 and value.ghost > .8 and value.stands > .7
    own = bootstrap(judge(render(scenes_of(truth)), truth), n=20).set_index("figure").value
    assert own.missing < .1 and own.ghost < .1 and own.incomplete >= own.missing

def test_as_many_pictures_as_layouts(fresh, truth):
    with pytest.raises(ValueError, match="2 pictures for 3 layouts"): fresh(torch.zeros(2, 3, 64, 64), truth[:3])

def test_an_untrained_judge_finds_nothing_and_still_answers(fresh, truth):
    rows = fresh(torch.rand(4, 3, 64, 64), truth[:4])
    assert (rows[rows.kind == "subject"].iou == 0).all() and len(rows[rows.kind == "subject"]) == sum(len(t["nouns"]) for t in truth[:4])

def test_ceilings_are_high(rows):
    value = bootstrap(rows, n=50).set_index("figure").value
    assert value.mIoU > .75 and value.mIoU_any > .8 and value.AP50 > .85 and value.identity > .9 and value.text > .85 and value.scene > .97

def test_wrong_pictures_get_low_figures(judge, truth, rows):
    wrong = judge(render(scenes_of(truth)), truth[1:]+truth[:1])
    value = bootstrap(wrong, n=50).set_index("figure").value
    assert value.mIoU < .15 and value.text < .2 and value.identity < .2 and value.AP50 < .15

def test_a_flipped_layout_is_noticed_where_nouns_are_not(judge):
    truth = held_out_layouts(12, subjects=(2, 2), overlapping=False)
    swapped = [t | dict(boxes=t["boxes"][::-1]) for t in truth]
    rows = judge(render(scenes_of(truth)), swapped)
    rows = rows[rows.kind == "subject"]
    assert rows.text.mean() > .8 and rows.iou.mean() < .1 and rows.iou_any.mean() > .7
    assert rows.identity.mean() < .2 and rows.identity_anywhere.mean() > .7

def test_a_picture_twice_as_large_or_wide_is_read_alike(judge, truth, rows):
    large = ceiling(judge, truth[:12], (128, 128))
    small = rows[rows.layout.isin({t["id"] for t in truth[:12]})]
    assert large.iou.mean() == pytest.approx(small.iou.mean(), abs=.12)
    apart = held_out_layouts(8, overlapping=False)
    wide_ = ceiling(judge, apart, (64, 96))
    assert wide_.iou.mean() > .5 and wide_.text.mean() > .6           # stickers stretched by half

def test_the_same_picture_gets_the_same_rows_alone_or_in_company(judge, truth):
    x = render(scenes_of(truth[:4]))
    together, alone = judge(x, truth[:4]), judge(x[2:3], truth[2:3])
    def of(r): return r[(r.layout == truth[2]["id"]) & (r.kind == "subject")].iou.to_numpy()
    assert np.allclose(of(together), of(alone), atol=1e-3)

def test_hues_matter_to_identity(judge):
    fox = torch.tensor([i for i, s in enumerate(all_sprites()) if s.noun == "fox"])
    plain, turned = judge.embed(fox), judge.embed(fox, .5)
    assert ((plain*turned).sum(1) < .9).all()

def test_metrics_of_a_result(judge, truth):
    t = next(t for t in truth if not t["overlapping"])
    result = SimpleNamespace(image=Image.fromarray((render(scenes_of([t]))[0].permute(1, 2, 0)*255).byte().numpy()), layout=as_layout(t))
    numbers = judge.metrics(result)
    assert set(numbers) == {"mIoU", "mIoU_any", "text", "likeness"} and numbers["mIoU_any"] > .6 and numbers["likeness"] > .5
    dragon = Layout([Subject("dragon", image=result.layout.images[0], box=(0, 0, .5, .5))])
    other = SimpleNamespace(image=Image.new("RGB", (64, 64)), layout=dragon)
    assert set(judge.metrics(other)) == {"mIoU_any", "likeness"}
