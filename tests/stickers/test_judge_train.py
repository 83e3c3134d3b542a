"Training the judge: pictures that stay pictures, and runs that go on."

import torch

from anyms.stickers.judge.judge import load_judge
from anyms.stickers.judge.train import degrade, train_detector, train_embedder
from anyms.stickers.judge.weights import save_judge
from anyms.stickers.world.rendering import render
from anyms.stickers.world.scenes import sample_scenes


def test_degraded_pictures_stay_pictures():
    x = render(sample_scenes(6, seed=1))
    y = degrade(x, torch.Generator().manual_seed(0), 1.)
    assert y.shape == x.shape and y.min() >= 0 and y.max() <= 1 and .005 < (x-y).abs().mean() < .2
    assert torch.equal(degrade(x, torch.Generator().manual_seed(0), 0.), x)

def test_training_goes_on_where_it_stopped(tmp_path):
    def quiet(*a, **k): pass
    one = train_detector(tmp_path, .004, batch=2, report=quiet)
    two = train_detector(tmp_path, .004, batch=2, report=quiet)
    assert two.seen > one.seen > 0
    assert train_embedder(tmp_path, .004, groups=2, report=quiet).seen > 0
    save_judge(tmp_path, tmp_path/"w")
    assert load_judge(tmp_path/"w").card["training"]["detector"]["seen"] == two.seen
