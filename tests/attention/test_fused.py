"""The quick form against the readable one: `fused` is crop-and-merge, whatever the boxes, scales, windows and sizes;
and what is made once is made once.

The issue's figure (200 random layouts on the embedded model) is the `slow` case: `pytest -n0 tests/attention/test_fused.py -m slow`.
"""
import random

import pytest
import torch
from peft import LoraConfig
from conftest import picture, run, tiny

from anyms.attention.install import installed
from anyms.attention.adapter import find_processors
from anyms.attention.selection import default_variant, get_variant
from anyms.attention.state import CachedProjection
from anyms.attention.statistics import contributions
from anyms.attention.variants import KV, VARIANTS, crop_merge, fused, fused_bias, fused_keys, fused_mask
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject

SIZES = [(16, 16), (16, 24), (24, 16), (12, 20)]                     # latents; the last one's coarse levels do not halve


def random_case(seed):
    "A layout of 1-6 subjects with overlaps, priorities and scales; options and a latent size."
    rng = random.Random(seed)
    def box():
        w, h = rng.uniform(.15, .8), rng.uniform(.15, .8)
        x, y = rng.uniform(0, 1 - w), rng.uniform(0, 1 - h)
        return x, y, x + w, y + h
    def subject(j):
        image, where = picture(rng.randrange(50)), box()
        return Subject(f"s{j}", image, where, priority=rng.choice([-1, 0, 0, 1]), scale=rng.choice([1, rng.uniform(0, 2)]))
    lay = Layout([subject(j) for j in range(rng.randint(1, 6))])
    first = rng.randint(0, 3)
    window = rng.choice([None, None, (0, 2), (first, first + 2)])
    options = dict(active_steps=window, scale=rng.choice([1., .6]), layers=rng.choice([None, None, "up"]))
    return lay, options, rng.choice(SIZES)


def gap(pipe, seed, steps):
    "The largest difference of the end latents, and their size."
    lay, options, latent = random_case(seed)
    def end(variant):
        with installed(pipe.unet, lay, variant, **options):
            return run(pipe, lay.images, steps=steps, latent=latent, seed=seed, prompt="a fox and a crown on the beach")
    a, b = end("fused"), end("crop_merge")
    assert torch.isfinite(a).all()
    return (a - b).abs().max().item(), b.abs().max().item()


@pytest.fixture
def in_double(embedded):
    "The trained model in double precision, and back."
    yield embedded.to(torch.float64)
    embedded.to(torch.float32)


@pytest.mark.parametrize("seed", range(12))
def test_end_latents(embedded, seed):
    "In single precision the two orders of summation differ by rounding, which every step carries on: measured against the latents' size."
    difference, size = gap(embedded, seed, steps=4)
    assert difference <= 1e-5*size


@pytest.mark.slow
def test_end_latents_of_200_layouts(in_double, capsys):
    "In double precision the network has no rounding to carry on: what is left is the method."
    gaps = [gap(in_double, seed, steps=8)[0] for seed in range(200)]
    with capsys.disabled():
        print(f"\nfused against crop_merge, end latents, 200 layouts: largest difference {max(gaps):.2e}, median {sorted(gaps)[100]:.2e}")
    assert max(gaps) <= 1e-9


# --- one layer ---------------------------------------------------------------------------------------------------------------------
def layer(seed, n, h, s, r, dtype, d=64):
    g = torch.Generator().manual_seed(seed)
    def heads(*shape): return torch.randn(*shape, h*d, generator=g).to(dtype).unflatten(-1, (h, d)).transpose(-3, -2)
    q, refs = heads(2, n), KV(heads(2, s, r), heads(2, s, r))
    edges = torch.rand(s, 2, generator=g).sort(1).values*n
    at = torch.arange(n)
    return q, refs, (at >= edges[:, :1].floor()) & (at <= edges[:, 1:])


def unit(x):
    "One unit in the last place of bfloat16 at numbers of this size."
    return torch.exp2(x.abs().double().clamp_min(2.**-100).log2().floor() - 7)


@pytest.mark.parametrize("n, h", [(1024, 10), (256, 20), (1000, 3)])           # SDXL's two levels at 512 px, and an odd one
@pytest.mark.parametrize("s, r", [(1, 4), (3, 4), (7, 4), (20, 4), (3, 16), (7, 16)])
def test_a_layer_in_bfloat16_differs_by_one_unit_at_most(n, h, s, r):
    "One unit of the values that are averaged (where they cancel, its own unit says nothing); and all but a few numbers are equal."
    for seed in range(3):
        q, refs, cover = layer(seed, n, h, s, r, torch.bfloat16)
        far = (fused(q, refs, cover).double() - crop_merge(q, refs, cover).double()).abs()
        values = refs.v.abs().amax((1, 3))[:, :, None]                                # the largest value in each channel [b h 1 d]
        assert (far <= unit(values)).all() and (far > 0).float().mean() < .03


@pytest.mark.parametrize("dtype, eps", [(torch.float32, 1e-5), (torch.float64, 1e-14)])
@pytest.mark.parametrize("s, r", [(40, 16), (130, 4), (20, 77)])
def test_more_keys_than_one_block_of_the_kernel(s, r, dtype, eps):
    "CPU kernels take 512 keys at a time; a query may be shut out of whole blocks."
    q, refs, cover = layer(0, 150, 2, s, r, dtype)
    z = fused(q, refs, cover)
    assert torch.isfinite(z).all() and (z - crop_merge(q, refs, cover)).abs().max() <= eps


def test_a_bias_is_the_mask_bitwise():
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        q, refs, cover = layer(1, 200, 4, 3, 5, dtype)
        keep, bias = fused_mask(cover, 5), fused_bias(cover, 5, dtype)
        assert bias.dtype == dtype and torch.equal(bias == 0, keep) and torch.equal(torch.isinf(bias), ~keep)
        k, v = fused_keys(refs)
        assert torch.equal(torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias), fused(q, refs, cover))


# --- the default -------------------------------------------------------------------------------------------------------------------
def test_the_quickest_form():
    assert default_variant() == default_variant("zero", "priority") == "fused"
    assert default_variant("query") == default_variant(overlap="sum") == default_variant(overlap="mean") == "crop_merge"
    assert get_variant(None).fn is VARIANTS["fused"] and get_variant(None, background="query").fn is VARIANTS["crop_merge"]
    with pytest.raises(ValueError, match="background='blue'"): get_variant(None, background="blue")


PAIR = Layout([Subject("fox", picture(0), (0, .25, .75, 1), priority=1, scale=.7), Subject("hat", picture(1), (.5, 0, 1, .5))])


def test_nobody_asks_for_a_variant(either):
    def go(*variant, **options):
        with installed(either.unet, PAIR, *variant, **options): return run(either, PAIR.images)
    assert torch.equal(go(), go("fused"))
    assert torch.equal(go(background="query"), go("crop_merge", background="query"))
    assert torch.equal(go(overlap="sum"), go("crop_merge", overlap="sum"))


@torch.no_grad()
def test_parts_of_fused_are_its_contributions(either):
    "Owners split the answer: the same as silencing the other subjects' values one by one."
    records = []
    either.unet.attn_recorder = lambda record: records.append((record, record.parts()))
    try:
        with installed(either.unet, PAIR): run(either, PAIR.images, steps=1)
    finally: del either.unet.attn_recorder
    back = torch.as_tensor(PAIR.order)
    for record, parts in records:
        refs = KV(*(x[:, back] for x in record.refs))
        want = contributions(fused, record.q, refs, PAIR.cover(record.grid)[back])[:, back.argsort()]
        assert (parts - want).abs().max() <= 1e-6 and parts.abs().max() > 0


# --- once per run ------------------------------------------------------------------------------------------------------------------
def test_the_pictures_are_projected_once_per_run(either):
    calls = []
    hook = either.unet.encoder_hid_proj.image_projection_layers[0].register_forward_hook(lambda *_: calls.append(1))
    try:
        run(either, PAIR.images, steps=3)
        assert len(calls) == 3                                                  # diffusers: at every step
        with installed(either.unet, PAIR):
            run(either, PAIR.images, steps=3)
            run(either, PAIR.images, steps=3)
        assert len(calls) == 3 + 2
    finally: hook.remove()


def test_the_text_is_read_once_per_run(either):
    "Keys and values of the text too; diffusers makes them at every step, and both draw the same."
    unet, calls = either.unet, []
    layers = [unet.get_submodule(name) for name in find_processors(unet)]
    hooks = [m.register_forward_hook(lambda *_: calls.append(1)) for attn in layers for m in (attn.to_k, attn.to_v)]
    try:
        with installed(unet, PAIR):
            first = run(either, PAIR.images, steps=3)
            assert len(calls) == len(hooks)
            other = run(either, PAIR.images, steps=3, prompt="a hat")
            assert len(calls) == 2*len(hooks) and not torch.equal(first, other)
    finally:
        for hook in hooks: hook.remove()


@torch.no_grad()
def test_the_text_is_never_stale():
    "The same tensor written to; and a LoRA in the text's projections, whose weight changes between two steps."
    unet, g = tiny("sdxl", plus=False).unet, torch.Generator().manual_seed(0)
    text, embeds = (torch.randn(1, *s, generator=g) for s in ((7, unet.config.cross_attention_dim), (2, 24)))
    added = dict(image_embeds=[embeds], text_embeds=torch.zeros(1, 32), time_ids=torch.ones(1, 6))
    def step(): return unet(torch.ones(1, 4, 16, 16), 500, text, added_cond_kwargs=added).sample
    with installed(unet, PAIR) as state:
        first = step()
        text.mul_(-1)
        assert not torch.equal(step(), first)
        text.mul_(-1)
        assert torch.equal(step(), first)
        assert all(isinstance(layer.text_kv, KV) for layer in state.layers)
        with torch.enable_grad(): step()
        assert all(layer.text_kv is None for layer in state.layers)             # every layer reads for itself, and gradients pass
    unet.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=["to_k", "to_v"]), adapter_name="style")
    with installed(unet, PAIR):
        unet.set_adapters("style", 1.)
        strong = step()
        unet.set_adapters("style", .2)
        weak = step()
    assert not torch.equal(strong, weak)
    with installed(unet, PAIR): assert torch.equal(step(), weak)


def test_the_projection_comes_back(either):
    before = either.unet.encoder_hid_proj
    with pytest.raises(RuntimeError), installed(either.unet, PAIR):
        assert isinstance(either.unet.encoder_hid_proj, CachedProjection)
        assert either.unet.encoder_hid_proj.image_projection_layers[0] is before.image_projection_layers[0]
        raise RuntimeError
    assert either.unet.encoder_hid_proj is before


@torch.no_grad()
def test_masks_are_made_once_per_size(pipes, monkeypatch):
    pipe, made = pipes("sdxl-plain"), []
    cover = Layout.cover
    monkeypatch.setattr(Layout, "cover", lambda self, grid: made.append(grid) or cover(self, grid))
    with installed(pipe.unet, PAIR):
        run(pipe, PAIR.images, steps=4)
        once = len(made)
        run(pipe, PAIR.images, steps=4)
        assert len(made) == once == len(pipe.unet.config.block_out_channels)
        run(pipe, PAIR.images, steps=1, latent=(16, 24))
        assert len(made) == 2*once


@torch.no_grad()
def test_two_sets_of_pictures_in_turn_are_both_kept(pipes):
    "A guider that runs the halves apart hands over two tensors in turn."
    pipe = pipes("sdxl-plain")
    unet, g = pipe.unet, torch.Generator().manual_seed(0)
    def randn(*shape): return torch.randn(*shape, generator=g)
    halves = [torch.zeros(1, 2, 24), randn(1, 2, 24)]
    x, text, calls = randn(1, 4, 16, 16), randn(1, 7, unet.config.cross_attention_dim), []
    first = next(iter(find_processors(unet).values())).to_k_ip[0]
    hook = first.register_forward_hook(lambda *_: calls.append(1))
    try:
        with installed(unet, PAIR):
            for t in (900, 500, 100):
                for embeds in halves:
                    added = dict(image_embeds=[embeds], text_embeds=torch.zeros(1, 32), time_ids=torch.ones(1, 6))
                    unet(x, t, text, added_cond_kwargs=added)
        assert len(calls) == 2
    finally: hook.remove()


@torch.no_grad()
def test_negative_none_is_folded_into_the_values(pipes):
    pipe = pipes("sdxl-plain")
    def go(variant):
        with installed(pipe.unet, PAIR, variant, uncond_image="none"): return run(pipe, PAIR.images)
    assert (go("fused") - go("crop_merge")).abs().max() <= 1e-5
