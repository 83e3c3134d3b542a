"Concat: words and pictures in one softmax. Without pictures it is text only; with them it is attention over concatenated keys."
import pytest
import torch
from einops import rearrange
from torch.nn.functional import scaled_dot_product_attention

from anyms.attention.variants import KV
from anyms.layout.boxes import Box
from anyms.paper.cases.case import Case, CaseSubject, StickerReference
from anyms.paper.methods.concat import ConcatText, TokenMaps, merge_attention, reference_keys, token_maps
from anyms.paper.methods.method import get_method
from anyms.paper.methods.sampling import Sampling, count_calls, sample
from anyms.paper.methods.text_attention import TextAttention, TextRun, sample_text, text_layers

FEW = Sampling(3, 3., 2)


@pytest.fixture(scope="module")
def case():
    boxes = Box(0, .25, .6, 1), Box(.5, 0, 1, .5)
    return Case("demo", "fox hat", tuple(
        CaseSubject(name, StickerReference(name, "noto"), box) for name, box in zip(("fox", "hat"), boxes)), "beach", aspect=1.5)


def latents(pipe, case, attention): return sample_text(pipe, case, [0, 1], FEW, attention, output_type="latent")


def plain(pipe, case): return sample(pipe, case, [0, 1], FEW, output_type="latent")


def equal(a, b): return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def randn(*shape, seed=0): return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def one_layer(references, **kw):
    attention = ConcatText(dict(attn2=references), **kw)
    attention.layer, attention.run = "attn2", TextRun(False)
    attention.run.latent = (4, 6)
    return attention


# --- one softmax out of several --------------------------------------------------------------------------------------------------
def test_it_is_attention_over_concatenated_keys():
    q, k, v = randn(2, 3, 24, 8), randn(2, 3, 7, 8, seed=1), randn(2, 3, 7, 8, seed=2)
    refs = KV(2*randn(1, 2, 3, 5, 8, seed=3), randn(1, 2, 3, 5, 8, seed=4))
    keys, values = (torch.cat([x, *[y.expand(2, -1, -1, -1) for y in refs_x.unbind(1)]], 2) for x, refs_x in zip((k, v), refs))
    torch.testing.assert_close(one_layer(refs).attend(q, k, v), scaled_dot_product_attention(q, keys, values), rtol=0, atol=1e-5)


def test_a_scale_is_a_factor_on_the_weights():
    "Twice the scale is every picture token twice."
    q, k, v = randn(1, 2, 24, 8), randn(1, 2, 7, 8, seed=1), randn(1, 2, 7, 8, seed=2)
    refs = KV(randn(1, 2, 2, 5, 8, seed=3), randn(1, 2, 2, 5, 8, seed=4))
    twice = KV(*(torch.cat([x, x], 3) for x in refs))
    torch.testing.assert_close(one_layer(refs, scale=2.).attend(q, k, v), one_layer(twice).attend(q, k, v), rtol=0, atol=1e-5)


def test_absent_groups_change_nothing_to_the_bit():
    answers, sums = randn(1, 3, 2, 24, 8), randn(1, 3, 2, 24, seed=1)
    sums[:, 1:] = -torch.inf
    z, share = merge_attention(answers, sums)
    assert torch.equal(z, answers[:, 0]) and torch.equal(share[:, 0], torch.ones(1, 2, 24))


def test_shares_are_the_softmax_that_falls_on_each_subject():
    q, k = randn(1, 2, 24, 8), randn(1, 2, 7, 8, seed=1)
    refs, shares = KV(randn(1, 2, 2, 5, 8, seed=3), randn(1, 2, 2, 5, 8, seed=4)), {}
    one_layer(refs, shares=shares).attend(q, k, randn(1, 2, 7, 8, seed=2))
    keys = torch.cat([k, rearrange(refs.k, "b s h r d -> b h (s r) d")], 2)
    weights = (q @ keys.transpose(2, 3)*8**-.5).softmax(-1)
    wanted = rearrange(weights[..., 7:], "b h (gh gw) (s r) -> b s h gh gw r", gh=4, s=2).sum(-1).mean(2)
    (place, share), = shares.items()
    assert place == ("attn2", 0) and share.shape == (1, 2, 4, 6)
    torch.testing.assert_close(share, wanted, rtol=0, atol=1e-6)


# --- switched off ----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["sdxl-plus", "sdxl-plain", "embedded"])
def test_without_pictures_it_is_text_only_to_the_bit(pipes, case, kind):
    pipe = pipes(kind)
    assert equal(latents(pipe, case, ConcatText(reference_keys(pipe, case), scale=0.)), plain(pipe, case))


def test_with_pictures_it_is_not(pipes, case):
    pipe = pipes("sdxl-plus")
    assert not equal(latents(pipe, case, ConcatText(reference_keys(pipe, case))), plain(pipe, case))


def test_the_pictures_tokens_are_those_that_the_layout_reads(pipes, case):
    from anyms.attention.install import installed
    from anyms.pipeline.references import subject_embeds
    pipe = pipes("sdxl-plus")
    embeds, null = subject_embeds(pipe, case.layout, case.names, True)
    with installed(pipe.unet, case.layout, "crop_merge", null=null) as state:
        pipe(case.prompt, ip_adapter_image_embeds=embeds, num_inference_steps=1, height=32, width=32, output_type="latent")
        theirs = {layer.name: layer.subject_kv for layer in state.layers}
    ours = reference_keys(pipe, case)
    assert list(ours) == text_layers(pipe.unet)
    for name, keys in ours.items():
        torch.testing.assert_close(keys.k[0], theirs[name].k[1, state.order.argsort()], rtol=1e-4, atol=1e-5)


# --- the maps --------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["sdxl-plus", "embedded"])
def test_maps_of_every_layer_and_step(pipes, case, kind):
    pipe = pipes(kind)
    maps = token_maps(pipe, case, 0, FEW)
    assert isinstance(maps, TokenMaps) and maps.names == ["fox", "hat"]
    assert set(maps.shares) == {(layer, step) for layer in text_layers(pipe.unet) for step in range(3)}
    for share in maps.shares.values(): assert share.min() >= 0 and share.sum(0).max() <= 1 + 1e-5 and share.shape[2] > share.shape[1]
    whole = maps.mean()
    assert whole.shape[0] == 2 and whole.shape[1:] == max(tuple(share.shape[1:]) for share in maps.shares.values())
    assert maps.mean(layer="mid", step=1).shape[0] == 2
    with pytest.raises(ValueError, match="layer='nowhere', step=None: no such map"): maps.mean("nowhere")


def test_watching_changes_nothing(pipes, case):
    pipe = pipes("sdxl-plus")
    keys = reference_keys(pipe, case)
    assert equal(latents(pipe, case, ConcatText(keys, 1., {})), latents(pipe, case, ConcatText(keys)))


@pytest.mark.parametrize("kind", ["sdxl-plus", "embedded"])
def test_draws_on_either_base_at_the_price_of_text_only(pipes, case, kind):
    pipe, before = pipes(kind), dict(pipes(kind).unet.attn_processors)
    method = get_method("concat")
    with count_calls(pipe.unet) as calls: pictures = method.draw(pipe, case, [0, 1, 2], {}, FEW)
    assert len(pictures) == 3 and calls.rows == 3*3*2 and not method.layout and method.trained is None
    assert issubclass(type(method.attention(pipe, case, {})), TextAttention)
    assert all(pipe.unet.attn_processors[name] is p for name, p in before.items())
