"What a tuning step sees, what it changes, and that the pipeline has forgotten everything afterwards."
from collections import Counter

import pytest
import torch
from conftest import picture, tiny
from torch import nn

from anyms.attention.toy import toy_unet
from anyms.paper.cases.case import StickerReference
from anyms.paper.methods.tune import (
    cross_attention_kv, denoising_errors, denoising_loss, encode_pairs, encode_photos, encode_sentences, noised, photo_batches,
    predict, tune, with_weights)
from anyms.stickers.training.conditioning import encode_latents, encode_prompt, predict_velocity

FOX = StickerReference("fox", "noto")
BASES = ["sdxl-plus", "embedded"]
QUIET = dict(steps=2, lr=1e-2, progress=False)


def pairs(kind): return FOX.photos(3) if kind == "embedded" else [(picture(i), "a fox" + " hat"*i) for i in range(3)]


def generator(seed=0): return torch.Generator().manual_seed(seed)


def everything(pipe):
    "Every parameter with its storage, gradient and whether it has one: what must be the same objects afterwards."
    parts = [part for part in pipe.components.values() if isinstance(part, nn.Module)]
    return [(p, p.data_ptr(), p.dtype, p._version, p.grad, p.requires_grad) for part in parts for p in part.parameters()]


def same(before, after):
    return len(before) == len(after) and all(
        a[0] is b[0] and a[1:3] == b[1:3] and a[4] is b[4] and a[5] == b[5] for a, b in zip(before, after))


@pytest.fixture(params=BASES)
def kind(request): return request.param


@pytest.fixture
def pipe(kind, pipes):
    pipe = pipes(kind)
    before, values = everything(pipe), {k: v.clone() for k, v in cross_attention_kv(pipe.unet).items()}
    processors, projection = dict(pipe.unet.attn_processors), pipe.unet.encoder_hid_proj
    yield pipe
    assert same(before, everything(pipe)) and pipe.unet.encoder_hid_proj is projection
    assert all(pipe.unet.attn_processors[name] is p for name, p in processors.items())
    assert all(torch.equal(p, values[name]) for name, p in cross_attention_kv(pipe.unet).items())


@pytest.fixture
def photos(kind, pipe): return encode_pairs(pipe, pairs(kind))


# --- what is learned from --------------------------------------------------------------------------------------------------------
def test_photographs_come_equally_often_and_with_their_own_sentence(kind, pipe):
    given = pairs(kind)
    whole, batches = encode_pairs(pipe, given), photo_batches(pipe, given, 4, seed=3)
    some = [next(batches) for _ in range(3)]
    rows = [whole.sentences.index(s) if kind != "embedded" else None for batch in some for s in batch.sentences]
    for batch in some:
        assert len(batch.latents) == len(batch.embeds) == len(batch.pooled) == len(batch.time_ids) == len(batch.sentences) == 4
    which = [int((whole.latents - z).abs().flatten(1).sum(1).argmin()) for batch in some for z in batch.latents]
    assert set(Counter(which).values()) == {4} and (kind == "embedded" or rows == which)
    assert [whole.sentences[i] for i in which] == [s for batch in some for s in batch.sentences]


def test_order_is_the_seeds(kind, pipe):
    first = [next(photo_batches(pipe, pairs(kind), 3, seed=s)).sentences for s in (0, 0, 1, 2, 3)]
    assert first[0] == first[1] and len({tuple(f) for f in first}) > 1


def test_the_sticker_model_sees_what_it_was_trained_with(embedded):
    "Latents, text and answer as the training code makes them: text and answer bit for bit."
    given = FOX.photos(2)
    batch = encode_pairs(embedded, given)
    arrays = [embedded.image_processor.pil_to_numpy(p)[0] for p, _ in given]
    pixels = torch.stack([torch.from_numpy(a).permute(2, 0, 1) for a in arrays])
    torch.testing.assert_close(batch.latents, encode_latents(embedded, pixels), rtol=0, atol=1e-5)
    with torch.no_grad():
        embeds, pooled = encode_prompt(embedded, batch.sentences)
        assert torch.equal(batch.embeds, embeds) and torch.equal(batch.pooled, pooled)
        noisy = noised(embedded, batch.latents, generator())
        assert torch.equal(predict(embedded, batch, noisy), predict_velocity(embedded, noisy.z, noisy.t, batch.sentences))


def test_gradients_reach_the_text_encoders(pipe):
    layer = next(p for name, p in pipe.text_encoder.named_parameters() if "q_proj.weight" in name)
    was = layer.requires_grad
    layer.requires_grad_(True)
    try:
        embeds, pooled = encode_sentences(pipe, ["a fox"])
        assert embeds.requires_grad and embeds.ndim == 3 and pooled.ndim == 2
    finally: layer.requires_grad_(was)


def test_pictures_of_any_shape_fit(pipe):
    wide = picture(1).resize((90, 31))
    assert encode_photos(pipe, [wide]).shape[-2:] == (16, 16)


# --- what is asked -------------------------------------------------------------------------------------------------------------
def test_noise_and_answer_are_the_schedulers_own(pipe, photos):
    noisy = noised(pipe, photos.latents, generator(5))
    rng = generator(5)
    t = torch.randint(1000, (len(photos.latents),), generator=rng)
    noise = torch.randn(photos.latents.shape, generator=rng)
    assert torch.equal(noisy.t, t)
    torch.testing.assert_close(noisy.z, pipe.scheduler.add_noise(photos.latents, noise, t))
    velocity = pipe.scheduler.config.prediction_type == "v_prediction"
    torch.testing.assert_close(noisy.target, pipe.scheduler.get_velocity(photos.latents, noise, t) if velocity else noise)


def test_at_the_last_step_the_sticker_models_answer_is_the_picture(embedded):
    z = torch.randn(64, 12, 4, 4, generator=generator())
    noisy = noised(embedded, z, generator(1))
    last = noisy.t.argmax()
    share = embedded.scheduler.alphas_cumprod[noisy.t[last]]
    torch.testing.assert_close(noisy.target[last], -z[last], rtol=0, atol=4*float(share)**.5 + 1e-4)


def test_an_answer_of_another_kind_is_refused(pipes):
    pipe = tiny(with_adapter=False)
    pipe.scheduler.register_to_config(prediction_type="sample")
    with pytest.raises(ValueError, match="prediction_type='sample' is not one that we can tune"):
        noised(pipe, torch.zeros(1, 4, 4, 4), generator())


def test_the_adapter_is_silent():
    "With an adapter and without one: the same answer, bit for bit."
    batch = encode_pairs(tiny(with_adapter=False), pairs("sdxl-plus"))
    noisy = noised(tiny(with_adapter=False), batch.latents, generator())
    with torch.no_grad(): answers = [predict(tiny(with_adapter=there), batch, noisy) for there in (True, False)]
    assert torch.equal(*answers)


def test_the_loss_is_the_mean_of_the_errors(pipe, photos):
    with torch.no_grad():
        errors = denoising_errors(pipe, photos, noised(pipe, photos.latents, generator(2)))
        assert errors.shape == (3,) and torch.equal(errors.mean(), denoising_loss(pipe, photos, generator(2)))


# --- what is changed -----------------------------------------------------------------------------------------------------------
def test_tuning_lowers_the_loss_and_leaves_the_pipeline(kind, pipe, photos):
    "The fixture sees that every tensor is the very same afterwards."
    kv = cross_attention_kv(pipe.unet)
    tuned = tune(pipe, kv, photo_batches(pipe, pairs(kind), 3), steps=8, lr=3e-3, progress=False)
    assert list(tuned) == list(kv) and all(tuned[k].shape == kv[k].shape and not torch.equal(tuned[k], kv[k]) for k in kv)
    assert not any(value.requires_grad for value in tuned.values())
    with torch.no_grad():
        before = denoising_loss(pipe, photos, generator(9))
        with with_weights(pipe.unet, tuned): after = denoising_loss(pipe, photos, generator(9))
        assert after < before
        assert torch.equal(denoising_loss(pipe, photos, generator(9)), before)


def test_the_same_seed_tunes_the_same(kind, pipe):
    some = {k: v for k, v in list(cross_attention_kv(pipe.unet).items())[:2]}
    def run(seed): return tune(pipe, some, photo_batches(pipe, pairs(kind), 2), **QUIET, seed=seed)
    one, two, other = run(0), run(0), run(1)
    assert all(torch.equal(one[k], two[k]) for k in some) and not all(torch.equal(one[k], other[k]) for k in some)


def test_a_rate_of_zero_changes_nothing(kind, pipe):
    kv = cross_attention_kv(pipe.unet)
    tuned = tune(pipe, kv, photo_batches(pipe, pairs(kind), 2), steps=2, lr=0, progress=False)
    assert all(torch.equal(tuned[k], kv[k]) for k in kv)


def test_it_tunes_where_nobody_asks_for_gradients(kind, pipe):
    kv = cross_attention_kv(pipe.unet)
    with torch.no_grad(): tuned = tune(pipe, kv, photo_batches(pipe, pairs(kind), 2), **QUIET)
    assert not any(torch.equal(tuned[k], kv[k]) for k in kv)


def test_after_an_exception_the_pipeline_is_as_it_was(kind, pipe):
    "In the middle of a step, with gradients half made; the fixture compares."
    kv, seen = cross_attention_kv(pipe.unet), []
    def loss(batch, rng):
        value = denoising_loss(pipe, batch, rng)
        seen.append(value)
        if len(seen) == 2: value.backward(retain_graph=True)
        if len(seen) == 2: raise KeyboardInterrupt
        return value
    with pytest.raises(KeyboardInterrupt): tune(pipe, kv, photo_batches(pipe, pairs(kind), 2), loss=loss, **QUIET)


def test_gradients_somebody_has_left_stay_his(kind, pipe):
    kv = cross_attention_kv(pipe.unet)
    name, mine = next(iter(kv)), torch.ones_like(next(iter(kv.values())))
    kv[name].grad = mine
    try:
        tune(pipe, kv, photo_batches(pipe, pairs(kind), 2), **QUIET)
        assert kv[name].grad is mine and mine.eq(1).all()
    finally: kv[name].grad = None


def test_a_loss_that_blows_up_gets_a_sentence(kind, pipe):
    kv = cross_attention_kv(pipe.unet)
    def loss(batch, rng): return denoising_loss(pipe, batch, rng)*float("nan")
    with pytest.raises(ValueError, match="loss=nan in step 0 of tune: give a smaller lr"):
        tune(pipe, kv, photo_batches(pipe, pairs(kind), 2), loss=loss, **QUIET)


def test_other_parameters_than_keys_and_values(kind, pipe):
    "Cones 2 tunes text encoders: sentences are encoded anew in every step."
    params = {name: p for name, p in pipe.text_encoder.named_parameters() if "q_proj.weight" in name}
    def loss(batch, rng):
        embeds, pooled = encode_sentences(pipe, batch.sentences)
        return denoising_loss(pipe, batch._replace(embeds=embeds, pooled=pooled), rng)
    tuned = tune(pipe, params, photo_batches(pipe, pairs(kind), 2), loss=loss, **QUIET)
    assert params and any(not torch.equal(tuned[k], params[k]) for k in params)


def test_half_precision_is_tuned_in_whole():
    "Steps far below what bfloat16 can tell apart add up."
    pipe = tiny(with_adapter=False).to(torch.bfloat16)
    kv, before = cross_attention_kv(pipe.unet), everything(pipe)
    tuned = tune(pipe, kv, photo_batches(pipe, pairs("sdxl-plus"), 2), steps=20, lr=1e-4, progress=False)
    assert same(before, everything(pipe))
    assert all(tuned[k].dtype == torch.bfloat16 for k in kv)
    moved = torch.cat([(tuned[k] - kv[k]).abs().flatten() for k in kv])
    assert moved.max() > 5e-4


# --- weights on loan -----------------------------------------------------------------------------------------------------------
def test_weights_on_loan_come_back(kind, pipe):
    kv = cross_attention_kv(pipe.unet)
    other = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in kv.items()}
    with pytest.raises(RuntimeError, match="inside"), with_weights(pipe.unet, other):
        assert all(not p.any() and p.dtype == torch.float32 for p in kv.values())
        raise RuntimeError("inside")


def test_borrowed_weights_are_copies(kind, pipe):
    kv = cross_attention_kv(pipe.unet)
    name, value = next((n, torch.zeros_like(p)) for n, p in kv.items())
    with with_weights(pipe.unet, {name: value}), torch.no_grad(): kv[name].add_(1)
    assert not value.any()


@pytest.mark.parametrize("weights, words", [
    (lambda name: {name.replace("to_k", "to_K"): torch.zeros(1)}, "is not a parameter of this UNet.*did you mean"),
    (lambda name: {name: torch.zeros(3, 3)}, r"has shape \[3, 3\] and should have .*another model")])
def test_strange_weights_get_a_sentence(kind, pipe, weights, words):
    name = next(iter(cross_attention_kv(pipe.unet)))
    with pytest.raises(ValueError, match=words), with_weights(pipe.unet, weights(name)): pass


# --- bad input -----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("change, error, words", [
    (dict(steps=0), ValueError, "steps=0 must be a whole number of at least 1"),
    (dict(lr=-1), ValueError, "lr=-1 must be a finite number"),
    (dict(params={}), ValueError, "params is empty"),
    (dict(params=dict(a=torch.zeros(1))), TypeError, "must be a parameter of the pipeline")])
def test_bad_arguments(pipe, change, error, words):
    arguments = dict(params=cross_attention_kv(pipe.unet), batches=iter(()), **QUIET) | change
    with pytest.raises(error, match=words): tune(pipe, **arguments)


def test_no_photographs(pipe):
    with pytest.raises(ValueError, match="photos is empty"): photo_batches(pipe, [], 2)
    with pytest.raises(ValueError, match="batch=0 must be"): photo_batches(pipe, FOX.photos(1), 0)


def test_a_net_without_cross_attention():
    with pytest.raises(ValueError, match="Linear without weights named attn2"): cross_attention_kv(nn.Linear(1, 1))
    assert cross_attention_kv(toy_unet())
