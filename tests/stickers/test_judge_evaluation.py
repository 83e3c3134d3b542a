"Evaluations: resumed, shared, refused where two would be mixed; strangers and noises; what is reported."
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from PIL import Image

from anyms.stickers.judge import evaluation
from anyms.stickers.judge.evaluation import evaluate, evaluation_report
from anyms.stickers.judge.judge import load_judge
from anyms.stickers.judge.limits import ceiling, with_lost
from anyms.stickers.judge.questions import evaluate_kinds, evaluate_noises
from anyms.stickers.judge.scores import paired_difference, summary
from anyms.stickers.judge.testset import KINDS, held_out_layouts, noise_layouts, scenes_of
from anyms.stickers.world.rendering import render


@pytest.fixture(scope="module")
def judge(): return load_judge()

class Painter:
    "Stands in for `generate_batch`: paints the true scene for every variant but text_only; can be interrupted."
    def __init__(self, truth): self.truth, self.calls, self.settings, self.stop = {t["prompt"]: t for t in truth}, [], [], None
    def __call__(self, pipe, prompt, layout, wanted, **settings):
        self.settings.append(settings)
        return [self.picture(prompt, *one) for one in wanted]
    def picture(self, prompt, variant, seed):
        if len(self.calls) == self.stop: raise KeyboardInterrupt
        self.calls.append((variant, prompt, seed))
        picture = render(scenes_of([self.truth[prompt]]))[0] if variant != "text_only" else torch.zeros(3, 64, 64)
        return Image.fromarray((picture.permute(1, 2, 0)*255).byte().numpy())

@pytest.fixture
def painter(monkeypatch):
    truth = held_out_layouts(12)
    painter = Painter(truth)
    painter.layouts = truth
    monkeypatch.setattr(evaluation, "generate_batch", painter)
    painter.pipe = SimpleNamespace(components=dict(unet=torch.nn.Linear(2, 2)))
    return painter

def test_evaluate_resumes_and_repeats_nothing(judge, painter, tmp_path):
    kw = dict(truth=painter.layouts, judge=judge, file=tmp_path/"rows.csv")
    variants = ("text_only", "masked")
    painter.stop = 21                                                    # in the eleventh of twelve layouts
    with pytest.raises(KeyboardInterrupt): evaluate(painter.pipe, variants, **kw, guidance_scale=2.)
    painter.stop = None
    rows = evaluate(painter.pipe, variants, **kw, guidance_scale=2.)
    assert len(painter.calls) == 21+4                                    # two layouts were not yet written
    assert set(rows[rows.kind == "subject"].groupby("variant").layout.nunique()) == {12}
    again = evaluate(painter.pipe, variants, **kw, guidance_scale=2.)
    assert len(painter.calls) == 25 and len(again) == len(rows) and again.iou.mean() == pytest.approx(rows.iou.mean(), abs=1e-4)
    table = summary(rows, ceiling(judge, painter.layouts), n=50).set_index(["variant", "figure"]).value
    assert table["masked", "mIoU"] > .6 and table["text_only", "mIoU"] < .05
    assert {s for _, p, s in painter.calls if p == painter.layouts[3]["prompt"]} == {3}   # the same noise for every variant
    with pytest.raises(ValueError, match="holds another run"): evaluate(painter.pipe, variants, **kw, guidance_scale=3.)
    painter.pipe.components["unet"].weight.data.add_(1)
    with pytest.raises(ValueError, match="holds another run"): evaluate(painter.pipe, variants, **kw, guidance_scale=2.)

def test_evaluate_without_a_file_and_with_a_smaller_set(judge, painter):
    lines = []
    rows = evaluate(painter.pipe, ("full",), truth=painter.layouts[:2], judge=judge, report=lines.append, scale=.5)
    assert rows.layout.nunique() == 2 and lines[-1].startswith("2/2 layouts") and rows.run.str.contains("scale 0.5").all()
    assert painter.settings[0] == dict(num_inference_steps=20, guidance_scale=3., scale=.5)

def test_two_processes_share_the_layouts(judge, painter):
    halves = [evaluate(painter.pipe, ("full",), truth=painter.layouts, judge=judge, shard=(i, 2)) for i in (0, 1)]
    whole = evaluate(painter.pipe, ("full",), truth=painter.layouts, judge=judge)
    ids = [t["id"] for t in painter.layouts]
    assert set(halves[0].layout) == set(ids[::2]) and set(halves[1].layout) == set(ids[1::2])
    both = pd.concat(halves).sort_values(["layout", "kind", "subject", "score"]).reset_index(drop=True)
    assert both.equals(whole.sort_values(["layout", "kind", "subject", "score"]).reset_index(drop=True))   # the same noises, too

def test_kinds_of_strangers_are_kept_apart(judge, painter):
    truth = {name: held_out_layouts(4, (2, 5), **which) for name, which in KINDS.items()}
    painter.truth |= {t["prompt"]: t for ts in truth.values() for t in ts}
    rows = evaluate_kinds(painter.pipe, 4, ("full",), judge=judge)
    assert {name: set(r.layout) for name, r in rows.groupby("seen")} == {name: {t["id"] for t in ts} for name, ts in truth.items()}
    subjects = rows[rows.kind == "subject"]
    assert set(subjects[subjects.seen == "nouns never seen"].split) == {"noun"}
    assert set(subjects[subjects.seen == "drawings seen"].split) == {"train"}

def test_many_noises_of_the_same_boxes(judge, painter):
    truth = noise_layouts(2)
    painter.truth |= {t["prompt"]: t for t in truth}
    table = evaluate_noises(painter.pipe, 2, 3, ("text_only", "full"), judge=judge)
    assert (table.noises == 3).all() and len(table) == 2*sum(len(t["boxes"]) for t in truth)
    seeds = {s for v, p, s in painter.calls if p == truth[1]["prompt"]}
    assert sorted(seeds) == [1, 3, 5]                                    # a noise of its own for every layout and round
    assert set(table.columns) >= {"missing", "iou_any"} and table[table.variant == "text_only"].missing.min() == 1
    assert table[table.variant == "full"].stands.mean() > .7 and table[table.variant == "text_only"].stands.max() == 0

def test_the_report_is_summaries_and_pairs(judge, painter):
    variants = ("full", "masked", "crop_merge")
    rows, top = evaluate(painter.pipe, variants, truth=painter.layouts, judge=judge), ceiling(judge, painter.layouts)
    told, rows = evaluation_report(rows, top), with_lost(rows, top)
    def of(kind, variant): return told[(told["set"] == kind) & (told.variant == variant)].set_index("figure")
    assert set(told[told["set"] == "all"].variant) == set(told[told["set"] == "apart"].variant) == set(variants)
    def same(a, b): pd.testing.assert_frame_equal(a[["value", "low", "high"]], b.set_index("figure")[["value", "low", "high"]])
    same(of("difference", "crop_merge - full"), paired_difference(rows, "crop_merge", "full"))
    same(of("difference", "crop_merge - masked, overlapping"), paired_difference(rows[rows.overlapping], "crop_merge", "masked"))
    names = {f"crop_merge - {o}{where}" for o in ("full", "masked") for where in ("", ", disjoint", ", overlapping")}
    assert set(told[told["set"] == "difference"].variant) == names
    assert of("all", "full").ceiling.notna().all() and len(told[told["set"] == "apart"]) == 2*len(told[told["set"] == "all"])
