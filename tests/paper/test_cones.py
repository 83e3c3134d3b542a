"Cones 2: with eta 0 and no residual it is text only to the bit; what is tuned is kept, and the pipeline is as it was."
import math

import pytest
import torch

from anyms.layout.boxes import Box
from anyms.paper.cases.case import Case, CaseSubject, StickerReference
from anyms.paper.methods import cones
from anyms.paper.methods.cones import (
    MOST_NOISE, RectifiedText, noise_level, noun_positions, residual_embeds, shift_penalty, text_parameters, tune_residual)
from anyms.paper.methods.method import get_method
from anyms.paper.methods.sampling import Sampling, base_of, count_calls, sample
from anyms.paper.methods.text_attention import TextRun, sample_text
from anyms.paper.methods.tune import encode_sentences

FEW = Sampling(3, 3., 2)


@pytest.fixture(scope="module")
def case():
    boxes = Box(0, .25, .6, 1), Box(.5, 0, 1, .5)
    return Case("demo", "fox hat", tuple(
        CaseSubject(name, StickerReference(name, "noto"), box) for name, box in zip(("fox", "hat"), boxes)), "beach", aspect=1.5)


@pytest.fixture
def short(monkeypatch):
    "Sentences that the tiny tokenizer of bytes can hold."
    monkeypatch.setattr(cones, "TEMPLATES", ("{}", "{} hat"))
    monkeypatch.setattr(StickerReference, "photos", lambda self, n=5: [(self.picture(), f"a {self.noun} hat")]*n)


def rectified(pipe, case, eta, **kw):
    return RectifiedText(case.layout, noun_positions(pipe, case.prompt, case.names), pipe.scheduler.alphas_cumprod, eta, **kw)


def latents(pipe, case, attention, **kw): return sample_text(pipe, case, [0, 1], FEW, attention, output_type="latent", **kw)


def plain(pipe, case): return sample(pipe, case, [0, 1], FEW, output_type="latent")


def equal(a, b): return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# --- switched off ----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["sdxl-plus", "embedded"])
def test_eta_zero_and_no_residual_are_text_only_to_the_bit(pipes, case, kind):
    pipe = pipes(kind)
    width = pipe.unet.config.cross_attention_dim
    nothing = residual_embeds(pipe, case, dict(fox=torch.zeros(1, width), hat=torch.zeros(1, width)))
    assert equal(latents(pipe, case, rectified(pipe, case, 0.)), plain(pipe, case))
    assert equal(latents(pipe, case, rectified(pipe, case, 0.), **nothing), plain(pipe, case))


@pytest.mark.parametrize("kind", ["sdxl-plus", "embedded"])
def test_switched_on_either_changes_the_picture(pipes, case, kind):
    pipe = pipes(kind)
    width = pipe.unet.config.cross_attention_dim
    something = residual_embeds(pipe, case, dict(fox=torch.ones(1, width)))
    assert not equal(latents(pipe, case, rectified(pipe, case, .25)), plain(pipe, case))
    assert not equal(latents(pipe, case, rectified(pipe, case, 0.), **something), plain(pipe, case))


# --- where -----------------------------------------------------------------------------------------------------------------------
def test_noise_is_clamped_where_there_is_nothing_else(pipes):
    alphas = pipes("embedded").scheduler.alphas_cumprod
    assert alphas[-1] == 0 and noise_level(alphas, 999) == noise_level(alphas, 2000.) == pytest.approx(MOST_NOISE)
    assert math.isclose(MOST_NOISE, math.log(1 + 14.6146**2), abs_tol=.01)
    levels = [noise_level(alphas, t) for t in range(0, 1000, 50)]
    assert levels == sorted(levels) and levels[0] < .01
    assert noise_level(torch.tensor([1., .5]), 1) == pytest.approx(math.log(2))


def test_regions_are_exclusive_and_touch_the_nouns_only(pipes, case):
    attention = rectified(pipes("embedded"), case, .25)
    attention.words = dict(fox=[1], hat=[2, 3])
    w = attention.regions((16, 24), 12)
    owner = case.layout.owner((16, 24))
    assert (w[:, [0, *range(4, 12)]] == 0).all() and torch.equal(w[:, 2], w[:, 3])
    assert set(w[:, 1].tolist()) == {2.5, -1e8}
    for j, token in enumerate((1, 2)): assert torch.equal(w[:, token] > 0, owner == j)
    assert not ((w[:, 1] > 0) & (w[:, 2] > 0)).any()


def test_scores_follow_the_equation(case):
    s = torch.randn(2, 3, 384, 12, generator=torch.Generator().manual_seed(0))
    attention = RectifiedText(case.layout, dict(fox=[1], hat=[2]), torch.tensor([1., .5]), .3)
    attention.run = TextRun(False)
    attention.run.clock.add(1)
    changed = attention.scores(s, (16, 24), 0)
    own = case.layout.owner((16, 24)) == 0
    for i in range(2):
        added = (changed - s)[i, :, own, 1]
        torch.testing.assert_close(added, torch.full_like(added, .3*2.5*math.log(2)*float(s[i].std())), rtol=1e-4, atol=1e-5)
    assert changed.softmax(-1)[:, :, ~own, 1].max() == 0
    assert torch.equal(changed[..., 3:], s[..., 3:]) and changed is not s
    halved = attention.scores(s.half(), (16, 24), 0)
    assert torch.isfinite(halved).all()


def test_words_that_are_not_there_are_named(pipes):
    with pytest.raises(ValueError, match="prompt='a fox' does not name 'hat'"): noun_positions(pipes("embedded"), "a fox", ["fox", "hat"])


# --- which -----------------------------------------------------------------------------------------------------------------------
def test_only_the_nouns_move(pipes, case):
    pipe = pipes("embedded")
    before, pooled = encode_sentences(pipe, [case.prompt])
    after = residual_embeds(pipe, case, dict(fox=torch.full((1, 192), 2.)))
    moved = (after["prompt_embeds"] - before).detach()
    assert torch.equal(after["pooled_prompt_embeds"], pooled)
    assert moved[0, 1].eq(2).float().mean() > .9 and (moved[0, [0, *range(2, 24)]] == 0).all()


def test_penalties_fall_on_the_start_and_behind_the_noun():
    shift = torch.zeros(2, 6, 4)
    shift[:, 2:4] = 5.                                       # the noun's own tokens are free to move
    assert shift_penalty(shift, [[2, 3], [2, 3]]) == 0
    shift[:, 0, 0] = 1.
    assert shift_penalty(shift, [[2, 3]]*2) == pytest.approx(1e-2)
    shift[:, 0], shift[:, 4:, 0] = 0, 1.
    assert shift_penalty(shift, [[2, 3]]*2) == pytest.approx(1e-3)


@pytest.mark.parametrize("kind", ["sdxl-plus", "embedded"])
def test_tuning_gives_a_vector_and_leaves_the_pipeline(pipes, short, kind):
    pipe, reference = pipes(kind), StickerReference("fox", "noto")
    before = {name: (p, p.data, p.data.clone(), p.requires_grad) for name, p in text_parameters(pipe).items()}
    one = tune_residual(pipe, reference, "fox", 3, 2, 1e-3, progress=False)["residual"]
    again = tune_residual(pipe, reference, "fox", 3, 2, 1e-3, progress=False)["residual"]
    assert one.shape == (1, pipe.unet.config.cross_attention_dim) and one.norm() > 1e-3 and torch.equal(one, again)
    for name, p in text_parameters(pipe).items():
        same, data, value, grad = before[name]
        assert p is same and p.data.data_ptr() == data.data_ptr() and torch.equal(p.data, value) and p.requires_grad == grad


@pytest.mark.parametrize("kind", ["sdxl-plus", "embedded"])
def test_the_method_keeps_what_it_tunes_and_draws(pipes, case, short, monkeypatch, tmp_path, kind):
    pipe, method = pipes(kind), get_method("cones2")
    before = dict(pipe.unet.attn_processors)
    base = base_of(pipe)
    monkeypatch.setattr(type(method), "settings", {base: method.settings[base] | dict(steps=2, batch_size=2, lr=1e-3)})
    kept = method.prepare(pipe, case, tmp_path)
    assert sorted(kept) == sorted(one.reference.key for one in case.subjects)
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"{key}.safetensors" for key in sorted(kept)]
    monkeypatch.setattr(cones, "tune_residual", lambda *args, **kw: pytest.fail("tuned a second time"))
    again = method.prepare(pipe, case, tmp_path)
    assert all(torch.equal(kept[key], again[key]) for key in kept)
    with count_calls(pipe.unet) as calls: pictures = method.draw(pipe, case, [0, 1, 2], again, FEW)
    assert len(pictures) == 3 and calls.rows == 3*3*2 and method.trained == "subject"
    assert all(pipe.unet.attn_processors[name] is p for name, p in before.items())


def test_words_only_needs_nothing(pipes, case):
    pipe, method = pipes("embedded"), get_method("cones2_words")
    assert method.prepare(pipe, case, None) == {} and method.trained is None
    assert len(method.draw(pipe, case, [0], {}, FEW)) == 1
