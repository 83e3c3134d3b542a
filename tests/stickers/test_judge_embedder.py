"The embedder: crops, unit vectors, and batches that hold every drawing."

import pytest
import torch

from anyms.stickers.judge.detector import Detector
from anyms.stickers.judge.embedder import Embedder, crops, identity_batch
from anyms.stickers.judge.judge import Judge
from anyms.stickers.world.sprites import all_sprites


@pytest.fixture(scope="module")
def fresh():
    torch.manual_seed(0)
    return Judge(Detector(), Embedder())

def test_embeddings_are_unit_vectors(fresh):
    v = fresh.embedder(torch.rand(5, 3, 32, 32))
    assert v.shape == (5, 64) and torch.allclose(v.norm(dim=1), torch.ones(5), atol=1e-5)

def test_crops_are_square_and_centred():
    x = torch.zeros(1, 3, 64, 96)
    x[:, 0, 16:32, 24:48] = 1          # a red box, 16 high, 24 wide
    crop = crops(x, torch.tensor([0]), torch.tensor([[24/96, 16/64, 48/96, 32/64]]), margin=1.)[0]
    assert crop.shape == (3, 32, 32) and crop[0, 16, 1:-1].min() > .9   # full width
    assert crop[0, :4].max() < .1 and crop[0, -4:].max() < .1           # bands above and below: the aspect is kept
    edge = crops(torch.ones(1, 3, 64, 64), torch.tensor([0]), torch.tensor([[.8, .8, 1., 1.]]))
    assert (edge > .99).all()                                          # beyond the picture its border goes on

def test_identity_batch_holds_every_drawing_of_its_nouns():
    scenes = identity_batch(3, groups=6, stickers=1)
    names = [all_sprites()[i].noun for i in scenes.sprite[:, 0].tolist()]
    assert len(set(names)) == 6
    for n in set(names): assert names.count(n) == sum(s.noun == n for s in all_sprites())
    assert (scenes.box >= -1e-6).all() and (scenes.box <= 1+1e-6).all()
    side = (scenes.box[..., 2:]-scenes.box[..., :2])[:, 0]
    cell = torch.tensor([all_sprites()[i].cell[2:] for i in scenes.sprite[:, 0].tolist()]).float()
    assert torch.allclose(side[:, 0]/side[:, 1], cell[:, 0]/cell[:, 1], atol=1e-3)
    assert torch.equal(identity_batch(3, groups=6).sprite, identity_batch(3, groups=6).sprite)
