"Two rows a subject: what is tuned into them, where they are put, and what is equal to text only bit for bit."
from pathlib import Path

import pytest
import torch
from torch import nn

from anyms.layout.boxes import Box
from anyms.paper.cases.case import Case, CaseSubject, StickerReference
from anyms.paper.methods import latexblend
from anyms.paper.methods.latexblend import (
    Bank, BankAttention, BoxedBankAttention, ConceptLoss, LatexBlend, LatexBlendBoxes, bank_rows, banks_of, noun_of, subject_places,
    tuned_subject)
from anyms.paper.methods.method import METHODS
from anyms.paper.methods.sampling import Sampling, sample
from anyms.paper.methods.text_attention import TextAttention, sample_text
from anyms.paper.methods.tune import cross_attention_kv, denoising_loss, encode_pairs, with_weights

FEW = Sampling(3, 3., 2)
ONE_STEP = dict(photos=2, steps=1, batch=2, lr=1e-2)
FOX = StickerReference("fox", "noto")


def case(left=Box(0, .25, .5, 1), right=Box(.5, 0, 1, .5), prompt="a fox and a hat"):
    subjects = CaseSubject("fox", FOX, left), CaseSubject("hat", StickerReference("hat", "emojione"), right)
    return Case("demo", prompt, subjects, "beach")


def equal(a, b): return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def latents(pipe, attention, one, **kw): return sample_text(pipe, one, [0, 1], FEW, attention, output_type="latent", **kw)


def plain(pipe, one): return sample(pipe, one, [0, 1], FEW, output_type="latent")


def louder(pipe, by=3.):
    "Weights that say something else."
    return {name: by*p.detach() for name, p in cross_attention_kv(pipe.unet).items()}


@pytest.fixture(params=["sdxl-plus", "embedded"])
def pipe(request, pipes):
    pipe = pipes(request.param)
    kv = cross_attention_kv(pipe.unet)
    before, values = dict(pipe.unet.attn_processors), {name: (p, p.data_ptr(), p.clone()) for name, p in kv.items()}
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in pipe.unet.modules()]
    yield pipe
    after = cross_attention_kv(pipe.unet)
    assert all(pipe.unet.attn_processors[name] is p for name, p in before.items())
    assert all(after[name] is p and p.data_ptr() == at and torch.equal(p, value) for name, (p, at, value) in values.items())
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in pipe.unet.modules()]


@pytest.fixture
def quick(monkeypatch): monkeypatch.setattr(LatexBlend, "settings", dict(stickers=ONE_STEP, sdxl=ONE_STEP))


# --- places ----------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("sentence, places", [
    ("a fox", [1, 2]), ("the fox", [1, 2]), ("fox", [1]), ("a hat and a fox", [4, 5]), ("a blue fox", [3]),
    ("a fox and a fox", [1, 2])])
def test_places_of_words(embedded, sentence, places):
    if sentence == "the fox" and "the" not in str(embedded.tokenizer.decode(embedded.tokenizer("the").input_ids)): pytest.skip("no such word")
    assert subject_places(embedded, sentence, "fox") == places


def test_a_noun_of_many_tokens(pipes):
    "The tiny tokenizer knows 'fox' as one token and spells 'cow'."
    assert subject_places(pipes("sdxl-plus"), "a cow", "cow") == [1, 2, 3, 4]


def test_a_sentence_without_the_noun(pipe):
    with pytest.raises(ValueError, match="'a hat' does not name 'fox'"): subject_places(pipe, "a hat", "fox")


def test_a_reference_without_a_noun():
    class Strange: key = "strange"
    with pytest.raises(ValueError, match="reference 'strange' has no noun"): noun_of(Strange())


# --- tuning ----------------------------------------------------------------------------------------------------------------------
def test_only_the_concepts_rows_hear_what_is_tuned(pipe, monkeypatch):
    "No rows: the frozen loss; all rows: the tuned model's; bit for bit. The concept's: neither."
    batch = encode_pairs(pipe, FOX.photos(2))
    loss, weights = ConceptLoss(pipe, "fox"), louder(pipe)
    def run(one): return one(batch, torch.Generator().manual_seed(0))
    def bare(batch, rng): return denoising_loss(pipe, batch, rng)
    with torch.no_grad():
        frozen = run(bare)
        with with_weights(pipe.unet, weights):
            tuned, concept = run(bare), run(loss)
            for value, wanted in ((False, frozen), (True, tuned)):
                monkeypatch.setattr(loss, "rows", lambda b, value=value: torch.full((2, b.embeds.shape[1], 1), value))
                torch.testing.assert_close(run(loss), wanted, rtol=1e-5, atol=0)
    assert len({float(frozen), float(tuned), float(concept)}) == 3


def test_rows_are_article_and_noun(pipe):
    batch = encode_pairs(pipe, FOX.photos(2))
    rows = ConceptLoss(pipe, "fox").rows(batch)
    assert rows.shape == (*batch.embeds.shape[:2], 1) and rows[..., 0].nonzero().tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]


def test_hooks_go_when_the_step_fails(pipe):
    batch = encode_pairs(pipe, FOX.photos(1))
    with pytest.raises(RuntimeError), torch.no_grad():
        ConceptLoss(pipe, "fox")(batch._replace(time_ids=batch.time_ids[:, :3]), torch.Generator())


def test_a_subject_is_tuned_once(pipe, tmp_path, monkeypatch):
    first = tuned_subject(pipe, FOX, tmp_path/"subjects", ONE_STEP)
    kv = cross_attention_kv(pipe.unet)
    assert set(first) == set(kv) and all(first[k].shape == kv[k].shape for k in kv) and not any(torch.equal(first[k], kv[k]) for k in kv)
    assert [file.name for file in (tmp_path/"subjects").iterdir()] == ["fox-noto-0.00.safetensors"]
    def never(*a, **kw): pytest.fail("tuned again")
    monkeypatch.setattr(latexblend, "tune", never)
    again = tuned_subject(pipe, FOX, tmp_path/"subjects", ONE_STEP)
    assert all(torch.equal(again[k], first[k]) for k in first)


def test_nothing_half_made_is_left(pipe, tmp_path):
    class Mute(StickerReference):
        def photos(self, n=5): return [(picture, "a hat") for picture, _ in super().photos(n)]
    with pytest.raises(ValueError, match="does not name 'fox'"): tuned_subject(pipe, Mute("fox", "noto"), tmp_path, ONE_STEP)
    assert not list(tmp_path.iterdir())


# --- the bank --------------------------------------------------------------------------------------------------------------------
class Watch(TextAttention):
    "Notes every layer's keys and values, as rows of words."
    def __init__(self): self.rows = {}

    def keys(self, k, v, step):
        for part, x in (("to_k", k), ("to_v", v)): self.rows[f"{self.layer}.{part}"] = x[0].transpose(0, 1).flatten(1).clone()
        return k, v


def test_the_prompts_own_rows_change_nothing_to_the_bit(pipe):
    "The oracle: bank = what the layers made of this prompt anyway."
    one, watch = case(), Watch()
    text_only = latents(pipe, watch, one)
    banks = [Bank(places, {name: x[places] for name, x in watch.rows.items()}, one.layout[name])
             for name in ("fox", "hat") for places in [subject_places(pipe, one.prompt, name)]]
    assert equal(text_only, plain(pipe, one))
    assert equal(latents(pipe, BankAttention(banks), one), text_only)


def test_the_first_subjects_bank_from_frozen_weights_changes_nothing_but_rounding(pipe):
    "Text encoders look back only: the states of 'a fox' are the same whatever follows."
    one, kv = case(), cross_attention_kv(pipe.unet)
    rows = bank_rows(pipe, kv, "a fox at night", "fox")
    bank = Bank(subject_places(pipe, one.prompt, "fox"), rows, one.layout["fox"])
    for a, b in zip(latents(pipe, BankAttention([bank]), one), plain(pipe, one)): torch.testing.assert_close(a, b, rtol=0, atol=2e-4)


def other_banks(pipe, one):
    kept = {f"{s.reference.key}/{k}": v for s in one.subjects for k, v in bank_rows(pipe, louder(pipe), f"a {s.name}", s.name).items()}
    return banks_of(pipe, one, kept)


def test_rows_and_places_fit(pipe):
    one = case(prompt="a fox and blue hat")
    banks = other_banks(pipe, one)
    assert [len(bank.places) for bank in banks] == [2, 1]                          # no article before the hat
    assert all(len(rows) == 2 for bank in banks for rows in bank.rows.values())
    latents(pipe, BankAttention(banks), one)                                      # the noun's row alone goes in


def test_banks_act_below_nine_tenths_of_the_noise(pipe):
    one = case()
    banks = other_banks(pipe, one)
    assert equal(latents(pipe, BankAttention(banks, below=0.), one), plain(pipe, one))
    changed = latents(pipe, BankAttention(banks), one)
    assert not equal(changed, plain(pipe, one)) and all(x.isfinite().all() for x in changed)
    times = pipe.scheduler.timesteps
    assert times[-1] < 900                                                        # else nothing would have been heard


def test_banks_are_heard_from_the_step_that_was_asked_for(pipe):
    "Until then every step is the plain one."
    one, seen = case(), {}
    class Notes(BankAttention):
        def keys(self, k, v, step):
            t, mine = self.run.clock.timestep, super().keys(k, v, step)
            seen[t] = mine[0] is k
            return mine
    latents(pipe, Notes(other_banks(pipe, one), below=.5), one)
    assert seen == {t: t >= 500 for t in seen} and len(seen) == 3 and set(seen.values()) == {True, False}


def test_everybody_hears_in_boxes_as_large_as_the_picture(pipe):
    whole = Box(0, 0, 1, 1)
    one = case(whole, whole)
    banks = other_banks(pipe, one)
    assert equal(latents(pipe, BoxedBankAttention(banks), one), latents(pipe, BankAttention(banks), one))


def test_a_word_is_not_heard_outside_its_box(pipe):
    one, seen = case(), []
    class Look(BoxedBankAttention):
        def scores(self, s, grid, step):
            masked = super().scores(s, grid, step)
            if self.working: seen.append((grid, masked))
            return masked
    changed = latents(pipe, Look(other_banks(pipe, one)), one)
    assert seen and all(x.isfinite().all() for x in changed)
    for grid, s in seen:
        for name in ("fox", "hat"):
            words, cover = subject_places(pipe, one.prompt, name), one.layout[name].cover(grid).flatten()
            assert (s[:, :, ~cover][..., words] == -torch.inf).all() and s[:, :, cover][..., words].isfinite().all()
        others = [i for i in range(s.shape[-1]) if i not in sum((subject_places(pipe, one.prompt, n) for n in ("fox", "hat")), [])]
        assert s[..., others].isfinite().all()


# --- the methods -----------------------------------------------------------------------------------------------------------------
def test_registered():
    assert METHODS["latexblend"].title == "LatexBlend (ours)" and not METHODS["latexblend"].layout
    assert METHODS["latexblend_boxes"].title == "LatexBlend + boxes (ours)" and METHODS["latexblend_boxes"].layout
    assert {METHODS[name].trained for name in ("latexblend", "latexblend_boxes")} == {"subject"}


@pytest.mark.parametrize("method", [LatexBlend, LatexBlendBoxes])
def test_prepare_and_draw(pipe, tmp_path, quick, method, monkeypatch):
    one, folder = case(), tmp_path/"base"/method.name
    kept = method().prepare(pipe, one, folder)
    files = sorted(str(file.relative_to(tmp_path/"base")) for file in Path(tmp_path).rglob("*.safetensors"))
    keys = ["fox-noto-0.00.safetensors", "hat-emojione-0.00.safetensors"]
    assert files == sorted(f"{place}/{key}" for place in (method.name, "subjects") for key in keys)
    monkeypatch.setattr(latexblend, "tune", None)                                  # nothing is tuned twice
    again = method().prepare(pipe, one, folder)
    assert kept.keys() == again.keys() and all(torch.equal(kept[k], again[k]) for k in kept)
    pictures = method().draw(pipe, one, [3, 4], kept, FEW)
    assert [p.size for p in pictures] == [p.size for p in sample(pipe, one, [3, 4], FEW)]


def test_cases_share_subjects(pipe, tmp_path, quick, monkeypatch):
    LatexBlend().prepare(pipe, case(), tmp_path/"latexblend")
    monkeypatch.setattr(latexblend, "tune", None)
    LatexBlendBoxes().prepare(pipe, case(prompt="a hat and a fox"), tmp_path/"latexblend_boxes")


def test_a_prompt_without_the_subject_is_refused_before_anything_slow(pipe, tmp_path, monkeypatch):
    monkeypatch.setattr(latexblend, "tune", None)
    with pytest.raises(ValueError, match="does not name 'hat'"): LatexBlend().prepare(pipe, case(prompt="a fox"), tmp_path/"latexblend")
    assert not list(tmp_path.iterdir())


def test_banks_are_small(pipe, tmp_path, quick):
    "Two rows where the weights have as many as the text is wide."
    LatexBlend().prepare(pipe, case(), tmp_path/"latexblend")
    size = {file.parent.name: file.stat().st_size for file in tmp_path.rglob("fox*")}
    assert size["latexblend"] < size["subjects"]/2


def test_no_module_holds_a_hook(pipe):
    assert not any(m._forward_hooks for m in pipe.unet.modules() if isinstance(m, nn.Linear))
