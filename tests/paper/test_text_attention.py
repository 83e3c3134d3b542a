"""The text's attention with hooks: with none it is text only to the bit, and the U-Net is as it was, object for object.

The tiny pipelines have random weights; latents are compared, for they say more than pictures.
"""
import pytest
import torch
from conftest import picture

from anyms.attention.adapter import AdapterError
from anyms.attention.install import installed
from anyms.layout.boxes import Box
from anyms.layout.layout import Layout
from anyms.layout.subject import Subject
from anyms.paper.cases.case import Case, CaseSubject, StickerReference
from anyms.paper.methods.sampling import Sampling, sample
from anyms.paper.methods.text_attention import TextAttention, attention_scores, installed_text, sample_text, weighted

FEW = Sampling(3, 3., 2)
UNGUIDED = Sampling(3, 1., 2)


@pytest.fixture(scope="module")
def case():
    boxes = Box(0, .25, .6, 1), Box(.5, 0, 1, .5)
    return Case("demo", "fox hat", tuple(
        CaseSubject(name, StickerReference(name, "noto"), box) for name, box in zip(("fox", "hat"), boxes)), "beach", aspect=1.5)


class Same(TextAttention):
    "Looks at everything, changes nothing."
    def __init__(self): self.seen = []

    def keys(self, k, v, step):
        self.seen.append((self.layer, step, len(k)))
        return k, v

    def scores(self, s, grid, step):
        assert grid[0]*grid[1] == s.shape[2] and grid[1] >= grid[0]
        return s


class Halved(TextAttention):
    def scores(self, s, grid, step): return s*.5


def latents(pipe, case, attention, sampling=FEW, **kw):
    return sample_text(pipe, case, [0, 1], sampling, attention, output_type="latent", **kw)


def plain(pipe, case, sampling=FEW): return sample(pipe, case, [0, 1], sampling, output_type="latent")


def equal(a, b): return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# --- nothing changed -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("sampling", [FEW, UNGUIDED])
@pytest.mark.parametrize("kind", ["sdxl-plus", "sdxl-plain", "sd15-plus"])
def test_empty_hooks_are_text_only_to_the_bit(pipes, case, kind, sampling):
    assert equal(latents(pipes(kind), case, TextAttention(), sampling), plain(pipes(kind), case, sampling))
    assert equal(latents(pipes(kind), case, Same(), sampling), plain(pipes(kind), case, sampling))


def test_the_embedded_model_too(embedded, case):
    assert equal(latents(embedded, case, Same()), plain(embedded, case))


def test_hooks_that_change_do_change(pipes, case):
    "The oracle above could not fail else."
    assert not equal(latents(pipes("sdxl-plus"), case, Halved()), plain(pipes("sdxl-plus"), case))


def test_written_out_attention_is_the_kernel():
    q, k, v = torch.randn(3, 2, 4, 6, 8, generator=torch.Generator().manual_seed(0)).unbind()
    ours = weighted(attention_scores(q, k), v)
    torch.testing.assert_close(ours, torch.nn.functional.scaled_dot_product_attention(q, k, v), rtol=0, atol=1e-6)
    assert weighted(attention_scores(q.half(), k.half()), v.half()).dtype == torch.float16


# --- where we are ----------------------------------------------------------------------------------------------------------------
def test_every_layer_knows_its_name_and_step_and_the_conditional_rows(pipes, case):
    pipe, same = pipes("sdxl-plus"), Same()
    latents(pipe, case, same)
    names = [name.removesuffix(".processor") for name in pipe.unet.attn_processors if "attn2" in name]
    assert {layer for layer, _, _ in same.seen} == set(names) and same.layer == ""
    assert [step for _, step, _ in same.seen] == [step for step in range(3) for _ in names]
    assert {rows for _, _, rows in same.seen} == {2}           # of four rows the two with the prompt


def test_without_guidance_every_row_is_conditional(pipes, case):
    same = Same()
    latents(pipes("sdxl-plus"), case, same, UNGUIDED)
    assert {rows for _, _, rows in same.seen} == {2}


def test_unconditional_rows_where_asked_for(pipes, case):
    same = Same()
    same.unconditional = True
    assert equal(latents(pipes("sdxl-plus"), case, same), plain(pipes("sdxl-plus"), case))
    assert {rows for _, _, rows in same.seen} == {4}


def test_steps_begin_anew_with_every_batch(pipes, case):
    same = Same()
    latents(pipes("sdxl-plus"), case, same, Sampling(3, 3., 1))
    assert sorted({step for _, step, _ in same.seen}) == [0, 1, 2]


def test_more_tokens_than_the_text_has(pipes, case):
    "Keys may be added: doubled, they change nothing but rounding."
    class Twice(TextAttention):
        def keys(self, k, v, step): return torch.cat([k, k], 2), torch.cat([v, v], 2)
    for ours, theirs in zip(latents(pipes("sdxl-plus"), case, Twice()), plain(pipes("sdxl-plus"), case), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


# --- left as it was --------------------------------------------------------------------------------------------------------------
def test_the_very_objects_come_back_also_after_an_error(pipes, case):
    pipe = pipes("sdxl-plus")
    before, hooks = dict(pipe.unet.attn_processors), len(pipe.unet._forward_pre_hooks)

    class Breaks(TextAttention):
        def keys(self, k, v, step): raise KeyError("no bank")
    latents(pipe, case, Halved())
    with pytest.raises(KeyError, match="no bank"): latents(pipe, case, Breaks())
    after = pipe.unet.attn_processors
    assert list(after) == list(before) and all(after[name] is before[name] for name in before)
    assert len(pipe.unet._forward_pre_hooks) == hooks


def test_a_unet_without_an_adapter(pipes):
    from conftest import tiny
    pipe = tiny(with_adapter=False)
    call = dict(prompt="fox", num_inference_steps=2, height=32, width=32, output_type="latent")
    theirs = pipe(**call, generator=torch.Generator().manual_seed(0)).images
    with installed_text(pipe.unet, Same()): ours = pipe(**call, generator=torch.Generator().manual_seed(0)).images
    assert torch.isfinite(ours).all() and torch.equal(ours, theirs)


# --- refusals --------------------------------------------------------------------------------------------------------------------
def test_one_at_a_time(pipes):
    unet, layout = pipes("sdxl-plus").unet, Layout([Subject("fox", picture(0), (0, 0, 1, 1))])
    with installed_text(unet, TextAttention()):
        with pytest.raises(AdapterError, match="leave that `with` block first"):
            with installed_text(unet, TextAttention()): pass
    with installed(unet, layout), pytest.raises(AdapterError, match="leave that `with` block first"):
        with installed_text(unet, TextAttention()): pass


def test_something_else_is_refused(pipes):
    with pytest.raises(TypeError, match="is no TextAttention"):
        with installed_text(pipes("sdxl-plus").unet, lambda s, grid, step: s): pass
    with pytest.raises(AdapterError, match="mask"): TextAttention()(None, None, attention_mask=torch.ones(1))
