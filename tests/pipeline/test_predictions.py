"What the model believes at each step: the scheduler's own prediction, exact, kept beside the noisy pictures, and watching changes nothing."
import diffusers
import numpy as np
import pytest
import torch

from anyms.pipeline.comparison import Comparison
from anyms.pipeline.result import Result
from anyms.pipeline.steps import clean_latents, count_steps, decode_latents, from_alphas
from anyms.widgets import explore, static_explorer

TELL = [("DDIMScheduler", {}), ("DDPMScheduler", {}), ("EulerDiscreteScheduler", {}), ("EulerAncestralDiscreteScheduler", {}),
        ("HeunDiscreteScheduler", {}), ("DPMSolverMultistepScheduler", dict(algorithm_type="dpmsolver++")),
        ("DPMSolverSinglestepScheduler", dict(algorithm_type="dpmsolver++")), ("UniPCMultistepScheduler", {}),
        ("PNDMScheduler", dict(skip_prk_steps=True))]
SILENT = [("DEISMultistepScheduler", {}), ("DPMSolverMultistepScheduler", dict(algorithm_type="dpmsolver", final_sigmas_type="sigma_min"))]


@pytest.fixture
def scheduled(pipe):
    "The pipeline with another scheduler, for the length of a test."
    old = pipe.scheduler
    def schedule(name, options):
        config = {k: v for k, v in old.config.items() if k not in ("clip_sample", "steps_offset")}
        pipe.scheduler = getattr(diffusers, name).from_config(config, **options)
        return pipe.scheduler
    yield schedule
    pipe.scheduler = old

def same(a, b): return np.array_equal(np.asarray(a), np.asarray(b))

def watch(scheduler, monkeypatch, kept):
    "Write down what goes into the scheduler and what the scheduler itself says, by other ways than ours."
    step, convert = scheduler.step, getattr(scheduler, "convert_model_output", None)
    def seen(model_output, timestep, sample, *args, **kwargs):
        output = step(model_output, timestep, sample, *args, **kwargs)
        kept.append((model_output.clone(), timestep, sample.clone(), output))
        return output
    def converted(*args, **kwargs):
        kept.append(convert(*args, **kwargs))
        return kept[-1]
    if convert is None: monkeypatch.setattr(scheduler, "step", seen)
    else: monkeypatch.setattr(scheduler, "convert_model_output", converted)


def test_ddim_predictions_are_the_equation_and_the_scheduler(scheduled, draw, pipe, monkeypatch):
    "To 1e-5: the scheduler's own pred_original_sample, and x0 from two latents that follow each other."
    scheduler, kept = scheduled("DDIMScheduler", dict(clip_sample=False)), []
    watch(scheduler, monkeypatch, kept)
    predictions = {}
    with count_steps(scheduler, predictions): draw(num_inference_steps=6)
    assert sorted(predictions) == list(range(6)) and len(kept) == 6
    bar, times = scheduler.alphas_cumprod, [int(t) for _, t, _, _ in kept]
    for i, (_, t, sample, output) in enumerate(kept):
        assert (predictions[i] - output.pred_original_sample[:1]).abs().max() <= 1e-5
        if i == 5: continue
        (a, s), (b, z) = ((bar[time]**.5, (1 - bar[time])**.5) for time in (t, times[i + 1]))
        exact = (s*kept[i + 1][2] - z*sample)/(b*s - a*z)      # eta 0: two equations, two unknowns
        assert torch.allclose(predictions[i], exact[:1], atol=2e-3, rtol=1e-3)

def test_dpm_solver_predictions_are_what_it_solves_with(scheduled, draw, monkeypatch):
    scheduler, kept = scheduled("DPMSolverMultistepScheduler", dict(algorithm_type="dpmsolver++")), []
    watch(scheduler, monkeypatch, kept)
    predictions = {}
    with count_steps(scheduler, predictions): draw(num_inference_steps=6)
    assert len(kept) == 6
    for i, clean in enumerate(kept): assert (predictions[i] - clean[:1]).abs().max() <= 1e-5

@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_from_alphas_inverts_the_forward_process(kind):
    g, bar = torch.Generator().manual_seed(0), torch.tensor(.3)
    clean, noise = torch.randn(2, 1, 4, 5, 6, generator=g)
    alpha, sigma = bar**.5, (1 - bar)**.5
    said = dict(epsilon=noise, v_prediction=alpha*noise - sigma*clean, sample=clean)[kind]
    assert torch.allclose(from_alphas(kind, said, alpha*clean + sigma*noise, bar), clean, atol=1e-5)
    assert from_alphas("unheard of", said, clean, bar) is None

def test_pndm_says_nothing_and_the_schedule_tells(scheduled, draw, monkeypatch):
    "Five calls for four steps; each belief is the equation at what the model was really asked."
    scheduler, kept, predictions = scheduled("PNDMScheduler", dict(skip_prk_steps=True)), [], {}
    watch(scheduler, monkeypatch, kept)
    with count_steps(scheduler, predictions): draw(num_inference_steps=4)
    assert len(kept) == 5 and sorted(predictions) == list(range(4))
    for i, (noise, t, sample, _) in enumerate(kept[1:]):       # the second call belongs to the first step, too
        bar = scheduler.alphas_cumprod[int(t)]
        clean = (sample - (1 - bar)**.5*noise)/bar**.5
        assert torch.allclose(predictions[i], clean[:1], atol=1e-5, rtol=1e-5)

@pytest.mark.parametrize("name, options", TELL + SILENT)
def test_watching_is_neutral_and_whole(scheduled, draw, name, options):
    scheduled(name, options)
    plain, watched = draw(num_inference_steps=4), draw(num_inference_steps=4, step_images=True)
    assert same(plain.image, watched.image) and plain.predicted_images is None and len(watched.step_images) == 4
    if (name, options) in SILENT: assert watched.predicted_images is None
    else:
        assert len(watched.predicted_images) == 4 and same(watched.predicted_images[-1], watched.image)
        assert not same(watched.predicted_images[0], watched.step_images[0])

def test_a_scheduler_that_cannot_tell_says_none(scheduled):
    scheduler = scheduled(*SILENT[0])
    x = torch.zeros(1, 4, 4, 4)
    assert clean_latents(scheduler, object(), x, 3, x) is None

def test_a_bundle_keeps_both_films(draw, tmp_path):
    result = draw(step_images=True)
    again = Result.load(result.save(tmp_path/"run"))
    for film in ("step_images", "predicted_images"):
        assert all(map(same, getattr(again, film), getattr(result, film)))
    (tmp_path/"run"/"predicted_images.png").write_bytes(b"cut")
    with pytest.raises(ValueError, match="predicted_images.png"): Result.load(tmp_path/"run")

def test_decoding_predictions_ends_with_the_picture(pipe, draw):
    result = draw()
    frames = decode_latents(pipe, {0: torch.zeros(1, 4, 8, 8), 1: torch.zeros(1, 4, 8, 8)}, result.image)
    assert len(frames) == 2 and same(frames[-1], result.image)

def test_explorer_begins_with_the_belief_and_offers_the_noise(draw):
    result = draw(step_images=True, stats="norm")
    panel = explore(result, step=0)
    assert panel.film == "belief" and panel.facts["films"] == ["belief", "noisy"]
    believed = panel.image()
    panel.film = "noisy"
    assert not same(believed, panel.image())
    page = static_explorer(Comparison([result]))
    assert page.count('["film",') == 2

def test_explorer_without_predictions_offers_the_noise_only(scheduled, draw):
    scheduled(*SILENT[0])
    panel = explore(draw(step_images=True))
    assert panel.film == "noisy" and panel.facts["films"] == ["noisy"]
    with pytest.raises(Exception, match="film='belief'"): panel.film = "belief"
