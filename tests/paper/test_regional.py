"Regional prompts: with the case's own sentence in every box they are text only, to the bit."
import pytest
import torch

from anyms.attention.variants import KV
from anyms.layout.boxes import Box
from anyms.paper.cases.case import Case, CaseSubject, StickerReference
from anyms.paper.methods.method import get_method
from anyms.paper.methods.regional import Regional, RegionalText, prompt_keys, subject_prompts
from anyms.paper.methods.sampling import Sampling, count_calls, sample
from anyms.paper.methods.text_attention import TextRun, sample_text

FEW = Sampling(3, 3., 2)


def case_of(*boxes, names=("fox", "hat", "cat"), scene="beach", **kw):
    subjects = [CaseSubject(name, StickerReference(name.rstrip("0123456789 "), "noto"), Box(*box), priority) for priority, (name, box) in enumerate(zip(names, boxes))]
    return Case("demo", "fox hat", tuple(subjects), scene, **kw)


@pytest.fixture(scope="module")
def case(): return case_of((0, .25, .6, 1), (.5, 0, 1, .5), aspect=1.5)


def latents(pipe, case, attention): return sample_text(pipe, case, [0, 1], FEW, attention, output_type="latent")


def equal(a, b): return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# --- switched off ----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("overlap", ["mean", "priority"])
def test_the_same_sentence_everywhere_is_text_only(pipes, case, overlap):
    pipe = pipes("sdxl-plus")
    same = RegionalText(case.layout, prompt_keys(pipe, [case.prompt]*2), overlap)
    for ours, theirs in zip(latents(pipe, case, same), sample(pipe, case, [0, 1], FEW, output_type="latent"), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_the_same_keys_everywhere_are_one_attention_to_the_bit(case):
    "The pictures of the oracle above differ by the rounding of one projection at most; the attention itself by nothing."
    q, k, v = torch.randn(3, 2, 4, 384, 8, generator=torch.Generator().manual_seed(0)).unbind()
    k, v = k[:, :, :12], v[:, :, :12]
    for j in range(2):
        own = KV(k[j].expand(2, -1, -1, -1), v[j].expand(2, -1, -1, -1))
        one = RegionalText(case.layout, dict(attn2=own))
        one.layer, one.run = "attn2", TextRun(False)
        one.run.latent = (16, 24)
        whole = torch.nn.functional.scaled_dot_product_attention(q[j:j+1], k[j:j+1], v[j:j+1])
        assert torch.equal(one.attend(q[j:j+1], k[j:j+1], v[j:j+1]), whole)


def test_other_sentences_change_the_picture(pipes, case):
    pipe = pipes("sdxl-plus")
    other = RegionalText(case.layout, prompt_keys(pipe, ["hat", "fox"]))
    assert not equal(latents(pipe, case, other), sample(pipe, case, [0, 1], FEW, output_type="latent"))


# --- who speaks where ------------------------------------------------------------------------------------------------------------
def test_weights_are_shares_inside_and_nothing_outside():
    case = case_of((0, 0, .75, .75), (.25, .25, 1, 1), (.5, 0, .75, 1))
    cover = case.layout.cover((8, 8))
    for overlap in ("mean", "priority"):
        total = RegionalText(case.layout, {}, overlap).weights((8, 8)).sum(0)
        torch.testing.assert_close(total, cover.any(0).float())
    mean = RegionalText(case.layout, {}).weights((8, 8))
    torch.testing.assert_close(mean, cover/cover.sum(0).clamp(min=1))


def test_priority_gives_the_overlap_to_the_upper_subject_in_layout_order():
    below, above = (0, 0, .75, 1), (.25, 0, 1, 1)
    case = case_of(above, below)                 # the second one listed has the higher priority
    weights = RegionalText(case.layout, {}, "priority").weights((1, 4))
    assert weights.tolist() == [[0, 0, 0, 1], [1, 1, 1, 0]]
    assert weights.argmax(0).tolist() == case.layout.owner((1, 4)).tolist()


def test_nothing_changes_outside_the_boxes_in_one_layer(case):
    q, k, v = torch.randn(3, 1, 4, 384, 8, generator=torch.Generator().manual_seed(0)).unbind()
    own = KV(*torch.randn(2, 2, 4, 384, 8, generator=torch.Generator().manual_seed(1)).unbind())
    one = RegionalText(case.layout, dict(attn2=own))
    one.layer, one.run = "attn2", TextRun(False)
    one.run.latent = (16, 24)
    whole = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    inside = case.layout.cover((16, 24)).any(0)
    z = one.attend(q, k, v)
    assert torch.equal(z[:, :, ~inside], whole[:, :, ~inside])
    assert (z[:, :, inside] != whole[:, :, inside]).any(-1).all()


# --- the method ------------------------------------------------------------------------------------------------------------------
def test_sentences_of_subjects():
    assert subject_prompts(case_of((0, 0, 1, 1), (0, 0, 1, 1), names=("owl 2", "fox"), scene="snow")) == ["an owl in the snow", "a fox in the snow"]
    assert subject_prompts(case_of((0, 0, 1, 1), scene="under a bridge")) == ["a fox under a bridge"]


@pytest.mark.parametrize("kind", ["sdxl-plus", "embedded"])
def test_draws_on_either_base_at_the_price_of_text_only(pipes, case, kind):
    pipe, before = pipes(kind), dict(pipes(kind).unet.attn_processors)
    method = get_method("regional")
    assert isinstance(method, Regional) and method.layout and method.trained is None and method.prepare(pipe, case, None) == {}
    with count_calls(pipe.unet) as calls: pictures = method.draw(pipe, case, [0, 1, 2], {}, FEW)
    assert len(pictures) == 3 and calls.rows == 3*3*2
    assert pictures[0].width > pictures[0].height
    assert all(pipe.unet.attn_processors[name] is p for name, p in before.items())


def test_a_wrong_overlap_is_named(case):
    with pytest.raises(ValueError, match="overlap='means' .*use one of mean, priority.*mean"): RegionalText(case.layout, {}, "means")
