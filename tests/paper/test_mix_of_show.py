"Mix-of-Show: with the model's own weights it is regional prompts; what is tuned is kept beside, by the subject's key."
import pytest
import torch

from anyms.layout.boxes import Box
from anyms.paper.cases.case import Case, CaseSubject, StickerReference
from anyms.paper.methods import mix_of_show
from anyms.paper.methods.latexblend import bank_rows, subject_places
from anyms.paper.methods.method import get_method
from anyms.paper.methods.mix_of_show import tuned_keys
from anyms.paper.methods.regional import prompt_keys, subject_prompts
from anyms.paper.methods.sampling import Sampling, base_of, count_calls
from anyms.paper.methods.tune import cross_attention_kv

FEW = Sampling(3, 3., 2)


@pytest.fixture(scope="module")
def case():
    boxes = Box(0, .25, .6, 1), Box(.5, 0, 1, .5)
    return Case("demo", "fox hat", tuple(
        CaseSubject(name, StickerReference(name, "noto"), box) for name, box in zip(("fox", "hat"), boxes)), "", aspect=1.5)


def rows_of(pipe, case, weights):
    pairs = zip(case.subjects, subject_prompts(case))
    return {f"{one.reference.key}/{name}": row for one, prompt in pairs for name, row in bank_rows(pipe, weights, prompt, one.name).items()}


def changed(pipe, size=.5):
    rng = torch.Generator().manual_seed(0)
    return {name: p.detach() + size*p.std().detach()*torch.randn(p.shape, generator=rng) for name, p in cross_attention_kv(pipe.unet).items()}


@pytest.mark.parametrize("kind", ["sdxl-plus", "embedded"])
def test_own_weights_are_regional_prompts(pipes, case, kind):
    pipe = pipes(kind)
    ours = tuned_keys(pipe, case, rows_of(pipe, case, cross_attention_kv(pipe.unet)))
    theirs = prompt_keys(pipe, subject_prompts(case))
    assert list(ours) == list(theirs)
    for layer, text in ours.items():
        for a, b in zip(text, theirs[layer]): torch.testing.assert_close(a, b, rtol=0, atol=1e-4)


def test_only_the_subjects_own_words_hear_the_tuned_weights(pipes, case):
    pipe = pipes("embedded")
    ours, theirs = tuned_keys(pipe, case, rows_of(pipe, case, changed(pipe))), prompt_keys(pipe, subject_prompts(case))
    for j, (one, prompt) in enumerate(zip(case.subjects, subject_prompts(case))):
        places = subject_places(pipe, prompt, one.name)
        rest = [t for t in range(24) if t not in places]
        for layer in ours:
            assert torch.equal(ours[layer].k[j][:, rest], theirs[layer].k[j][:, rest])
            assert (ours[layer].v[j][:, places] != theirs[layer].v[j][:, places]).any()


def test_other_weights_draw_another_picture_and_own_weights_the_same(pipes, case):
    pipe, method = pipes("embedded"), get_method("mix_of_show")
    def draw(weights): return method.draw(pipe, case, [0], rows_of(pipe, case, weights), FEW)[0].convert("RGB").tobytes()
    regional = get_method("regional").draw(pipe, case, [0], {}, FEW)[0]
    own, other = draw(cross_attention_kv(pipe.unet)), draw(changed(pipe))
    worst = max(abs(a - b) for a, b in zip(own, regional.convert("RGB").tobytes()))
    assert worst <= 1 and other != own


@pytest.mark.parametrize("kind", ["sdxl-plus", "embedded"])
def test_prepare_tunes_once_a_subject_and_the_pipeline_is_as_it_was(pipes, case, kind, monkeypatch, tmp_path):
    pipe, method, asked = pipes(kind), get_method("mix_of_show"), []
    processors, weights = dict(pipe.unet.attn_processors), {name: p.data.clone() for name, p in cross_attention_kv(pipe.unet).items()}

    def tuned_subject(given, reference, folder, settings):
        asked.append((reference.key, folder, settings["steps"]))
        return changed(given)
    monkeypatch.setattr(mix_of_show, "tuned_subject", tuned_subject)
    kept = method.prepare(pipe, case, tmp_path/"mix_of_show")
    steps = method.settings[base_of(pipe)]["steps"]
    assert asked == [(one.reference.key, tmp_path/"subjects", steps) for one in case.subjects]
    again = method.prepare(pipe, case, tmp_path/"mix_of_show")
    assert len(asked) == 2 and all(torch.equal(kept[name], again[name]) for name in kept)
    with count_calls(pipe.unet) as calls: pictures = method.draw(pipe, case, [0, 1, 2], again, FEW)
    assert len(pictures) == 3 and calls.rows == 3*3*2 and method.trained == "subject" and method.layout
    assert all(pipe.unet.attn_processors[name] is p for name, p in processors.items())
    assert all(torch.equal(p, weights[name]) for name, p in cross_attention_kv(pipe.unet).items())
