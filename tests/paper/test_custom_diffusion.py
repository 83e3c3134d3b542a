"One matrix for all: the constraints hold, it is the best that obeys them, and untouched weights stay untouched."
import pytest
import torch

from anyms.layout.boxes import Box
from anyms.paper.cases.case import Case, CaseSubject, StickerReference
from anyms.paper.methods import latexblend
from anyms.paper.methods.custom_diffusion import CustomDiffusion, merge_weights, ordinary_states, word_states
from anyms.paper.methods.latexblend import LatexBlend, subject_places, tuned_subject
from anyms.paper.methods.method import METHODS
from anyms.paper.methods.sampling import Sampling, sample
from anyms.paper.methods.tune import cross_attention_kv, encode_sentences

FEW = Sampling(2, 3., 2)
ONE_STEP = dict(photos=2, steps=1, batch=2, lr=1e-2)
FOX, HAT = StickerReference("fox", "noto"), StickerReference("hat", "emojione")


def randn(*shape, seed): return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def merge(w, tuned, targets, regular, **kw): return merge_weights(dict(w=w), [dict(w=one) for one in tuned], targets, regular)["w"]


@pytest.fixture
def problem():
    "W_0, two tuned ones, the states of two words each, and ordinary ones; 6 x 12."
    return randn(6, 12, seed=0), [randn(6, 12, seed=i) for i in (1, 2)], [randn(2, 12, seed=i) for i in (3, 4)], randn(300, 12, seed=5)


@pytest.fixture
def case():
    subjects = CaseSubject("fox", FOX, Box(0, .25, .5, 1)), CaseSubject("hat", HAT, Box(.5, 0, 1, .5))
    return Case("demo", "a fox and a hat", subjects, "beach")


@pytest.fixture(params=["sdxl-plus", "embedded"])
def pipe(request, pipes):
    pipe = pipes(request.param)
    before = {name: (p, p.data_ptr(), p.clone()) for name, p in cross_attention_kv(pipe.unet).items()}
    processors = dict(pipe.unet.attn_processors)
    yield pipe
    after = cross_attention_kv(pipe.unet)
    assert all(after[name] is p and p.data_ptr() == at and torch.equal(p, value) for name, (p, at, value) in before.items())
    assert all(pipe.unet.attn_processors[name] is p for name, p in processors.items())


# --- the merge -------------------------------------------------------------------------------------------------------------------
def test_untouched_weights_give_the_frozen_ones(problem):
    w, _, targets, regular = problem
    assert torch.equal(merge(w, [w, w], targets, regular), w)


def test_everybody_gets_his_own_answer(problem):
    w, tuned, targets, regular = problem
    merged = merge(w, tuned, targets, regular)
    for one, c in zip(tuned, targets): torch.testing.assert_close(c @ merged.T, c @ one.T)


def test_one_subject_alone_gives_that_subjects(problem):
    "On its words; and, where its words are a whole basis, the very weights."
    w, (one, _), (c, _), regular = problem
    torch.testing.assert_close(c @ merge(w, [one], [c], regular).T, c @ one.T)
    torch.testing.assert_close(merge(w, [one], [randn(12, 12, seed=9)], regular), one, rtol=1e-6, atol=1e-6)


def test_it_is_the_best_that_obeys(problem):
    "Against the system of Lagrange's equations, solved as it stands."
    w, tuned, targets, regular = problem
    c, n = torch.cat(targets), 12
    v = torch.cat([t @ one.T for t, one in zip(targets, tuned)])
    spread = regular.T @ regular/len(regular)
    spread += 1e-4*spread.diagonal().mean()*torch.eye(n, dtype=w.dtype)
    system = torch.cat([torch.cat([spread, c.T], 1), torch.cat([c, torch.zeros(len(c), len(c), dtype=w.dtype)], 1)])
    wanted = torch.linalg.solve(system, torch.cat([spread @ w.T, v]))[:n].T
    torch.testing.assert_close(merge(w, tuned, targets, regular), wanted)


def test_other_words_move_less_than_by_the_shortest_way(problem):
    "The shortest way: least change of W, whatever the ordinary words are."
    w, tuned, targets, _ = problem
    regular = randn(300, 12, seed=5)*torch.logspace(0, -1, 12, dtype=w.dtype)
    c = torch.cat(targets)
    gap = torch.cat([t @ (one - w).T for t, one in zip(targets, tuned)])
    shortest = w + (torch.linalg.pinv(c) @ gap).T
    def moved(x): return ((x - w) @ regular.T).norm()
    assert moved(merge(w, tuned, targets, regular)) < .9*moved(shortest)


def test_two_wishes_about_one_state_are_averaged(problem):
    w, tuned, (c, _), regular = problem
    merged = merge(w, tuned, [c, c], regular)
    torch.testing.assert_close(c @ merged.T, c @ ((tuned[0] + tuned[1])/2).T, rtol=1e-5, atol=1e-5)


def test_dtype_stays(problem):
    w, tuned, targets, regular = problem
    assert merge(w.bfloat16(), tuned, targets, regular.float()).dtype == torch.bfloat16


# --- states ----------------------------------------------------------------------------------------------------------------------
def test_states_are_those_of_the_words(pipe):
    states = word_states(pipe, ["a hat", "a fox and a hat"], "hat")
    whole, _ = encode_sentences(pipe, ["a hat", "a fox and a hat"])
    places = subject_places(pipe, "a fox and a hat", "hat")
    assert torch.equal(states, torch.cat([whole[0, 1:3], whole[1, places]]))


def test_ordinary_states_are_the_seeds(pipe):
    a, b, other = ordinary_states(pipe, 3), ordinary_states(pipe, 3), ordinary_states(pipe, 3, seed=1)
    assert a.ndim == 2 and torch.equal(a, b) and not torch.equal(a, other)


# --- the method ------------------------------------------------------------------------------------------------------------------
def settings(monkeypatch, **change):
    monkeypatch.setattr(CustomDiffusion, "settings", dict(stickers=ONE_STEP | change, sdxl=ONE_STEP | change))


def test_registered():
    method = METHODS["custom_diffusion"]
    assert (method.title, method.layout, method.trained) == ("Custom Diffusion (ours)", False, "subject")
    assert method.settings is LatexBlend.settings


def test_untouched_weights_draw_text_only_to_the_bit(pipe, case, tmp_path, monkeypatch):
    settings(monkeypatch, lr=0)
    kept = CustomDiffusion().prepare(pipe, case, tmp_path/"custom_diffusion")
    drawn = CustomDiffusion().draw(pipe, case, [0, 1], kept, FEW)
    assert [p.tobytes() for p in drawn] == [p.tobytes() for p in sample(pipe, case, [0, 1], FEW)]


def test_prepare_and_draw(pipe, case, tmp_path, monkeypatch):
    "The subjects are LatexBlend's; made once; the merged weights answer for each of them."
    settings(monkeypatch)
    kept = CustomDiffusion().prepare(pipe, case, tmp_path/"custom_diffusion")
    assert sorted(str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*.*")) == [
        "subjects/fox-noto-0.00.safetensors", "subjects/hat-emojione-0.00.safetensors"]
    monkeypatch.setattr(latexblend, "tune", None)
    again = CustomDiffusion().prepare(pipe, case, tmp_path/"custom_diffusion")
    assert all(torch.equal(kept[k], again[k]) for k in kept) and set(kept) == set(cross_attention_kv(pipe.unet))
    own = tuned_subject(pipe, HAT, tmp_path/"subjects", ONE_STEP)
    noun = word_states(pipe, [case.prompt], "hat")[-1]
    for name in kept: torch.testing.assert_close(kept[name] @ noun, own[name] @ noun, rtol=1e-3, atol=1e-3)
    pictures = CustomDiffusion().draw(pipe, case, [0, 1], kept, FEW)
    assert len(pictures) == 2


def test_a_prompt_without_the_subject(pipe, tmp_path, monkeypatch):
    monkeypatch.setattr(latexblend, "tune", None)
    lost = Case("lost", "a hat", (CaseSubject("fox", FOX, Box(0, 0, 1, 1)),), "beach")
    with pytest.raises(ValueError, match="does not name 'fox'"): CustomDiffusion().prepare(pipe, lost, tmp_path/"x")
