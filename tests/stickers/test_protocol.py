"The protocol: nothing tuned is reported, runs are resumed and never mixed, tables say what the rows say."
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from anyms.stickers import language
from anyms.stickers.judge import evaluation, questions
from anyms.stickers.judge.batch import generate_alone
from anyms.stickers.judge.evaluation import run_name
from anyms.stickers.judge.judge import load_judge
from anyms.stickers.judge.testset import KINDS, alone_layouts, as_layout, held_out_layouts, noise_layouts, scenes_of
from anyms.stickers.protocol import jobs
from anyms.stickers.protocol.jobs import Size, asdict, check_same_run, picture_counts, run_jobs, sheet_layouts, tuning_layouts
from anyms.stickers.protocol.processes import run_protocol
from anyms.stickers.protocol.report import write_tables
from anyms.stickers.protocol.requirements import REQUIREMENTS, requirements_table
from anyms.stickers.protocol.sampling import evaluate_sampling
from anyms.stickers.world.rendering import render

FEW = dict(layouts=2, kinds=2, boxes=2, noises=1, alone=2, words=2, claims=2, sheet=1)   # two: one layout for each of two processes


def truths():
    "Every layout that the jobs of `FEW` may draw, by its prompt."
    kinds = [held_out_layouts(2, (2, 5), **which) for which in KINDS.values()]
    alone = [alone_layouts(2, which) for which in KINDS.values()]
    sets = [held_out_layouts(2), noise_layouts(2), sheet_layouts(2), tuning_layouts(4), *kinds, *alone]
    return [one for some in sets for one in some]

def picture(one): return Image.fromarray((render(scenes_of([one]), (128, 128))[0].permute(1, 2, 0)*255).byte().numpy())

@pytest.fixture
def painted(monkeypatch):
    "Drawing replaced by painting the true scene (nothing for text_only), and a log of what was drawn."
    known, log = {tuple(map(tuple, one["boxes"])): one for one in truths()}, []
    def together(pipe, prompt, layout, wanted, **settings):
        one = known[tuple(tuple(round(float(v), 5) for v in box) for box in layout.boxes)]
        log.extend(("together", v, seed, tuple(sorted(settings.items()))) for v, seed in wanted)
        return [picture(one) if v != "text_only" else Image.new("RGB", (64, 64)) for v, _ in wanted]
    def alone(pipe, truth, seeds, **settings):
        log.extend(("alone", one["id"], seed, tuple(sorted(settings.items()))) for one, seed in zip(truth, seeds, strict=True))
        return [picture(one) for one in truth]
    def sentences(pipe, said, seeds, **settings):
        log.extend(("sentence", s, seed, tuple(sorted(settings.items()))) for s, seed in zip(said, seeds, strict=True))
        return [Image.new("RGB", (64, 64), "white") for _ in said]
    for module in (evaluation, jobs): monkeypatch.setattr(module, "generate_batch", together)
    monkeypatch.setattr(questions, "generate_alone", alone)
    monkeypatch.setattr(language, "texts_to_images", sentences)
    pipe = SimpleNamespace(components=dict(unet=torch.nn.Linear(2, 2)))
    monkeypatch.setattr(jobs, "load", lambda folder: pipe)
    return SimpleNamespace(log=log, pipe=pipe)

def quiet(line): pass


def test_nothing_tuned_or_looked_at_is_reported():
    strangers = [held_out_layouts(100, (2, 5), **which) for which in KINDS.values()]
    single = [alone_layouts(50, which) for which in KINDS.values()]
    reported = [held_out_layouts(200), noise_layouts(12), *strangers, *single]
    tuned, looked = tuning_layouts(200)+tuning_layouts(100, (2, 4)), sheet_layouts(48)
    def ids(some): return {one["id"] for one in some}
    assert not ids(tuned) & set.union(*map(ids, reported)) and not ids(looked) & (ids(tuned) | set.union(*map(ids, reported)))

def test_two_processes_draw_what_one_draws_and_nothing_twice(painted, tmp_path):
    for i in (0, 1): run_jobs(tmp_path/"two", (i, 2), size=FEW, report=quiet, scale=1.2)
    both, painted.log[:] = sorted(map(str, painted.log)), []
    run_jobs(tmp_path/"one", size=FEW, report=quiet, scale=1.2)
    assert both == sorted(map(str, painted.log)) and len(painted.log) == sum(picture_counts(Size(**FEW)).values())
    assert all(dict(settings)["scale"] == 1.2 for kind, *_, settings in painted.log if kind == "together")
    without = [dict(settings) for kind, *_, settings in painted.log if kind != "together"]
    assert all("scale" not in settings for settings in without)          # the adapter alone, and text, have their own strength
    one, two = write_tables(tmp_path/"one", tmp_path, 8), write_tables(tmp_path/"two", tmp_path, 8)
    for name in one:
        order = [c for c in one[name] if one[name][c].dtype == object]
        a, b = (t[name].sort_values(order).reset_index(drop=True) for t in (one, two))
        pd.testing.assert_frame_equal(a, b, check_exact=False, atol=1e-4)
    painted.log[:] = []
    run_jobs(tmp_path/"one", size=FEW, report=quiet, scale=1.2)
    assert not painted.log                                               # all of it is there

@pytest.mark.parametrize("change", ["weights", "scale", "size"])
def test_another_run_is_refused(painted, tmp_path, change):
    few = dict(layouts=1, kinds=1, boxes=1, noises=1, alone=1, words=1, claims=1, sheet=0)
    check_same_run(tmp_path, run_name(painted.pipe, load_judge(), size=asdict(Size(**few)), steps=20, guidance=3., scale=1.))
    if change == "weights": painted.pipe.components["unet"].weight.data.add_(1)
    with pytest.raises(ValueError, match="holds another run"):
        run_jobs(tmp_path, size=few | (dict(layouts=2) if change == "size" else {}), report=quiet, scale=1.5 if change == "scale" else 1.)
    assert not painted.log

def test_tables_without_rows(tmp_path):
    (tmp_path/"run.txt").write_text("")
    with pytest.raises(FileNotFoundError, match="holds no rows of 'layouts'"): write_tables(tmp_path, tmp_path)

def test_a_process_that_fails_is_reported_with_its_last_line(tmp_path):
    with pytest.raises(RuntimeError, match="1 of 1 processes failed.*log-0of1.txt is: .*nobody"):
        run_protocol(tmp_path, 1, tmp_path/"nobody")


# --- what the tables say -------------------------------------------------------------------------------------------------------------
@pytest.fixture
def made(painted, tmp_path):
    run_jobs(tmp_path, size=FEW, report=quiet)
    return write_tables(tmp_path, tmp_path, 8)

def test_true_scenes_reach_their_ceiling_and_nothing_is_lost(made):
    kinds = made["kinds"]
    best = kinds[(kinds["set"] == "all") & (kinds.subjects == 0) & (kinds.variant == "crop_merge")]
    assert set(best.seen) == {"all", *KINDS} and (best.value-best.ceiling).abs().max() < .12              # pictures of 8 bits, judged again
    lost = best[best.figure == "lost"].set_index("seen").value
    nothing = kinds[(kinds.variant == "text_only") & (kinds.figure == "lost") & (kinds.seen == "all") & (kinds.subjects == 0)]
    assert (lost < .25).all() and nothing.value.min() == 1
    assert {0, 2} <= set(kinds.subjects) and kinds[kinds["set"] == "difference"].variant.str.contains("crop_merge - full / n").any()
    noises = made["noises"]
    assert set(noises.variant) == {"text_only", "full", "crop_merge", "true scene"}
    alone = made["alone"]
    assert set(alone.seen) == {"all", *KINDS} and (alone.value-alone.ceiling).abs().max() < .6

def test_answers_are_read_off_the_right_row(made, tmp_path):
    told = requirements_table(tmp_path).set_index("what")
    assert (told.reached != "not measured").all() and set(told.met) <= {"yes", "no"}
    kinds = made["kinds"]
    best = kinds[(kinds["set"] == "all") & (kinds.subjects == 0) & (kinds.variant == "crop_merge") & (kinds.figure == "mIoU")]
    row = best[best.seen == "drawings seen"].iloc[0]
    line = [told.loc[w] for w in told.index if w == "mIoU, drawings seen"][0]
    assert f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}]" in line.reached and line.of == f"{row.ceiling:.2f}"
    assert line.asked == "at least 0.93 of the ceiling"
    assert line.met == ("yes" if row.value/row.ceiling >= .93 else "no")
    pairs = kinds[(kinds["set"] == "difference") & (kinds.seen == "all") & (kinds.figure == "mIoU")]
    difference = pairs[pairs.variant == "crop_merge - joint"].iloc[0]
    assert f"{difference.value:.2f}" in told.loc["mIoU, crop_merge - joint"].reached
    assert told.loc["nouns seen by text alone, 3 named"].met == "no"       # white pictures

def test_what_was_not_measured_is_not_met(tmp_path):
    told = requirements_table(tmp_path)
    assert len(told) == len(REQUIREMENTS) and (told.reached == "not measured").all() and (told.met == "").all()


# --- choosing ------------------------------------------------------------------------------------------------------------------------
def test_the_grid_is_resumed_and_belongs_to_its_weights(painted, tmp_path):
    grid = [dict(num_inference_steps=4, guidance_scale=3., scale=1.), dict(num_inference_steps=4, guidance_scale=2., scale=1.)]
    truth, kw = tuning_layouts(2), dict(noises=2, judge=load_judge(), file=tmp_path/"grid.csv")
    first = evaluate_sampling(painted.pipe, truth, grid[:1], **kw)
    assert len(painted.log) == 4 and first.pictures.tolist() == [4] and {"mIoU", "ghost", "plus_minus"} <= set(first)
    assert len({seed for _, _, seed, _ in painted.log}) == 4               # a noise of its own for every picture
    both = evaluate_sampling(painted.pipe, truth, grid, **kw)
    assert len(painted.log) == 8 and both.guidance.tolist() == [3., 2.] and both.mIoU.round(3).nunique() == 1   # kept to four digits
    painted.pipe.components["unet"].weight.data.add_(1)
    with pytest.raises(ValueError, match="holds another run"): evaluate_sampling(painted.pipe, truth, grid, **kw)


# --- ordinary use of the adapter -----------------------------------------------------------------------------------------------------
def test_the_adapter_alone_is_plain_diffusers(embedded):
    truth = alone_layouts(3, KINDS["drawings seen"])
    images = generate_alone(embedded, truth, [4, 5, 6], num_inference_steps=2)
    for one, seed, image in zip(truth, (4, 5, 6), images):
        plain = embedded(one["prompt"], ip_adapter_image=as_layout(one).images[0], num_inference_steps=2, guidance_scale=3.,
                         generator=torch.Generator().manual_seed(seed)).images[0]
        assert np.abs(np.asarray(image, int)-np.asarray(plain, int)).max() <= 3
