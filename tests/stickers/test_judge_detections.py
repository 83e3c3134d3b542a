"From cells to boxes with names: decoding, pictures of every kind, and drawing."

import numpy as np
import pytest
import torch
from PIL import Image, ImageFont

from anyms.stickers.judge.detections import LABEL_HEIGHT, Detections, _flow, detect, detection_labels, draw_detections, prepare_image
from anyms.stickers.judge.judge import load_judge
from anyms.stickers.judge.testset import held_out_layouts, scenes_of
from anyms.stickers.world.sprites import nouns
from anyms.stickers.world.rendering import render
from anyms.stickers.world.scenes import sample_scenes


@pytest.fixture(scope="module")
def judge(): return load_judge()

@pytest.fixture(scope="module")
def truth(): return held_out_layouts(36)

class Planted(torch.nn.Module):
    "A detector that answers what it is told."
    def __init__(self, grid, peaks):
        super().__init__()
        self.grid, self.peaks = grid, peaks
    def noun(self, features): return 20.*torch.nn.functional.one_hot(features[:, 0].long(), len(nouns())).float()
    def forward(self, x):
        gh, gw = self.grid
        b = len(x)
        heat, edges, features = torch.full((b, gh, gw), -9.), torch.ones(b, gh, gw, 4), torch.zeros(b, gh, gw, 1)
        for y, x_, logit, ltrb, noun in self.peaks:
            heat[:, y, x_], edges[:, y, x_], features[:, y, x_] = logit, torch.tensor(ltrb), noun
        return heat, edges, features, torch.zeros(b, 10)

def test_decoding_reads_box_and_noun_and_drops_doubles():
    net = Planted((8, 16), [
        (4, 4, 3., (2.5, 2.5, 2.5, 1.5), 7),
        (4, 6, 1., (4.5, 2.5, .5, 1.5), 8),
        (4, 8, .5, (4.5, 2.5, .5, 1.5), 7),
        (1, 12, 0., (.5, .5, 9., .5), 9),
        (7, 15, -5., (1., 1, 1, 1), 3)])
    found, = detect(net, torch.zeros(1, 3, 32, 64))
    assert len(found) == 2                                            # the second and third repeat the first, the last is too weak
    assert torch.allclose(found.box[0], torch.tensor([2/16, 2/8, 7/16, 6/8]))
    assert found.box[1, 2] == 1                                       # cut at the picture's edge
    assert found.noun.argmax(1).tolist() == [7, 9] and found.score[0] > found.score[1]
    assert len(detect(net, torch.zeros(1, 3, 32, 64), overlap=1.)[0]) == 4
    assert len(detect(net, torch.zeros(1, 3, 32, 64), overlap=.9)[0]) == 3
    assert nouns()[7] in repr(found)

def test_prepare_image_reads_every_kind_of_picture():
    x = render(sample_scenes(1, seed=2))[0]
    array = (x.permute(1, 2, 0)*255).round().byte().numpy()
    assert prepare_image(x) is not None and torch.equal(prepare_image(x), x)
    assert torch.allclose(prepare_image(Image.fromarray(array)), prepare_image(array)) and (prepare_image(array)-x).abs().max() < .003
    assert prepare_image(Image.new("RGB", (200, 100))).shape == (3, 64, 128)
    assert prepare_image(Image.new("RGBA", (33, 50))).shape == (3, 96, 64)

@pytest.mark.parametrize("image, kind, words", [
    (torch.zeros(1, 64, 64), TypeError, "a picture is PIL"),
    (torch.zeros(2, 3, 64, 64), TypeError, "a picture is PIL"),
    ("fox.png", TypeError, "not str"),
    (torch.full((3, 64, 64), -1.), ValueError, "values must lie in 0..1"),
    (torch.full((3, 64, 64), float("nan")), ValueError, "values must lie in 0..1"),
])
def test_prepare_image_refuses(image, kind, words):
    with pytest.raises(kind) as e: prepare_image(image)
    assert words in str(e.value)

def test_draw_detections(judge, truth):
    x = render(scenes_of(truth[:5]))
    sheet = draw_detections(x, judge.detect(x), truth, columns=3, size=96)
    assert sheet.width == 3*(96+6) and sheet.height > 2*(96+LABEL_HEIGHT)

def test_labels_stand_below_the_picture_and_cover_nothing_of_it(judge, truth):
    x = render(scenes_of(truth[:1]))
    found = judge.detect(x)
    bare = Image.fromarray((x[0].permute(1, 2, 0)*255).byte().numpy()).resize((192, 192), Image.Resampling.NEAREST)
    sheet = np.asarray(draw_detections(x, found, None, columns=1))
    frames = np.zeros((192, 192), bool)
    for box in (found[0].box*191).round().int().tolist():
        for x0, y0, x1, y1 in [box]:
            frames[max(y0-2, 0):y1+3, max(x0-2, 0):x1+3] = True
            if x1-x0 > 8 and y1-y0 > 8: frames[y0+3:y1-2, x0+3:x1-2] = False
    same = (sheet[:192, :192] == np.asarray(bare)).all(-1)
    assert same[~frames].all()                                     # as a label inside a box would not leave it
    assert (sheet[192:] < 255).any()                               # the labels are there

def test_labels_wrap_and_leave_out_what_is_not_seen():
    noun = torch.nn.functional.one_hot(torch.tensor([nouns().index(n) for n in ("fox", "strawberry", "crown")]), len(nouns())).float()
    found = Detections(torch.rand(3, 4), torch.tensor([.9, .5, .1]), noun, torch.zeros(10))
    assert detection_labels(found) == [(0, "fox .90"), (1, "strawberry .50")]
    font = ImageFont.load_default(11)
    places = _flow(["fox .90", "strawberry .50", "fox .90"], 90, font)
    assert [line for _, line in places] == [0, 1, 2] and all(x == 2 for x, _ in places)
    assert _flow(["fox .90"]*2, 200, font)[1][0] > 30
