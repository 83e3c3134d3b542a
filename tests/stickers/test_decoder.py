"The decoder: grown from a smaller one, trained on windows, and better than enlarging."
import json

import pytest
import torch
import torch.nn.functional as F

from anyms.stickers import model, world
from anyms.stickers.training import decoder


@pytest.fixture(scope="module")
def pipe(): return model.load()

def test_psnr_of_a_part():
    "One pixel off by one tenth is 20 dB where it alone counts, and 20 + 10 log10(16) on all sixteen."
    x = torch.zeros(1, 3, 4, 4)
    y = x.clone()
    y[:, :, 0, 0] = .1
    corner = torch.zeros(1, 1, 4, 4)
    corner[..., 0, 0] = 1
    assert model.picture_psnr(y, x, corner) == pytest.approx(20, abs=1e-4)
    assert model.picture_psnr(y, x) == pytest.approx(20+10*torch.tensor(16.).log10().item(), abs=1e-4)

def test_a_grown_decoder_enlarges():
    "Far from any edge the new stage changes nothing: a flat picture stays scenes it was, twice as large."
    torch.manual_seed(0)
    small = model.make_autoencoder((1, 1))
    grown = model.grow_decoder(small)
    flat = torch.randn(1, model.LATENT_CHANNELS, 1, 1).expand(1, model.LATENT_CHANNELS, 28, 28)
    with torch.no_grad(): before, after = small.decode(flat).sample, grown.decode(flat).sample
    assert after.shape[-1] == 2*before.shape[-1]
    middle, twice = slice(26, 30), slice(52, 60)
    assert torch.allclose(F.interpolate(before, scale_factor=2)[..., twice, twice], after[..., twice, twice], atol=1e-4)
    assert before[..., middle, middle].std((2, 3)).max() < 1e-4, "flat, else the test would prove nothing"

def test_windows_are_cut_from_the_same_place():
    "Latents and pictures show the same part; the rim counts only where it is the picture's."
    rows = torch.arange(16.).view(1, 1, 16, 1)*16+torch.arange(16.)
    z = rows.expand(40, 1, 16, 16)
    picture = F.interpolate(z, scale_factor=8)
    cut, (shown,), counts = decoder.sample_windows(z, [picture], torch.Generator().manual_seed(0))
    assert cut.shape == (40, 1, 8, 8) and shown.shape == counts.shape == (40, 1, 64, 64)
    assert torch.equal(F.interpolate(cut, scale_factor=8), shown)
    top = cut[:, 0, 0, 0] < 16
    assert torch.equal(counts[:, 0, 0].amax(-1) > 0, top), "the upper rim counts at the picture's upper edge only"
    assert top.any() and not top.all()
    assert (counts[:, 0, decoder.RIM:-decoder.RIM, decoder.RIM:-decoder.RIM] == 1).all()

@torch.no_grad()
def test_better_than_enlarging_what_is_left(pipe):
    "At least 28 dB on unseen scenes; a decoder that only enlarged its own average would lose two inside stickers."
    scenes, x, inside = model.held_out_scenes(24)
    y = pipe.vae.decode(pipe.vae.encode(x*2-1).latents).sample.clamp(-1, 1)/2+.5
    assert model.picture_psnr(y, x) >= 28
    soft = F.interpolate(F.avg_pool2d(y, 2), scale_factor=2, mode="bicubic")
    assert model.picture_psnr(y, x, inside) > model.picture_psnr(soft, x, inside)+.5

def test_a_run_resumes_and_leaves_encoder_and_unet(tmp_path):
    quiet = dict(report=lambda *a, **k: None)
    first = decoder.train_decoder(tmp_path, .001, batch=2, **quiet)
    again = decoder.train_decoder(tmp_path, .001, batch=2, **quiet)
    assert again.step > first.step > 0
    state = json.loads((tmp_path/"decoder"/"state.json").read_text())
    assert state["step"] == again.step and len(state["log"]) >= 2
    assert {name.split(".")[0] for name, _ in again.modules.named_parameters()} == {"decoder"}
    assert not list(tmp_path.rglob("*.part"))

def test_sticker_alpha_is_the_union_of_stickers():
    scenes = world.sample_scenes(3, seed=5, stickers=(2, 2))
    alpha = world.sticker_alpha(scenes, (32, 32))
    empty = world.Scenes(torch.full_like(scenes.sprite, -1), scenes.box, scenes.hue, scenes.place, scenes.style)
    changed = (world.render(scenes, (32, 32))-world.render(empty, (32, 32))).abs().amax(1, keepdim=True) > .02
    assert alpha.shape == (3, 1, 32, 32) and (alpha[changed] > 0).all() and (alpha >= 0).all() and (alpha <= 1.001).all()
