"Where a training begins, and what it refuses; the optimiser's iteration."
import pytest
import torch

from anyms.stickers.model.weights import WEIGHTS
from anyms.stickers.training.conditioning import load_or_init
from anyms.stickers.training.optim import orthogonalize
from anyms.stickers.training.stages import train


def test_orthogonalize_is_the_iteration_on_whole_matrices():
    "The small square side alone gives what Newton-Schulz on the matrix itself gives; singular values go near 1."
    g = torch.randn(3, 40, 96, generator=torch.Generator().manual_seed(0))
    x = g/g.norm(dim=(1, 2), keepdim=True)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445*x + (-4.7750*a + 2.0315*a @ a) @ x
    assert torch.allclose(orthogonalize(g), x, atol=1e-4) and torch.allclose(orthogonalize(g.mT), x.mT, atol=1e-4)
    assert ((torch.linalg.svdvals(x) > .6) & (torch.linalg.svdvals(x) < 1.3)).all()

def test_from_scratch_or_from_published_weights():
    "A new run goes on from the weights that are shipped, and counts on from what they have seen."
    pipe, before = load_or_init(None)
    assert before == {} and sum(p.numel() for p in pipe.unet.parameters()) > 4e6
    if (WEIGHTS/"training.json").exists(): assert load_or_init()[1]["joint"]["seen"] > 0

@pytest.mark.parametrize("call, error, message", [
    (dict(stage="everything", minutes=1), ValueError, r"stage='everything': choose one of joint"),
    (dict(stage="joint", minutes=0), ValueError, r"minutes=0: give the time box in minutes"),
    (dict(stage="joint", minutes=-3), ValueError, r"minutes=-3: .*more than 0"),
    (dict(stage="joint", minutes=1, resume=False), FileExistsError, r"already holds a run of 'joint'; drop resume=False"),
])
def test_bad_requests_to_training(tmp_path, call, error, message):
    (tmp_path/"joint").mkdir()
    (tmp_path/"joint"/"state.json").write_text("{}")
    with pytest.raises(error, match=message): train(**call, out=tmp_path)
