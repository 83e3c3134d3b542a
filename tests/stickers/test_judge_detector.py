"The detector: its targets, any size of picture, and a loss that falls."

import pytest
import torch

from anyms.stickers.judge.detector import Detector, detection_targets, detector_loss
from anyms.stickers.judge.embedder import Embedder
from anyms.stickers.judge.judge import Judge
from anyms.stickers.world.rendering import render
from anyms.stickers.world.scenes import sample_scenes


@pytest.fixture(scope="module")
def fresh():
    torch.manual_seed(0)
    return Judge(Detector(), Embedder())

def test_targets_have_one_peak_per_sticker_and_own_its_middle():
    box = torch.tensor([[[.1, .1, .4, .4], [.5, .5, 1., 1.], [0., 0, 1, 1]]])
    heat, owner, cells_ = detection_targets(box, torch.tensor([[True, True, False]]), (16, 16))
    assert (heat == 1).sum() == 2 and heat[0, 4, 4] == 1 and heat[0, 12, 12] == 1
    assert set(owner.unique().tolist()) == {-1, 0, 1} and owner[0, 4, 4] == 0 and owner[0, 12, 12] == 1
    assert (cells_[0, 0] == box[0, 0]*16).all()
    assert (detection_targets(box, torch.zeros(1, 3, dtype=torch.bool), (16, 16))[1] == -1).all()

def test_targets_of_a_sticker_at_the_very_edge_stay_inside():
    heat, owner, _ = detection_targets(torch.tensor([[[.97, .97, 1., 1.]]]), torch.ones(1, 1, dtype=torch.bool), (16, 24))
    assert heat[0, 15, 23] == 1 and owner[0, 15, 23] == 0

@pytest.mark.parametrize("h, w", [(64, 64), (64, 100), (68, 36), (4, 4), (128, 96)])
def test_detector_takes_any_multiple_of_four(fresh, h, w):
    heat, edges, features, place = fresh.detector(torch.rand(2, 3, h, w))
    assert heat.shape == (2, h//4, w//4) and edges.shape == (2, h//4, w//4, 4)
    assert features.shape[:3] == heat.shape and place.shape == (2, 10)
    assert (edges > 0).all()

def test_one_training_step_lowers_the_loss_of_its_own_batch():
    torch.manual_seed(0)
    net = Detector()
    scenes = sample_scenes(8, seed=4, stickers=(0, 3))
    x = render(scenes)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    losses = []
    for _ in range(6):
        loss = detector_loss(net, x, scenes)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < .8*losses[0]

def test_scenes_without_stickers_are_a_lesson_too():
    scenes = sample_scenes(4, seed=4, stickers=(0, 0))
    assert detector_loss(Detector(), render(scenes), scenes).isfinite()
