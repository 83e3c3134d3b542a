"MuDI: without a hint and without a LoRA it is text only, bit for bit; and nothing of it stays in the U-Net."
import pytest
import torch
from conftest import tiny

from anyms.layout.boxes import Box
from anyms.paper.cases.case import Case, CaseSubject, StickerReference
from anyms.paper.methods import mudi
from anyms.paper.methods.method import METHODS
from anyms.paper.methods.mudi import (
    MuDI, UntrainedMuDI, case_photos, dco_loss, encode_some, join_photos, mean_shift, mixed_batches, pick_photos, seg_mix, seg_mix_photos,
    shifted_noise, tune_case, with_lora, without_lora)
from anyms.paper.methods.sampling import Sampling, canvas_of, initial_noise, sample
from anyms.paper.methods.tune import denoising_errors, noised, with_weights
from anyms.pipeline.canvas import picture_size

FEW = Sampling(2, 3., 2)
BOXES = [(0, .3, .5, 1), (.4, .2, 1, 1), (0, 0, .4, .3)]


def case(n=2, aspect=1., boxes=BOXES):
    nouns = ("fox", "owl", "car")[:n]
    subjects = [CaseSubject(noun, StickerReference(noun, "noto"), Box(*box), i) for i, (noun, box) in enumerate(zip(nouns, boxes))]
    return Case("test", "a fox and an owl on the beach", tuple(subjects), "beach", aspect)


@pytest.fixture(scope="module")
def sdxl(): return tiny("sdxl")


@pytest.fixture(params=["embedded", "sdxl"])
def both(request, pipes): return pipes("embedded") if request.param == "embedded" else request.getfixturevalue("sdxl")


@pytest.fixture
def pipe(pipes): return pipes("embedded")


@pytest.fixture(autouse=True)
def as_found(pipes, sdxl):
    "Every module, weight and attribute of both U-Nets is the same object after each test."
    def parts(unet):
        return dict(unet.named_modules()), dict(vars(unet)), {k: (id(p), p.data_ptr(), p.requires_grad) for k, p in unet.named_parameters()}
    unets = [pipes("embedded").unet, sdxl.unet]
    before = [parts(unet) for unet in unets]
    yield
    for (modules, own, weights), unet in zip(before, unets):
        modules_now, own_now, weights_now = parts(unet)
        assert modules.keys() == modules_now.keys() and all(modules_now[k] is m for k, m in modules.items())
        assert own.keys() == own_now.keys() and all(own_now[k] is v for k, v in own.items()) and weights == weights_now


def same(a, b): return [x.tobytes() for x in a] == [x.tobytes() for x in b]


# --- the hint --------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("aspect", [1., 1.5])
def test_gamma_0_is_text_only_bit_for_bit(both, aspect, monkeypatch):
    monkeypatch.setattr(UntrainedMuDI, "settings", dict(stickers=dict(gamma=0.), sdxl=dict(gamma=0.)))
    one = case(aspect=aspect)
    want = sample(both, one, [3, 4, 5], FEW, variant="text_only")
    assert same(UntrainedMuDI().draw(both, one, [3, 4, 5], {}, FEW), want)
    assert torch.equal(shifted_noise(both, one, [3, 4], 0.), initial_noise(both, one, [3, 4]))


def test_the_shift_is_the_collage_and_only_inside(both):
    one = case(1, boxes=[(.5, .5, 1, 1)])
    shift = mean_shift(both, one)
    h, w = shift.shape[-2:]
    assert not shift[..., :h//2, :].any() and not shift[..., :w//2].any() and shift[..., h//2:, w//2:].any()
    noise = initial_noise(both, one, [1, 2])
    assert torch.allclose(shifted_noise(both, one, [1, 2], .5) - noise, .5*shift.expand_as(noise), atol=1e-6)
    assert torch.equal((shifted_noise(both, one, [1], .5) - noise[:1] != 0).any(1), (shift != 0).any(1))


def test_a_wide_picture(both):
    one = case(aspect=1.5)
    sides, shift = canvas_of(both, one), mean_shift(both, one)
    assert shift.shape[-1] > shift.shape[-2] and shift.shape[-1]*both.vae_scale_factor == sides["width"]


def test_a_hint_is_seen(pipe):
    one = case()
    assert not same(UntrainedMuDI().draw(pipe, one, [3], {}, FEW), sample(pipe, one, [3], FEW, variant="text_only"))


# --- Seg-Mix ---------------------------------------------------------------------------------------------------------------------------
def rng(seed=0): return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_seg_mix_shows_everybody_on_white(n):
    from PIL import Image
    colors = [(255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255)][:n]
    cutouts = [Image.new("RGBA", (30, 20 + 5*i), color) for i, color in enumerate(colors)]
    seen = set()
    for seed in range(6):
        picture = seg_mix(cutouts, (60, 80), rng(seed))
        assert picture.size == (80, 60) and picture.mode == "RGB"
        found = dict((color, count) for count, color in picture.getcolors(10_000))
        assert all(found.get(color[:3], 0) > 60 for color in colors) and (255, 255, 255) in found
        seen.add(picture.tobytes())
    assert len(seen) == 6 and seg_mix(cutouts, (60, 80), rng(3)).tobytes() == seg_mix(cutouts, (60, 80), rng(3)).tobytes()


def test_sizes_and_sides_are_by_chance():
    from PIL import Image
    cutouts = [Image.new("RGBA", (10, 10), "red"), Image.new("RGBA", (10, 10), "blue")]
    widths, left = set(), 0
    for seed in range(30):
        picture = seg_mix(cutouts, (64, 64), rng(seed))
        box = picture.getchannel("B").point(lambda v: 255 - v).getbbox()       # of the red one
        widths.add(box[2] - box[0])
        left += box[0] < 32
    assert all(23 <= w <= 32 for w in widths) and len(widths) > 3 and 5 < left < 25


def test_sentences_name_everybody():
    one = case(3)
    assert [words for _, words in seg_mix_photos(one, 2, (64, 64), "{subjects}")] == ["a fox, an owl and a car"]*2
    assert seg_mix_photos(one, 1, (64, 64), "a photo of {subjects}, simple background")[0][1].startswith("a photo of a fox, an owl")
    assert len(case_photos(one)) == 15 and all(any(noun in words for noun in one.names) for _, words in case_photos(one))


def test_a_share_of_collages(pipe):
    one = case()
    photos, mixed = encode_some(pipe, case_photos(one)), encode_some(pipe, seg_mix_photos(one, 3, picture_size(pipe), "{subjects}"))
    batches = mixed_batches(photos, mixed, 50, p=.3, seed=1)
    words = [w for _ in range(8) for w in next(batches).sentences]
    assert abs(sum(w == "a fox and an owl" for w in words)/len(words) - .3) < .07
    batch = next(batches)
    assert batch.latents.shape[0] == len(batch.sentences) == batch.time_ids.shape[0] == 50
    whole = join_photos([photos, mixed])
    row = pick_photos(whole, torch.tensor([10]))
    assert row.sentences == ["a fox and an owl"] and torch.equal(row.latents, mixed.latents[:1])


# --- the LoRA --------------------------------------------------------------------------------------------------------------------------
def test_a_new_lora_changes_nothing(both):
    "B is zero: text only, bit for bit. And only the U-Net's own attention has one."
    one = case()
    want = sample(both, one, [3, 4], FEW, variant="text_only")
    before = torch.get_rng_state()
    with with_lora(both.unet, 4) as params:
        assert torch.equal(torch.get_rng_state(), before)
        assert not any("encoder_hid_proj" in name or "processor" in name for name in params)
        assert len(params) == 2*4*sum(name.endswith(("attn1.processor", "attn2.processor")) for name in both.unet.attn_processors)
        assert same(sample(both, one, [3, 4], FEW, variant="text_only"), want)
        kept = {name: p.detach().clone() for name, p in params.items()}
    assert any(kept[name].any() for name in kept if ".lora_A." in name)
    method = MuDI()
    method.settings = dict(stickers=dict(gamma=0.), sdxl=dict(gamma=0.))
    assert same(method.draw(both, one, [3, 4], kept, FEW), want)


def test_the_same_seed_makes_the_same_lora(sdxl):
    made = []
    for seed in (1, 1, 2):
        with with_lora(sdxl.unet, 4, seed) as params: made.append({k: p.detach().clone() for k, p in params.items()})
    assert all(torch.equal(made[0][k], made[1][k]) for k in made[0])
    assert not all(torch.equal(made[0][k], made[2][k]) for k in made[0])


def test_without_lora_is_the_base(pipe):
    photos = encode_some(pipe, case_photos(case()))
    noisy = noised(pipe, photos.latents, rng())
    with torch.no_grad(): base = denoising_errors(pipe, photos, noisy)
    with with_lora(pipe.unet, 4) as params, torch.no_grad():
        random = {k: torch.randn(p.shape, generator=rng(1)) for k, p in params.items()}
        with with_weights(pipe.unet, random):
            tuned = denoising_errors(pipe, photos, noisy)
            with without_lora(pipe.unet): assert torch.equal(denoising_errors(pipe, photos, noisy), base)
            assert torch.equal(denoising_errors(pipe, photos, noisy), tuned) and not torch.allclose(tuned, base)


def test_dco_of_a_lora_that_does_nothing_is_log_2(pipe):
    photos = encode_some(pipe, case_photos(case()))
    with with_lora(pipe.unet, 4) as params:
        for p in params.values(): p.requires_grad_(True)
        loss = dco_loss(pipe, 1000., photos, rng())
        loss.backward()
        assert abs(loss.item() - .6931) < 1e-3
        assert all(p.grad.any() == (".lora_B." in name) for name, p in params.items())    # A stands behind a zero


def test_dco_compares_with_the_base_on_the_same_noise(pipe):
    photos = encode_some(pipe, case_photos(case()))
    with torch.no_grad(): base = denoising_errors(pipe, photos, noised(pipe, photos.latents, rng(7)))
    with with_lora(pipe.unet, 4) as params, torch.no_grad():
        with with_weights(pipe.unet, {k: .1*torch.randn(p.shape, generator=rng(1)) for k, p in params.items()}):
            tuned = denoising_errors(pipe, photos, noised(pipe, photos.latents, rng(7)))
            loss = dco_loss(pipe, 10., photos, rng(7))
    assert (tuned - base).abs().max() > 1e-3
    assert torch.allclose(loss, torch.nn.functional.softplus(10*(tuned - base)).mean(), atol=1e-5)


def test_a_second_lora_is_refused(sdxl):
    with with_lora(sdxl.unet, 4):
        with pytest.raises(ValueError, match="has a LoRA already; take it out first: pipe.unload_lora_weights"), with_lora(sdxl.unet, 4): pass


def test_the_unet_comes_back_after_an_error(both):
    "The fixture looks."
    with pytest.raises(ZeroDivisionError), with_lora(both.unet, 4): raise ZeroDivisionError


def test_prepared_once_and_drawn(both, tmp_path, monkeypatch):
    training = dict(steps=3, batch=2, collages=2, rank=4, lr=1e-2)
    monkeypatch.setattr(MuDI, "settings", dict(stickers=dict(gamma=0., training=training), sdxl=dict(gamma=0., training=training)))
    one, method = case(), MuDI()
    kept = method.prepare(both, one, tmp_path)
    assert (tmp_path/"test.safetensors").exists() and all(kept[name].any() for name in kept)
    monkeypatch.setattr(mudi, "tune_case", lambda *a, **k: pytest.fail("tuned again"))
    again = method.prepare(both, one, tmp_path)
    assert all(torch.equal(again[name], kept[name]) for name in kept)
    pictures = method.draw(both, one, [3], kept, FEW)
    assert not same(pictures, sample(both, one, [3], FEW, variant="text_only"))


def test_tuning_helps_on_what_it_saw(pipe):
    "A few steps at a high rate: the error on the case's photographs falls below the base's."
    one = case()
    kept = tune_case(pipe, one, steps=12, batch=4, collages=2, lr=2e-3)
    photos = encode_some(pipe, case_photos(one))
    def error():
        with torch.no_grad(): return sum(denoising_errors(pipe, photos, noised(pipe, photos.latents, rng(i))).mean().item() for i in range(4))
    base = error()
    with with_lora(pipe.unet, 32), with_weights(pipe.unet, kept): assert error() < base


def test_the_rows():
    assert (METHODS["mudi"].title, METHODS["mudi"].trained) == ("MuDI (ours)", "case")
    assert (METHODS["mudi_untrained"].title, METHODS["mudi_untrained"].trained) == ("MuDI without LoRA (ours)", None)
