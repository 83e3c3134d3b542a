"The judge of stickers, asked about cases: its own rows, equal nouns, disagreeing colours."

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from anyms.layout.boxes import Box
from anyms.paper.cases.case import Case, CaseSubject, StickerReference, case_truth
from anyms.paper.metrics.registry import available, measure
from anyms.paper.metrics.rows import TABLES, judge_pictures
from anyms.paper.metrics.stickers import StickerJudge, obeys_ruler
from anyms.stickers.judge.scores import bootstrap
from anyms.stickers.judge.testset import held_out_layouts, scenes_of, to_image
from anyms.stickers.world.rendering import render
from anyms.stickers.world.sprites import all_sprites


@pytest.fixture(scope="module")
def judge(): return StickerJudge()

def painted(*cases, size=(64, 64)): return [to_image(x) for x in render(scenes_of([case_truth(case) for case in cases]), size)]

def as_case(one, top_first=False):
    "A held-out layout as a case; its subjects may stand in another order than they are painted."
    members = list(zip(one["nouns"], one["sprites"], one["boxes"], one["hue"]))
    subjects = [CaseSubject(noun, StickerReference(noun, all_sprites()[i].drawing, hue), Box(*box), j) for j, (noun, i, box, hue) in enumerate(members)]
    return Case(one["id"], one["prompt"], tuple(subjects[::-1] if top_first else subjects), one["place"], style=tuple(one["u"]))

def judged(judge, cases, pictures):
    each = [judge_pictures(judge, case, [picture], [0]) for case, picture in zip(cases, pictures)]
    return {name: pd.concat([tables[name] for tables in each]) for name in TABLES}

@pytest.fixture(scope="module")
def truth(): return held_out_layouts(10, (1, 5), hue=.3)

def test_figures_are_the_judges_own(judge, truth):
    cases = [as_case(one) for one in truth]
    pictures = painted(*cases)
    pictures = pictures[:6] + pictures[7:] + pictures[6:7]                                   # some true, some of other layouts
    tables, rows = judged(judge, cases, pictures), judge.judge(pictures, truth)
    value = bootstrap(rows, n=2).set_index("figure").value
    for name in ("mIoU", "mIoU_any", "AP50", "AP50_any", "identity", "identity_anywhere", "missing", "scene", "ghost", "incomplete"):
        assert measure(name, tables)[0] == pytest.approx(value[name], abs=1e-6), name
    assert measure("coverage", tables)[0] == pytest.approx(value.text)

def test_rows_stand_in_the_order_of_the_case(judge, truth):
    one = next(one for one in truth if len(one["nouns"]) == 3)
    straight, turned = as_case(one), as_case(one, top_first=True)
    picture = painted(straight)
    a, b = (judge_pictures(judge, case, picture, [5])["subjects"] for case in (straight, turned))
    assert a.name.tolist() == straight.names and b.name.tolist() == turned.names and b.subject.tolist() == [0, 1, 2]
    same = ["iou", "iou_any", "found", "score", "likeness", "likeness_margin", "target_x0", "x1"]
    assert np.allclose(a[same], b[same][::-1].reset_index(drop=True), equal_nan=True, atol=1e-6)
    assert np.allclose(a.loc[:, ["target_x0", "target_y0", "target_x1", "target_y1"]], [list(box) for box in straight.boxes])

def test_pictures_of_a_unit_together_and_apart(judge, truth):
    case, pictures = as_case(truth[3]), painted(*[as_case(one) for one in truth[:4]])
    together = judge_pictures(judge, case, pictures, [3, 5, 7, 9])
    apart = [judge_pictures(judge, case, [picture], [seed]) for picture, seed in zip(pictures, (3, 5, 7, 9))]
    for name in TABLES: pd.testing.assert_frame_equal(together[name], pd.concat([one[name] for one in apart], ignore_index=True), rtol=1e-4, atol=1e-5)

def fox(box, hue=0., asked=None, name="fox"): return CaseSubject(name, StickerReference("fox", "noto", hue), box, asked_hue=asked)

LEFT, RIGHT = Box(.04, .3, .46, .78), Box(.54, .3, .96, .78)

def test_equal_nouns_are_dealt_out(judge):
    pair = Case("two", "two foxes", (fox(RIGHT, name="right fox"), fox(LEFT, name="left fox")), "snow", style=(.5,)*8)
    tables = judge_pictures(judge, pair, painted(pair), [0])
    assert tables["subjects"].hit.tolist() == [1, 1] and measure("AP50", tables)[0] == 1
    alone = judge_pictures(judge, pair, painted(replace(pair, subjects=pair.subjects[1:])), [0])
    assert alone["subjects"].found.tolist() == [0, 1]
    assert alone["subjects"].loc[0, ["iou", "likeness", "likeness_margin", "identity_anywhere"]].tolist() == [0]*4

def disagreeing(reference, asked):
    ball = CaseSubject("ball", StickerReference("ball", "twemoji"), RIGHT)
    return Case("odd", "a blue fox and a ball in the snow", (fox(LEFT, reference, asked), ball), "snow", style=(.5,)*8)

@pytest.mark.parametrize("reference, asked", [(0., .5), (.25, .75)])
def test_obeying_is_not_copying(judge, reference, asked):
    case = disagreeing(reference, asked)
    copying = replace(case, subjects=(fox(LEFT, reference), case.subjects[1]))
    tables = judge_pictures(judge, case, painted(case, copying), [0, 1])
    rows = tables["subjects"].query("subject == 0")
    assert rows.obeys.tolist() == [1, 0] and rows.likeness.iloc[1] > rows.likeness.iloc[0]
    assert tables["subjects"].query("subject == 1").obeys.isna().all()
    assert measure("obeys", tables)[0] == .5 and "obeys" not in available(judge_pictures(judge, copying, painted(copying), [0]))

def test_what_is_missing_does_not_obey(judge):
    case = disagreeing(0., .5)
    tables = judge_pictures(judge, case, painted(replace(case, subjects=case.subjects[1:])), [0])
    assert tables["subjects"].obeys.iloc[0] == 0 and np.isnan(measure("obeys_found", tables)[0])

def test_the_ruler_knows_what_it_is_asked(judge):
    told = obeys_ruler(judge, [disagreeing(0., .5), disagreeing(.25, .75)])
    assert told.right.tolist() == [1]*4 and told.colour.tolist() == ["asked", "reference"]*2 and told.name.tolist() == ["fox"]*4

def test_pictures_of_any_size_and_none(judge):
    case = disagreeing(0., .5)
    small, = painted(case)
    big = small.resize((256, 256))
    tables = judge_pictures(judge, case, [small, big], [0, 1])
    assert np.allclose(*[tables["subjects"].query("seed == @k").iou for k in (0, 1)], atol=.1)
    wide = replace(case, aspect=1.5)
    assert judge_pictures(judge, wide, painted(wide, size=(64, 96)), [0])["subjects"].hit.tolist() == [1, 1]

def test_an_empty_picture(judge):
    case = disagreeing(0., .5)
    tables = judge_pictures(judge, case, painted(replace(case, subjects=(fox(Box(0, 0, .001, .001)),))), [0])
    assert measure("mIoU", tables)[0] < .05 and tables["subjects"].found.sum() == 0 and measure("AP50", tables)[0] == 0

def test_the_name_is_weights_and_threshold(judge):
    assert judge.name == StickerJudge().name and "threshold 0.15" in judge.name
    other = StickerJudge()
    with torch.no_grad(): next(other.judge.embedder.parameters()).add_(1)
    assert other.name != judge.name

def test_photographs_are_refused_with_a_sentence(judge):
    class Photo: pass
    case = Case("p", "a dog", (CaseSubject("dog", Photo(), LEFT),), "snow")
    with pytest.raises(ValueError, match="'p': the reference of 'dog' is a photograph.*PhotoJudge"): judge(case, [])
    with pytest.raises(ValueError, match="'p' has no subjects"): judge(replace(case, subjects=()), [])
