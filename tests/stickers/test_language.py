"What captions can say: sentences are true of their scenes, a word is one token, and the judge's verdict is about the claim."
import random

import pytest
import torch

from anyms.stickers import language as L, model, training, world
from anyms.stickers.judge.detections import Detections
from anyms.stickers.judge.judge import load_judge
from anyms.stickers.language import check_claims, claim_holds, color_inside, noun_boxes, plain_caption
from anyms.stickers.world.captions import RELATIONS, Claim, plural, relation, size_word
from anyms.stickers.world import claim_words, color_word, describe, described_scenes, is_worn

EMBEDDED = pytest.mark.skipif(not (model.WEIGHTS/"checksums.json").exists(), reason="no embedded weights in this tree")
SCENES, TOLD, CLAIMS = described_scenes(600, seed=11)


# --- sentences -------------------------------------------------------------------------------------------------------------------------
def claims(kind): return [(i, c) for i, said in enumerate(CLAIMS) for c in said if c.kind == kind]

@pytest.mark.parametrize("kind, least", [("noun", 600), ("count", 40), ("colour", 100), ("size", 100), ("relation", 20), ("wears", 60)])
def test_every_kind_of_claim_is_made(kind, least): assert len(claims(kind)) >= least

def test_every_claim_is_said_in_its_sentence():
    for i, said in enumerate(CLAIMS):
        for c in said:
            counted = any(d.kind == "count" for d in said)
            assert (c.kind == "noun" or c.word in TOLD[i]) and all((plural(n) if counted else n) in TOLD[i] for n in c.nouns), (TOLD[i], c)

def test_every_claim_is_true():
    for i, c in ((i, c) for i, said in enumerate(CLAIMS) for c in said):
        names = SCENES.nouns(i)
        box = {n: SCENES.box[i, k] for k, n in reversed(list(enumerate(names)))}
        wide, high = (box[c.nouns[0]][2:]-box[c.nouns[0]][:2]).tolist()
        if c.kind == "count": assert names.count(c.nouns[0]) == {"two": 2, "three": 3}[c.word] == len(names)
        if c.kind == "size": assert max(wide, high) >= .58 if c.word == "big" else max(wide, high) <= .36
        if c.kind == "relation":
            (ax, ay), (bx, by) = ((box[n][:2]+box[n][2:]).tolist() for n in c.nouns)
            assert {"left of": ax < bx, "right of": ax > bx, "above": ay < by, "below": ay > by}[c.word]
        if c.kind == "wears":
            host, thing = (box[n].tolist() for n in c.nouns)
            assert thing[1] < host[1] < thing[3] < (host[1]+host[3])/2 and host[0] < (thing[0]+thing[2])/2 < host[2]

def test_stickers_stay_in_the_picture_and_keep_their_aspect():
    present = SCENES.sprite >= 0
    assert SCENES.box[present].min() >= -1e-5 and SCENES.box[present].max() <= 1+1e-5
    cell = torch.tensor([s.cell[2:] for s in world.all_sprites()]).float()[SCENES.sprite[present]]
    extent = SCENES.box[present][:, 2:]-SCENES.box[present][:, :2]
    torch.testing.assert_close(extent[:, 0]/extent[:, 1], cell[:, 0]/cell[:, 1], rtol=1e-3, atol=1e-3)

@pytest.mark.parametrize("size", [(64, 64), (48, 96), (96, 64)])
def test_boxes_lie_on_the_grid_and_inside_other_shapes(size):
    scenes, _, _ = described_scenes(100, seed=4, size=size, grid=4)
    box = scenes.box[scenes.sprite >= 0]*torch.tensor([size[1], size[0]]).repeat(2)/4
    torch.testing.assert_close(box[:, :2], box[:, :2].round(), atol=1e-3, rtol=0)
    assert box.min() >= -1e-3 and (box <= torch.tensor([size[1], size[0]]).repeat(2)/4+1e-3).all()

def test_same_seed_same_described_scenes():
    again = described_scenes(600, seed=11)
    assert again[1:] == (TOLD, CLAIMS) and torch.equal(again[0].box, SCENES.box) and described_scenes(600, seed=12)[1] != TOLD

def test_only_permitted_drawings():
    assert {world.all_sprites()[k].split for k in SCENES.sprite.unique().tolist() if k >= 0} == {"train"}
    held, _, _ = described_scenes(200, seed=1, splits=("drawing",))
    assert {world.all_sprites()[k].split for k in held.sprite.unique().tolist() if k >= 0} == {"drawing"}

def test_an_empty_scene_is_only_a_place():
    empty = world.sample_scenes(1, stickers=(0, 0))
    assert describe(empty, 0, random.Random(0)) == (world.PLACES[int(empty.place[0])].phrase, [])

def test_plain_captions_name_each_noun_once():
    for i in range(100):
        said = plain_caption(SCENES, i)
        assert all(said.count(f" {n} ")+said.count(f" {n},") == 1 for n in set(SCENES.nouns(i))), said

@pytest.mark.parametrize("one, many", [("fox", "foxes"), ("butterfly", "butterflies"), ("bus", "buses"), ("octopus", "octopuses"),
                                       ("monkey", "monkeys"), ("car", "cars")])
def test_plurals(one, many): assert plural(one) == many


# --- predicates ------------------------------------------------------------------------------------------------------------------------
def test_relations_have_opposites():
    opposite = dict(zip(RELATIONS, (RELATIONS[k] for k in (1, 0, 3, 2)))) | {"": ""}
    g = torch.Generator().manual_seed(0)
    for _ in range(200):
        a, b = (torch.cat([c, c+.2]) for c in torch.rand(2, 2, generator=g)*.8)
        assert relation(b, a) == opposite[relation(a, b)]

@pytest.mark.parametrize("longest, word", [(.2, "small"), (.36, "small"), (.45, ""), (.6, "big"), (.9, "big")])
def test_sizes(longest, word): assert size_word(torch.tensor([.05, .05, .05+longest, .15])) == word

@pytest.mark.parametrize("thing, worn", [
    ((.4, .2, .6, .45), True), ((.4, .6, .6, .8), False), ((.0, .2, .15, .45), False), ((.1, .0, 1., .45), False),
    ((.4, .0, .6, .3), False)])
def test_what_is_worn(thing, worn): assert is_worn(torch.tensor([.3, .4, .7, .9]), torch.tensor(thing)) is worn

def test_colours_turn_with_the_hue():
    strawberry = world.find_sprite("strawberry", "noto")
    assert [color_word(world.find_sprite(noun, "noto")) for noun in ("strawberry", "frog", "panda")] == ["red", "green", ""]
    assert {color_word(strawberry, h/12) for h in range(12)} >= {"red", "green", "blue", "purple"}

def test_the_colour_word_is_the_colour_seen():
    pairs = [(i, float(h)) for i in range(0, 180, 3) for h in (0, .3, .6) if color_word(i, h)]
    pictures = world.references(torch.tensor([i for i, _ in pairs]), torch.tensor([h for _, h in pairs]), 48)
    same = [color_inside(p, torch.tensor([.1, .1, .9, .9])) == color_word(i, h) for p, (i, h) in zip(pictures, pairs)]
    assert len(same) > 60 and sum(same) >= .75*len(same)


# --- words and tokens ------------------------------------------------------------------------------------------------------------------
def test_every_word_is_one_token_and_every_sentence_fits():
    tokenizer = model.make_tokenizer()
    assert all(len(tokenizer.tokenize(w)) == 1 for w in [*claim_words(), *world.nouns()])
    assert max(len(tokenizer(s).input_ids) for s in TOLD) <= tokenizer.model_max_length
    plain = {"a", "an", "and"} | {w for p in world.PLACES for w in p.phrase.split()}
    assert {w for s in TOLD for w in s.replace(",", "").split()} <= plain | set(claim_words()) | set(world.nouns())

def old_tokenizer():
    "One that knows plain captions only."
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode
    merges = model.learn_merges([], {"a", "fox", "on", "the", "beach"})
    letters = list(bytes_to_unicode().values())
    known = [*letters, *(c+"</w>" for c in letters), *(a+b for a, b in merges), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={p: i for i, p in enumerate(dict.fromkeys(known))}, merges=merges, model_max_length=24)

def test_new_words_leave_old_numbers_alone():
    old = old_tokenizer()
    new = model.with_words(old, claim_words())
    assert {k: v for k, v in new.get_vocab().items() if k in old.get_vocab()} == old.get_vocab()
    assert old("a fox on the beach").input_ids == new("a fox on the beach").input_ids and new.eos_token_id == old.eos_token_id
    assert sorted(new.get_vocab().values()) == list(range(len(new))) and len(new.tokenize("wearing")) == 1 < len(old.tokenize("wearing"))
    assert model.with_words(new, claim_words()) is new

def test_a_pipeline_learns_words_once_and_keeps_what_it_knew(tmp_path):
    pipe, old = model.make_pipeline(), old_tokenizer()
    pipe.tokenizer, pipe.tokenizer_2 = old, old_tokenizer()
    pipe.text_encoder, pipe.text_encoder_2 = (e.eval() for e in model.make_text_encoders(len(old), old.eos_token_id))
    with torch.no_grad(): before = training.encode_prompt(pipe, ["a fox on the beach"])
    model.learn_words(pipe)
    size = pipe.text_encoder.get_input_embeddings().num_embeddings
    with torch.no_grad(): after = training.encode_prompt(pipe, ["a fox on the beach"])
    assert all(torch.equal(a, b) for a, b in zip(before, after))
    assert size == len(pipe.tokenizer) > len(old) and pipe.text_encoder.config.vocab_size == size
    table, number = pipe.text_encoder_2.get_input_embeddings().weight, pipe.tokenizer.get_vocab()
    assert torch.equal(table[number["foxes</w>"]], table[number["fox</w>"]])
    model.learn_words(pipe)
    assert pipe.text_encoder.get_input_embeddings().num_embeddings == size
    pipe.tokenizer.save_pretrained(tmp_path)
    from transformers import CLIPTokenizer
    again = CLIPTokenizer.from_pretrained(tmp_path)
    assert again.get_vocab() == pipe.tokenizer.get_vocab()
    assert [again(s).input_ids for s in TOLD[:50]] == [pipe.tokenizer(s).input_ids for s in TOLD[:50]]

@EMBEDDED
def test_the_embedded_model_knows_every_word():
    tokenizer = model.load().tokenizer
    assert all(len(tokenizer.tokenize(w)) == 1 for w in [*claim_words(), *world.nouns()])
    one, two = (model.WEIGHTS/"base"/name/"tokenizer.json" for name in ("tokenizer", "tokenizer_2"))
    assert one.read_bytes() == two.read_bytes()      # nothing of the last call (padding, truncation) was saved with it


# --- the judge's ear -------------------------------------------------------------------------------------------------------------------
def detections(*seen):
    "Sure detections: (noun, box) each."
    noun = torch.zeros(len(seen), len(world.nouns()))
    for k, (n, _) in enumerate(seen): noun[k, world.nouns().index(n)] = 1
    box, score = torch.tensor([b for _, b in seen]).view(-1, 4).float(), torch.linspace(.9, .8, len(seen))
    return Detections(box, score, noun, torch.ones(len(world.PLACES))/len(world.PLACES))

LEFT, RIGHT, LARGE, LOW, HEAD = (.05, .4, .35, .7), (.65, .4, .95, .7), (.1, .1, .9, .9), (.3, .4, .7, .9), (.4, .2, .6, .45)
BLUE = torch.tensor([.15, .45, .95]).view(3, 1, 1).expand(3, 64, 64)

FOX, TWO, THREE = Claim("noun", ("fox",), "fox"), Claim("count", ("fox",), "two"), Claim("count", ("fox",), "three")
SMALL, BIG = Claim("size", ("fox",), "small"), Claim("size", ("fox",), "big")
LEFT_OF, WEARS = Claim("relation", ("fox", "car"), "left of"), Claim("wears", ("fox", "hat"), "wearing")

@pytest.mark.parametrize("claim, seen, kept", [
    (FOX, [("fox", LEFT)], True), (FOX, [("cat", LEFT)], False), (FOX, [], False),
    (TWO, [("fox", LEFT), ("fox", RIGHT)], True), (TWO, [("fox", LEFT)], False),
    (TWO, [("fox", LEFT), ("cat", RIGHT)], False), (THREE, [("fox", LEFT), ("fox", RIGHT)], False),
    (SMALL, [("fox", LEFT)], True), (SMALL, [("fox", LARGE)], False), (BIG, [("fox", LARGE)], True),
    (LEFT_OF, [("fox", LEFT), ("car", RIGHT)], True), (LEFT_OF, [("car", LEFT), ("fox", RIGHT)], False),
    (LEFT_OF, [("fox", LEFT)], False),
    (WEARS, [("fox", LOW), ("hat", HEAD)], True), (WEARS, [("hat", LOW), ("fox", HEAD)], False),
    (Claim("colour", ("fox",), "blue"), [("fox", LEFT)], True), (Claim("colour", ("fox",), "red"), [("fox", LEFT)], False)])
def test_claims_hold_or_not(claim, seen, kept): assert claim_holds(claim, BLUE, detections(*seen)) is kept

def test_the_surest_comes_first_and_the_unsure_not_at_all():
    found = detections(("fox", LEFT), ("fox", RIGHT))
    found.score[:] = torch.tensor([.3, .9])
    assert noun_boxes(found, "fox").tolist() == pytest.approx(torch.tensor([RIGHT, LEFT])) and len(noun_boxes(found, "fox", .5)) == 1

@EMBEDDED
def test_true_scenes_keep_their_claims_and_strange_ones_do_not():
    judge, n = load_judge(), 150
    scenes, _, meant = described_scenes(n, seed=99_500_000, places=4)
    own, other = check_claims(world.render(scenes), meant, judge), check_claims(world.render(scenes), meant[1:]+meant[:1], judge)
    kept = own.groupby("kind").holds.mean()
    assert kept["noun"] > .85 and (kept > .4).all() and other.groupby("kind").holds.mean().max() < .2
    assert not (own.holds & ~own.present).any()

class Told:
    "Stands in for `texts_to_images`: white pictures, and scenes was asked."
    def __init__(self): self.calls = []
    def __call__(self, pipe, sentences, seeds, **kw):
        from PIL import Image
        self.calls += [(sentence, seed, kw) for sentence, seed in zip(sentences, seeds, strict=True)]
        return [Image.new("RGB", (64, 64), "white") for _ in sentences]

@pytest.fixture
def told(monkeypatch):
    told = Told()
    monkeypatch.setattr(L, "texts_to_images", told)
    return told

@EMBEDDED
def test_listen_draws_each_scene_twice_from_one_noise(told):
    rows = L.evaluate_captions(None, load_judge(), n=3, num_inference_steps=4)
    assert sorted(s for _, s, _ in told.calls) == [0, 0, 1, 1, 2, 2] and all(kw == dict(num_inference_steps=4) for *_, kw in told.calls)
    true = rows.source == "true scene"
    assert set(rows.source) == {"told", "plain", "true scene"} and not rows[~true].holds.any() and rows[true].holds.any()
    assert rows.groupby("source").size().nunique() == 1
    kept = L.claims_kept(rows)
    assert set(kept.of) == {"all", "there"} and kept[(kept.of == "all") & (kept.said == "told")].value.max() == 0
    one = kept[(kept.of == "all") & (kept.said == "true scene") & (kept.kind == "noun")].iloc[0]
    assert one.claims == sum(rows[rows.source == "told"].kind == "noun")
    assert one.error == pytest.approx((one.value*(1-one.value)/one.claims)**.5)

@EMBEDDED
def test_the_roll_call_of_true_scenes_and_of_empty_pictures(told):
    rows = L.noun_recall(None, load_judge(), n=8, counts=(1, 3), num_inference_steps=4)
    assert [seed for _, seed, _ in told.calls] == [*range(8)]*2 and all(kw == dict(num_inference_steps=4) for *_, kw in told.calls)
    assert rows.groupby(["source", "stickers"]).size().to_dict() == {(source, k): 8*k for source in ("drawn", "true scene") for k in (1, 3)}
    drawn = rows[rows.source == "drawn"]
    for i, k, word in drawn[["picture", "stickers", "word"]].values: assert word in told.calls[i+8*(k == 3)][0]
    seen = rows.groupby("source").holds.mean()
    assert seen["drawn"] < .05 and seen["true scene"] > .8
    table = L.nouns_seen(rows).set_index(["stickers", "said"])
    assert table.loc[(3, "drawn"), "nouns"] == 24 and table.loc[(1, "true scene"), "value"] > .8

@EMBEDDED
def test_two_processes_share_scenes_and_sentences(told):
    judge = load_judge()
    for ask, kw in ((L.evaluate_captions, dict(n=5)), (L.noun_recall, dict(n=5, counts=(2,)))):
        halves = [ask(None, judge, shard=(i, 2), **kw) for i in (0, 1)]
        mine, told.calls = told.calls, []
        whole = ask(None, judge, **kw)
        assert sorted(mine, key=str) == sorted(told.calls, key=str)                       # the same sentences from the same noises
        told.calls = []
        assert set(halves[0].picture) == {0, 2, 4} and set(halves[1].picture) == {1, 3}
        columns = ["picture", "source", "kind", "word", "holds"]
        both = L.pd.concat(halves)[columns].sort_values(columns).reset_index(drop=True)
        assert both.equals(whole[columns].sort_values(columns).reset_index(drop=True))

def test_sentences_drawn_together_are_those_drawn_alone(embedded, monkeypatch):
    import numpy as np
    from anyms import generate
    from anyms.layout.layout import Layout
    from anyms.layout.subject import Subject
    monkeypatch.setattr(L, "BATCH_SIZE", 2)
    sentences, seeds = ["a fox on the beach", "a car and a tree at night", "a blue frog"], [5, 5, 7]
    images = L.texts_to_images(embedded, sentences, seeds, num_inference_steps=2)
    silent = Layout([Subject("nobody", world.sprite("fox"), (0, 0, 1, 1))])
    for sentence, seed, image in zip(sentences, seeds, images):
        alone = generate(embedded, sentence, silent, "text_only", seed=seed, num_inference_steps=2, progress=False).image
        assert np.abs(np.asarray(image, int)-np.asarray(alone, int)).max() <= 3
    one = L.text_to_image(embedded, sentences[2], 7, num_inference_steps=2)
    assert np.abs(np.asarray(one, int)-np.asarray(images[2], int)).max() <= 3
