"The plan: what decides a picture, in which order, and whose share it is."
import dataclasses

import pytest
import torch
from hypothesis import given, settings, strategies as st

from anyms import Box
from anyms.paper.methods.sampling import Sampling
from anyms.paper.run.adopted import adopt, check_name, with_adopted
from anyms.paper.run.store import Store
from anyms.paper.run.units import (Theirs, World, all_methods, case_digest, claim_store, model_digest, parse_shard, pick_methods, plan,
                                   quick_method, world_in)
from anyms.stickers.judge.evaluation import shard_of
from paper_fakes import WORLD, Dots, Plain, Trains, case_of, fake_pipe, plan_of


def test_every_method_of_the_package_registers():
    methods = all_methods()
    assert {"text_only", "anyms", "full", "masked", "masked_priority"} <= set(methods) and all(m.title for m in methods.values())
    assert list(methods).index("text_only") < list(methods).index("anyms") < list(methods).index("masked_priority")

def test_unknown_method():
    with pytest.raises(ValueError, match="did you mean 'anyms'"): pick_methods(["anymss"])

def test_only_those_that_can_draw_with_the_base():
    assert "anyms" in pick_methods(None, "sdxl") and set(pick_methods(["anyms", "full"])) == {"anyms", "full"}


# digests

def test_whatever_decides_a_picture_is_in_the_key():
    base, method, case = plan_of(), Dots(), case_of("2a")
    key = base.key(method, case)
    moved = dataclasses.replace(case.subjects[0], box=Box(0, .1, .4, .9))
    other_case = dataclasses.replace(case, subjects=(moved, case.subjects[1]))
    other = [base.key(Dots("other"), case), base.key(method, other_case), base.key(Trains("dots"), case),
             plan_of(world=World("stickers", "others")).key(method, case), plan_of(world=World("sdxl", "fake weights")).key(method, case),
             dataclasses.replace(base, sampling=Sampling(5)).key(method, case), dataclasses.replace(base, sampling=Sampling(4, 5.)).key(method, case)]
    assert len({key, *other}) == 1 + len(other)

def test_what_does_not_decide_it_is_not():
    "More noises, other methods beside it, larger batches."
    one, other = plan_of(seeds=range(3)), plan_of(Dots(), seeds=range(50))
    assert one.keys["dots", "2a"] == other.keys["dots", "2a"]
    batches = dataclasses.replace(one, sampling=Sampling(4, batch_size=1))
    assert batches.keys == one.keys

@pytest.mark.parametrize("change", [dict(prompt="x"), dict(scene="x"), dict(aspect=1.5), dict(style=(.5,)), dict(id="x")])
def test_a_case_by_all_its_words(change):
    case = case_of("2a")
    assert case_digest(dataclasses.replace(case, **change)) != case_digest(case)

def test_a_reference_by_its_pixels():
    case = case_of("2a")
    def subject(color): return dataclasses.replace(case.subjects[0], reference=Plain("k", color))
    cases = [dataclasses.replace(case, subjects=(subject(color), case.subjects[1])) for color in ("red", "red", "blue")]
    digests = [case_digest(one) for one in cases]
    assert digests[0] == digests[1] != digests[2]

def test_a_model_by_its_weights():
    pipe, other = fake_pipe(), fake_pipe(1.)
    other.unet.bias.data = pipe.unet.bias.data.clone()
    assert model_digest(pipe) == model_digest(pipe) != model_digest(other)
    other.unet.load_state_dict(pipe.unet.state_dict())
    assert model_digest(pipe) == model_digest(other)
    other.scheduler.config["steps"] = 10
    assert model_digest(pipe) != model_digest(other)

def test_a_models_number_format_counts():
    pipe = fake_pipe()
    before = model_digest(pipe)
    pipe.unet.to(torch.float16)
    assert model_digest(pipe) != before


# quick

def test_quick_trains_a_fortieth():
    quick, plain = quick_method(Trains()), Dots()
    assert quick.settings["stickers"] == dict(training=dict(steps=1, lr=.1), scale=2.)
    assert Trains.settings["stickers"]["training"]["steps"] == 40 and quick_method(plain) is plain
    assert quick_method(Trains("x", "case")).name == "x"

def test_who_lets_another_train_lets_it_train_as_short():
    "TweedieMix reads LatexBlend's weights and tunes them where they are missing: a rehearsal must not train in full there."
    quick = quick_method(all_methods()["tweediemix"])
    steps = [method.tuner.settings["stickers"]["steps"] for method in (all_methods()["tweediemix"], quick)]
    assert steps == [300, 7] and quick.settings == all_methods()["tweediemix"].settings

def test_quick_is_four_noises_and_other_keys_for_what_trains():
    full, quick = (plan_of(Dots(), Trains(), quick=q) for q in (False, True))
    assert (len(full.seeds), len(quick.seeds)) == (100, 4)
    assert full.keys["dots", "2a"] == quick.keys["dots", "2a"] and full.keys["trains", "2a"] != quick.keys["trains", "2a"]


def test_a_noise_is_a_whole_number_from_0():
    with pytest.raises(ValueError, match="seed=-1"): plan_of(seeds=[0, -1])


# the list

def test_units_by_method_in_tens():
    units = plan_of(seeds=range(25)).units
    assert [len(unit.seeds) for unit in units] == [10, 10, 5]*4 and [unit.method for unit in units] == ["dots"]*6 + ["speckles"]*6

@given(st.integers(1, 9), st.integers(1, 40), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_shares_are_the_whole(k, seeds, cases):
    units = plan_of(cases=[case_of(f"2{i}") for i in range(cases)], seeds=range(seeds)).units
    shares = [shard_of(units, (i, k)) for i in range(k)]
    assert sorted(sum(shares, []), key=units.index) == units
    assert max(map(len, shares)) - min(map(len, shares)) <= 1

@pytest.mark.parametrize("text", ["", "1", "2/2", "-1/2", "a/b", "0/0", "1/2/3", "0.5/2"])
def test_strange_shards(text):
    with pytest.raises(ValueError, match="write i/k"): parse_shard(text)

def test_no_case_and_two_alike():
    with pytest.raises(ValueError, match="no cases"): plan(WORLD, {"dots": Dots()}, [])
    with pytest.raises(ValueError, match="two cases are called '2a'"): plan_of(cases=[case_of("2a"), case_of("2a")])

def test_a_method_without_settings_for_the_base():
    class Small(Dots): settings = dict(stickers={})
    with pytest.raises(ValueError, match="no settings for 'sdxl'"): plan_of(Small(), world=World("sdxl", "w")).key(Small(), case_of("2a"))


# whose store

def test_a_store_belongs_to_weights(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(ValueError, match="begin with anyms paper draw"): world_in(store)
    claim_store(store, WORLD)
    claim_store(store, WORLD)
    assert world_in(store) == WORLD
    other = World("stickers", "newer")
    with pytest.raises(ValueError, match="other weights .* --again"): claim_store(store, other)
    assert world_in(store) == WORLD
    claim_store(store, other, again=True)
    assert world_in(store) == other


# adopted

@pytest.mark.parametrize("name, said", [("anyms", "a method of ours"), ("UNO", "small letters"), ("../x", "small letters"), ("", "small letters")])
def test_names_of_theirs(name, said):
    with pytest.raises(ValueError, match=said): check_name(name)

def test_adopted_pictures_keep_their_key_whatever_our_weights(tmp_path):
    store, case = Store(tmp_path), case_of("2a")
    picture = case.subjects[0].reference.picture()
    units = adopt(store, "uno", [case], {("2a", seed): picture for seed in (0, 1, 5)})
    assert [unit.seeds for unit in units] == [(0, 1, 5)] and store.picture_rows(units[0]).origin.eq("theirs").all()
    keys = [with_adopted(plan_of(world=world), store).keys["uno", "2a"] for world in (WORLD, World("sdxl", "x"))]
    assert set(keys) == {units[0].key}
    assert "uno" not in with_adopted(plan_of(), store, ["dots"]).methods

def test_theirs_are_not_drawn_here():
    with pytest.raises(ValueError, match="not ours to draw"): Theirs("uno").draw(None, None, [], {}, None)

def test_nothing_to_adopt(tmp_path):
    with pytest.raises(ValueError, match="no pictures of 'uno'"): adopt(Store(tmp_path), "uno", [case_of("2a")], {})
