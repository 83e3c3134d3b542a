"The eleven combinations hold what the paper and our plan say, and MS-Bench's boxes take anybody's subjects."
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from anyms.layout.boxes import Box
from anyms.paper.cases.case import StickerReference, case_truth, overlapping
from anyms.paper.cases.combinations import (
    FAR, HIDDEN, PLANS, asked_claims, case_size, clear_color, combinations, deal, held_out_subjects, plan_combinations, true_scene)
from anyms.paper.cases.files import check_case
from anyms.paper.cases.ms_bench import ms_bench_boxes, ms_bench_cases, ms_bench_combinations
from anyms.stickers.judge.detections import prepare_image
from anyms.stickers.judge.judge import load_judge
from anyms.stickers.language import check_claims
from anyms.stickers.world.captions import HEADS, HEADWEAR, is_worn
from anyms.stickers.world.colors import HUES, color_word
from anyms.stickers.world.sprites import CORE, all_sprites, cell_size, nouns

CASES = combinations()
EVERY = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


# the set

def test_counts_are_the_papers():
    "4 x 2, 3 x 3, 2 x 4, 2 x 5: 35 places, 24 subjects, seven cases of three or more."
    sizes = [len(case) for case in CASES]
    assert [sizes.count(n) for n in (2, 3, 4, 5)] == [4, 3, 2, 2] and sum(sizes) == 35
    assert len({one.reference.key for case in CASES for one in case.subjects}) == 24
    assert sum(n >= 3 for n in sizes) == 7
    assert [case.id for case in CASES] == "2a 2b 2c 2d 3a 3b 3c 4a 4b 5a 5b".split()


def test_the_frozen_file_is_what_the_rule_says():
    assert plan_combinations() == CASES


@EVERY
def test_no_training_has_seen_a_drawing(case):
    for one in case.subjects:
        assert all_sprites()[one.reference.index].split == "drawing"
        assert one.reference.noun in nouns()[:CORE] and one.name == one.reference.noun
    assert len(set(case.names)) == len(case) and check_case(case) is case


@EVERY
def test_boxes_keep_each_drawings_aspect(case):
    for one in case.subjects:
        w, h = cell_size("cpu")[one.reference.index].tolist()
        assert one.box.width*case.aspect/one.box.height == pytest.approx(w/h, rel=2e-3)


@pytest.mark.parametrize("case, plan", zip(CASES, PLANS), ids=[plan.id for plan in PLANS])
def test_cases_follow_their_plan(case, plan):
    assert overlapping(case.boxes) == (plan.boxes != "apart") and case.aspect == plan.aspect
    assert [one.asked_hue is not None for one in case.subjects] == [plan.recolored] + [False]*(len(case) - 1)
    if plan.boxes == "worn":
        host, thing = case.subjects[-2:]
        assert host.name in nouns()[:HEADS] and thing.name in HEADWEAR and thing.priority == "attribute"
        assert is_worn(*(torch.tensor(list(one.box)) for one in (host, thing))) and f"{host.name} wearing a {thing.name}" in case.prompt
        others = [one.box for one in case.subjects[:-2]]
        assert not any(overlapping([box, *other]) for box in others for other in ([host.box], [thing.box]))
    if plan.boxes == "overlapping": assert case.layout.order == list(range(len(case)))


def test_nobody_is_hidden_by_more_than_half():
    for case in CASES:
        owner, cover = case.layout.owner((200, 200)), case.layout.cover((200, 200))
        for j in range(len(case)):
            hidden = 1 - float((owner == j).sum()/cover[j].sum())
            assert hidden <= HIDDEN + .02


def test_layouts_leave_nothing_to_the_order_of_a_list():
    assert not [note for case in CASES for note in case.layout.notes]


def test_at_least_three_ask_for_what_the_reference_has_not():
    disagreeing = [case for case in CASES if case.disagrees]
    assert len(disagreeing) == 4
    for case in disagreeing:
        one, = [one for one in case.subjects if one.asked_hue is not None]
        claim, = asked_claims(case)
        assert f"{claim.word} {one.name}" in case.prompt and claim.nouns == (one.name,)
        assert claim.word in {*HUES, "brown", "pink"} and claim.word != color_word(one.reference.index, one.reference.hue)
        assert clear_color(one.reference)
    assert not any(asked_claims(case) for case in CASES if not case.disagrees)


def test_a_clear_colour_is_far_from_its_opposite():
    assert not clear_color(StickerReference("ball", "noto")) and not clear_color(StickerReference("hat", "emojione"))
    pale, red = StickerReference("cat", "fxemoji"), StickerReference("fox", "noto")
    assert clear_color(red) and not clear_color(pale) and 0 < FAR < 1


def test_every_seed_deals_everybody():
    for seed in range(12):
        subjects = held_out_subjects(seed)
        hands = deal(subjects, seed)
        assert {one for hand in hands.values() for one in hand} == set(subjects) and len(subjects) == 24
        assert all(len({one.noun for one in hand}) == len(hand) for hand in hands.values())


def test_another_seed_is_another_set():
    others = plan_combinations(seed=3)
    assert others != CASES and [len(case) for case in others] == [len(case) for case in CASES]
    for case in others: check_case(case)


# the true scene

def test_the_true_scene_has_the_cases_aspect():
    assert {case.id: true_scene(case).size for case in CASES if case.aspect != 1} == {"3a": (192, 128)}
    assert true_scene(CASES[0], (32, 32)).size == (32, 32)
    assert case_size(1.5, 64) == (64, 96) and case_size(.5, 64) == (128, 64)


def test_the_judge_sees_true_scenes_and_what_pasting_gets_wrong():
    judge, disagreeing = load_judge(), [case for case in CASES if case.disagrees]
    rows = judge([true_scene(case) for case in CASES], [case_truth(case) for case in CASES])
    means = rows[rows.kind == "subject"][["iou", "text", "identity", "scene"]].mean()
    assert means.iou > .7 and means.text > .9 and means.identity > .9 and means.scene > .9
    for draw, kept in ((true_scene, True), (pasted, False)):
        found = check_claims([prepare_image(draw(case)) for case in disagreeing], [asked_claims(case) for case in disagreeing], judge)
        assert (found.holds == kept).all()


def pasted(case):
    "The references in their boxes, in their own colours."
    return true_scene(replace(case, subjects=tuple(replace(one, asked_hue=None) for one in case.subjects)))


# MS-Bench

def named(*nouns): return [(noun, StickerReference(noun, "noto")) for noun in nouns]


LOOK = dict(phrase="on the grass", scene="grass", style=(.5,)*8)


def test_thirteen_combinations_of_at_most_three():
    names = ms_bench_combinations()
    assert len(names) == 13 and all(len(ms_bench_boxes(name)) == name.count("_") + 1 <= 3 for name in names)
    assert ms_bench_boxes("living_upwearing") == [Box(.25, .25, .75, .75), Box(.25, 0, .75, .25)]
    with pytest.raises(ValueError, match="did you mean 'living_scene'"): ms_bench_boxes("living_scenes")


def test_every_way_to_fill_a_combination_once():
    cases = ms_bench_cases(dict(living=named("fox", "cat", "dog")), most=99, **LOOK)
    pairs = [frozenset(case.names) for case in cases if case.id.startswith("living_living-")]
    assert set(pairs) == {frozenset(pair) for pair in itertools.combinations(("fox", "cat", "dog"), 2)} and len(pairs) == 3
    assert len({case.id for case in cases}) == len(cases) == 4
    assert [case.prompt for case in cases][-1] == "a fox, a cat and a dog on the grass"


def test_priorities_follow_the_meaning():
    subjects = dict(living=named("fox"), upwearing=named("hat"), midwearing=named("shirt"), downwearing=named("jeans"), scene=named("house"))
    cases = {case.id.rpartition("-")[0]: case for case in ms_bench_cases(subjects, **LOOK)}
    assert cases["living_upwearing"].prompt == "a fox wearing a hat on the grass"
    assert [one.priority for one in cases["living_midwearing"].subjects] == [0, "attribute"]
    assert [one.priority for one in cases["living_scene"].subjects] == [0, "background"]
    assert [one.priority for one in cases["upwearing_midwearing_downwearing"].subjects] == [0, 0, 0]
    assert np.asarray(true_scene(cases["living_scene"])).std() > 0 and "living_object" not in cases


def test_wrong_subjects_are_told():
    with pytest.raises(ValueError, match="did you mean 'living'"): ms_bench_cases(dict(livings=named("fox")))
    with pytest.raises(ValueError, match="most=0"): ms_bench_cases(dict(living=named("fox")), most=0)
    with pytest.raises(ValueError, match="occurs twice"): ms_bench_cases(dict(living=named("fox", "fox")), **LOOK)
    assert ms_bench_cases({}) == []
