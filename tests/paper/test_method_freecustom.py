"FreeCustom: masked off it is text only to the last bit; masks, rows, seeds and what it leaves behind."
import copy
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, EulerDiscreteScheduler
from method_cases import QUICK, SEEDS, apart, same, two
from torch.nn.functional import scaled_dot_product_attention

from anyms.attention.variants import KV
from anyms.paper.methods.freecustom import MIDDLE, beside_references, reference_canvas, references_along
from anyms.paper.methods.method import get_method
from anyms.paper.methods.paste import encode_latents
from anyms.paper.methods.sampling import Sampling, count_calls, sample


@pytest.fixture(params=["embedded", "sdxl-plus"])
def pipe(request, pipes): return pipes(request.param)


def along(pipe, case=None, seeds=SEEDS, change=lambda bank: None, sampling=QUICK, **options):
    @contextmanager
    def around(seeds):
        with references_along(pipe, case or two(), seeds, **options) as bank:
            change(bank)
            yield
    return sample(pipe, case or two(), seeds, sampling, around=around)


def blind(bank): bank.canvases = [replace(one, alpha=torch.zeros_like(one.alpha)) for one in bank.canvases]


def test_all_masked_is_text_only(pipe):
    assert same(along(pipe, change=blind), sample(pipe, two(), SEEDS, QUICK))


def test_unseen_weight_is_text_only_but_for_rounding(pipe):
    assert apart(along(pipe, weight=-60.), sample(pipe, two(), SEEDS, QUICK)) <= 2


def test_it_looks(pipe): assert apart(along(pipe, weight=3.), sample(pipe, two(), SEEDS, QUICK)) > 5


def test_left_out_keys_are_minus_infinity():
    "Leaving a key out is what the authors' -max on its logit does."
    rng = torch.Generator().manual_seed(0)
    q, k, v, rk, rv = torch.randn(5, 2, 3, 6, 4, generator=rng)
    seen = torch.tensor([True, False, True, True, False, False])
    mine = beside_references(q, KV(k, v), KV(rk[:, :, seen], rv[:, :, seen]), 3.)
    bias = torch.cat([torch.zeros(6), torch.where(seen, 3., float("-inf"))]).expand(6, 12)
    theirs = scaled_dot_product_attention(q, torch.cat([k, rk], 2), torch.cat([v, rv], 2), attn_mask=bias)
    assert torch.allclose(mine, theirs, atol=1e-6)


def test_unconditional_rows_see_themselves(pipe):
    "Layer by layer: the first half of a guided call is what it would be without references."
    with references_along(pipe, two(), SEEDS, "up", 3.) as bank:
        name = next(key.removesuffix(".processor") for key in pipe.unet.attn_processors if "up_blocks" in key and "attn1" in key)
        layer = pipe.unet.get_submodule(name)
        rng = torch.Generator().manual_seed(0)
        x = torch.randn(4, 16, layer.to_q.in_features, generator=rng)
        bank.latent, bank.listening = (4, 4), True
        layer(x)
        bank.listening = False
        looked = layer(x)
    assert torch.allclose(looked[:2], layer(x)[:2], atol=1e-6) and not torch.allclose(looked[2:], layer(x)[2:], atol=1e-3)


def test_a_picture_does_not_depend_on_its_neighbours(pipe):
    together = along(pipe, seeds=[3, 4])
    assert apart(together, along(pipe, seeds=[3]) + along(pipe, seeds=[4])) <= 2
    assert apart(along(pipe, seeds=[3]), along(pipe, seeds=[3])) == 0


def test_rows_are_counted(pipe):
    with count_calls(pipe.unet) as calls: get_method("freecustom").draw(pipe, two(), SEEDS, {}, QUICK)
    assert calls.rows == 2*3*(2 + 2)


def test_without_guidance(pipe):
    plain = Sampling(2, 1., 2)
    assert same(along(pipe, change=blind, sampling=plain), sample(pipe, two(), SEEDS, plain))
    assert apart(along(pipe, sampling=plain), sample(pipe, two(), SEEDS, plain)) > 1


def test_no_adapter_is_heard(pipe):
    "The adapter is off: other references in the adapter's place change nothing, so the layout's boxes do not either."
    moved = replace(two(), subjects=tuple(replace(one, box=MIDDLE) for one in two().subjects))
    assert same(along(pipe), along(pipe, moved))


def test_references_stand_in_the_middle(pipe):
    canvas = reference_canvas(two().subjects[0], (64, 96))
    x0, y0, x1, y1 = canvas.picture.convert("L").point(lambda v: 255*(v < 250)).getbbox()
    assert abs(x0 + x1 - 96) <= 4 and abs(y0 + y1 - 64) <= 4 and canvas.alpha.shape == (1, 64, 96)


def test_everything_goes_after_an_error(pipe):
    before, hooks = dict(pipe.unet.attn_processors), len(pipe.unet._forward_pre_hooks)
    with pytest.raises(RuntimeError), references_along(pipe, two(), SEEDS): raise RuntimeError
    assert all(pipe.unet.attn_processors[k] is before[k] for k in before) and len(pipe.unet._forward_pre_hooks) == hooks


@pytest.mark.parametrize("kind", [DPMSolverMultistepScheduler, EulerDiscreteScheduler])
def test_any_scheduler_noises_references(pipes, kind):
    "What `load` gives SDXL (Karras sigmas), and one that scales the model's input."
    pipe = copy.copy(pipes("sdxl-plus"))
    pipe.scheduler = kind.from_config(pipe.scheduler.config, use_karras_sigmas=True)
    assert same(along(pipe, change=blind), sample(pipe, two(), SEEDS, QUICK))
    assert 0 < apart(along(pipe), sample(pipe, two(), SEEDS, QUICK)) < 255


def test_references_are_noised_as_the_picture_is(pipes):
    "At every step their latents are a mixture of the clean ones and fresh noise, by the scheduler's own shares."
    pipe, seen = pipes("embedded"), []
    def look(unet, args, kwargs):
        if "sample" in kwargs: seen.append((kwargs["sample"], float(kwargs["timestep"])))
    hook = pipe.unet.register_forward_pre_hook(look, with_kwargs=True)
    along(pipe, seeds=[0])
    hook.remove()
    clean = encode_latents(pipe, [reference_canvas(one, (128, 128)).picture for one in two().subjects])
    noises = []
    for noisy, t in seen:
        share = pipe.scheduler.alphas_cumprod[int(t)]
        noises.append((noisy - share**.5*clean)/(1 - share)**.5)
    assert len(noises) == 3 and all(abs(float(noise.std()) - 1) < .05 for noise in noises)
    assert not torch.allclose(noises[0], noises[1], atol=.1)


def test_a_wide_picture(pipes):
    assert along(pipes("embedded"), two(aspect=1.5), [0])[0].size == (192, 128)


def test_unknown_layers_are_refused(pipe):
    with pytest.raises(ValueError, match="layers='sideways'"): along(pipe, layers="sideways")
