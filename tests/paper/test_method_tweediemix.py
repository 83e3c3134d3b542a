"TweedieMix: one model is text only to the last bit, mixing is choosing, and each box hears its own model."
import copy
from dataclasses import replace

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from method_cases import ACROSS, BESIDE, QUICK, SEEDS, apart, same, two
from safetensors.torch import save_file

from anyms.paper.methods.method import Method, get_method
from anyms.paper.methods.paste import place_words
from anyms.attention.install import installed
from anyms.paper.methods.sampling import Sampling, canvas_of, count_calls, initial_noise, sample
from anyms.paper.methods.tweediemix import TweedieMix, mix_by_boxes, mixed_by_boxes, subject_weights, words_of
from anyms.pipeline.references import subject_embeds


@pytest.fixture(params=["embedded", "sdxl-plus"])
def pipe(request, pipes):
    found = pipes(request.param)
    weights = {name: p for name, p in found.unet.named_parameters() if "attn2" in name}
    copies = {name: p.clone() for name, p in weights.items()}
    yield found
    after = dict(found.unet.named_parameters())
    assert all(after[name] is p and torch.equal(p, copies[name]) for name, p in weights.items()), "a test left other weights behind"
    assert not found.unet._forward_hooks


def tuned(pipe, seed, size=.3):
    "Small random changes of the weights that LatexBlend tunes."
    rng = torch.Generator().manual_seed(seed)
    names = [name for name, _ in pipe.unet.named_parameters() if name.endswith(("attn2.to_k.weight", "attn2.to_v.weight"))]
    weights = {name: pipe.unet.get_parameter(name) for name in names}
    return {name: (w + size*w.std()*torch.randn(w.shape, generator=rng)).detach() for name, w in weights.items()}


def mixture(pipe, weights, sentences, case=None, first=0, sampling=QUICK, seeds=SEEDS, **options):
    case = case or two(BESIDE)
    def around(seeds): return mixed_by_boxes(pipe, case.layout, weights, sentences, len(seeds), first)
    return sample(pipe, case, seeds, sampling, around=around, **options)


@pytest.mark.parametrize("guidance", [3., 1.])
def test_one_model_is_text_only(pipe, guidance):
    some = Sampling(3, guidance, 2)
    assert same(mixture(pipe, [], ["fox hat"], sampling=some), sample(pipe, two(BESIDE), SEEDS, some))


def test_many_equal_models_are_text_only_but_for_rounding(pipe):
    text = sample(pipe, two(BESIDE), SEEDS, QUICK)
    assert apart(mixture(pipe, [{}, {}], ["fox hat"]*3), text) <= 2
    untouched = tuned(pipe, 0, size=0.)
    assert apart(mixture(pipe, [untouched]*2, ["fox hat"]*3), text) <= 2


def test_before_the_first_mixed_step_it_is_text_only(pipe):
    assert same(mixture(pipe, [tuned(pipe, 1)]*2, ["fox", "hat", "in"], first=3), sample(pipe, two(BESIDE), SEEDS, QUICK))
    assert not same(mixture(pipe, [tuned(pipe, 1)]*2, ["fox", "hat", "in"], first=2), sample(pipe, two(BESIDE), SEEDS, QUICK))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_mixing_answers_is_mixing_predictions(prediction):
    scheduler = DDIMScheduler(prediction_type=prediction, clip_sample=False)
    scheduler.set_timesteps(10)
    x, *answers = torch.randn(4, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    t = scheduler.timesteps[4]
    steps = [scheduler.step(answer, t, x) for answer in answers]
    layout = two(ACROSS).layout
    both = scheduler.step(mix_by_boxes(answers[0], answers[1:], layout), t, x)
    assert torch.equal(both.pred_original_sample, mix_by_boxes(*_parted(step.pred_original_sample for step in steps), layout))
    assert torch.allclose(both.prev_sample, mix_by_boxes(*_parted(step.prev_sample for step in steps), layout), atol=1e-6)


def _parted(some):
    first, *rest = some
    return first, rest


def test_the_upper_subject_decides():
    flat = [torch.full((1, 1, 4, 4), float(i)) for i in range(3)]
    below = mix_by_boxes(flat[0], flat[1:], two(ACROSS).layout)
    assert below[0, 0].tolist() == [[0, 0, 2, 2], [1, 1, 2, 2], [1, 1, 2, 2], [1, 1, 1, 0]]
    fox, hat = two(ACROSS).subjects
    above = mix_by_boxes(flat[0], flat[1:], replace(two(ACROSS), subjects=(replace(fox, priority=2), hat)).layout)
    assert above[0, 0].tolist() == [[0, 0, 2, 2], [1, 1, 1, 2], [1, 1, 1, 2], [1, 1, 1, 0]]


def test_an_own_loop_that_mixes_predictions_draws_the_same(pipe):
    "The slow form: each model's guided prediction of the finished picture, mixed, and DDIM's step written out."
    case, weights, some = two(BESIDE), [tuned(pipe, 1), tuned(pipe, 2)], Sampling(3, 3., 1)
    sentences = [*(words_of(case, one) for one in case.subjects), place_words(case)]
    hooked = mixture(pipe, weights, sentences, case, sampling=some, seeds=[0], output_type="latent")
    assert torch.allclose(hooked[0], _own_loop(pipe, case, weights, sentences, some)[0], atol=1e-4*float(hooked[0].abs().max()))


@torch.no_grad()
def _own_loop(pipe, case, weights, sentences, some):
    "Latents of seed 0."
    pipe.scheduler.set_timesteps(some.num_inference_steps)
    x = initial_noise(pipe, case, [0])*pipe.scheduler.init_noise_sigma
    embeds, null = subject_embeds(pipe, case.layout, case.names, True)
    for t in pipe.scheduler.timesteps:
        with installed(pipe.unet, case.layout, "text_only", null=null):
            clean = [_prediction(pipe, case, words, w, some.guidance_scale, t, x, embeds) for words, w in zip(sentences, [*weights, {}])]
        x = _ddim(pipe.scheduler, mix_by_boxes(clean[-1], clean[:-1], case.layout), x, t, some.num_inference_steps)
    return x


def _prediction(pipe, case, words, weights, guidance, t, x, embeds):
    "One model's guided prediction of the finished picture."
    states, without, pooled, pooled_without = pipe.encode_prompt(words, device="cpu", num_images_per_prompt=1)
    size, parameters = tuple(canvas_of(pipe, case).values()), dict(pipe.unet.named_parameters())
    width = pipe.text_encoder_2.config.projection_dim
    times = pipe._get_add_time_ids(size, (0, 0), size, dtype=states.dtype, text_encoder_projection_dim=width).repeat(2, 1)
    added = dict(text_embeds=torch.cat([pooled_without, pooled]), time_ids=times, image_embeds=embeds)
    def ask(): return pipe.unet(torch.cat([x, x]), t, torch.cat([without, states]), added_cond_kwargs=added, return_dict=False)[0].chunk(2)
    frozen, (uncond, _) = {name: parameters[name].clone() for name in weights}, ask()   # the unconditional answer is everybody's
    for name, value in weights.items(): parameters[name].copy_(value)
    _, cond = ask()
    for name, value in frozen.items(): parameters[name].copy_(value)
    return pipe.scheduler.step(uncond + guidance*(cond - uncond), t, x).pred_original_sample


def _ddim(scheduler, clean, x, t, steps):
    "DDIM without noise, from a prediction (eq. 12 of its paper)."
    before = t - scheduler.config.num_train_timesteps//steps
    a = scheduler.alphas_cumprod[t]
    b = scheduler.alphas_cumprod[before] if before >= 0 else scheduler.final_alpha_cumprod
    eps = (x - a**.5*clean)/(1 - a)**.5
    return b**.5*clean + (1 - b)**.5*eps


def test_each_box_hears_its_own_model(pipe):
    "One step: changing a subject's weights changes its box only; the latents elsewhere stay, bit for bit."
    single = Sampling(1, 3., 2)
    first, second = (mixture(pipe, [{}, w], ["fox", "hat", "in"], sampling=single, output_type="latent") for w in ({}, tuned(pipe, 3)))
    moved = (first[0] != second[0]).any(0)
    h, w = moved.shape
    assert moved[:h//2, w//2:].all() and not moved[h//2:].any() and not moved[:, :w//2].any()


def test_any_scheduler_takes_the_step(pipes):
    pipe = copy.copy(pipes("sdxl-plus"))
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, use_karras_sigmas=True)
    text = sample(pipe, two(BESIDE), SEEDS, QUICK)
    assert same(mixture(pipe, [], ["fox hat"]), text) and apart(mixture(pipe, [{}, {}], ["fox hat"]*3), text) <= 2


def test_rows_are_counted(pipe):
    with count_calls(pipe.unet) as calls: mixture(pipe, [{}, {}], ["fox", "hat", "in"], first=1)
    assert calls.rows == 2*(2 + 2*(2 + 2))


def test_weights_are_kept_per_subject_and_shared(pipe, tmp_path):
    method, case = get_method("tweediemix"), two(BESIDE)
    (tmp_path/"subjects").mkdir()
    for i, one in enumerate(case.subjects): save_file(tuned(pipe, i), tmp_path/"subjects"/f"{one.reference.key}.safetensors")
    kept = method.prepare(pipe, case, tmp_path/"tweediemix")
    for i, one in enumerate(case.subjects):
        mine = subject_weights(kept, one.reference.key)
        assert mine.keys() == tuned(pipe, i).keys() and all(torch.equal(mine[name], value) for name, value in tuned(pipe, i).items())
    pictures = method.draw(pipe, case, SEEDS, kept, QUICK)
    assert len(pictures) == 2 and apart(pictures, sample(pipe, case, SEEDS, QUICK)) > 0


def test_missing_subjects_are_tuned_by_latexblend(pipe, tmp_path, monkeypatch):
    "Whoever comes first makes them, and nobody makes them twice."
    case, made = two(BESIDE), []

    class Tunes(Method):
        name = "latexblend"
        def prepare(self, pipe, case, folder):
            made.append(folder.name)
            (folder.parent/"subjects").mkdir()
            for i, one in enumerate(case.subjects): save_file(tuned(pipe, i), folder.parent/"subjects"/f"{one.reference.key}.safetensors")
            return {}

    monkeypatch.setattr(TweedieMix, "tuner", Tunes())
    kept = [get_method("tweediemix").prepare(pipe, case, tmp_path/"tweediemix") for _ in range(2)]
    assert made == ["latexblend"] and kept[0].keys() == kept[1].keys() and len(kept[0]) == 2*len(tuned(pipe, 0))


def test_everything_goes_after_an_error(pipe):
    with pytest.raises(RuntimeError), mixed_by_boxes(pipe, two().layout, [{}, {}], ["fox", "hat", "in"], 1): raise RuntimeError


def test_an_error_inside_a_call_leaves_the_weights(pipe):
    "A sentence too much, a wrong shape: the call fails and the U-Net is whole."
    with pytest.raises((RuntimeError, IndexError)): mixture(pipe, [{"conv_in.weight": torch.zeros(1)}, {}], ["fox", "hat", "in"])
