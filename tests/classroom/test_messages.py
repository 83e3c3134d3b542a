"What strangers may send: every malformed message gets a status of 4xx and one sentence, and no good one is refused."
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyms.classroom.messages import (
    ACTIONS, MOST_BYTES, MOST_STICKERS, SCENES, SMALLEST, Drawing, Refused, Sticker, caption_of, listed, parse_message, read_action, read_code,
    read_drawing, read_vote)
from anyms.stickers.world.sprites import nouns

READERS = (read_code, read_action, read_vote, read_drawing)
BOX = [.1, .2, .5, .8]

def as_bytes(**changes): return json.dumps(dict(place=SCENES[0], stickers=[dict(noun="fox", box=BOX)]) | changes).encode()

def sticker(**changes): return as_bytes(stickers=[dict(noun="fox", box=BOX) | changes])

def refusal(body, reader=read_drawing):
    "How a body is refused; a sentence ends in a full stop and stands on one line."
    with pytest.raises(Refused) as caught: reader(parse_message(body))
    refused = caught.value
    assert 400 <= refused.status < 500 and refused.sentence.endswith(".") and "\n" not in refused.sentence
    return refused

def test_a_good_drawing():
    assert read_drawing(parse_message(as_bytes())) == Drawing(SCENES[0], (Sticker("fox", tuple(BOX)),))

@pytest.mark.parametrize("body", [
    b"", b"{", b"[", b"null", b"[]", b"7", b'"fox"', b"\xff\xfe\x00", b"{}", b'{"place": "on the beach"}', b"[" * 4000, b'{"a":' * 800,
    b'{"place": NaN, "stickers": []}', b'{"place": "on the beach", "stickers": Infinity}', as_bytes(more=1), as_bytes(stickers=[]),
    as_bytes(stickers={}), as_bytes(stickers="fox"), as_bytes(stickers=[dict(noun="fox", box=BOX)]*(MOST_STICKERS + 1)), as_bytes(stickers=[None]),
    as_bytes(stickers=[["fox", BOX]]), as_bytes(place="on the moon"), as_bytes(place=["on the beach"]), as_bytes(place={"a": 1}), as_bytes(place=True),
    sticker(noun="dragon"), sticker(noun=""), sticker(noun=None), sticker(noun=["fox"]), sticker(noun="fox\u0000"), sticker(noun="../../etc/passwd"),
    sticker(noun="<script>"), sticker(extra=1), sticker(box=None), sticker(box=[]), sticker(box=BOX[:3]), sticker(box=[*BOX, 1]), sticker(box=["0", 0, 1, 1]),
    sticker(box=[True, 0, 1, 1]), sticker(box=[[0], 0, 1, 1]), sticker(box=dict(x=1)), sticker(box=[-.01, 0, .5, .5]), sticker(box=[0, 0, 1.001, 1]),
    sticker(box=[.5, .2, .1, .8]), sticker(box=[.1, .8, .5, .2]), sticker(box=[.1, .1, .1, .9]), sticker(box=[.1, .1, .1 + SMALLEST/2, .9]),
    b'{"place": "on the beach", "stickers": [{"noun": "fox", "box": [0, 0, 1e999, 1]}]}',
    b'{"place": "on the beach", "stickers": [{"noun": "fox", "box": [0, 0, ' + b"9"*3000 + b", 1]}]}",
    b'{"place": "on the beach", "place": "at night", "stickers": []}',
], ids=lambda body: str(body[:30]))
def test_a_bad_drawing_gets_a_sentence(body): refusal(body)

def test_a_long_message_is_not_even_read(): assert refusal(b" "*(MOST_BYTES + 1)).status == 413

def test_no_sentence_repeats_what_was_sent():
    for evil in ("<script>alert(1)</script>", "a"*300):
        for body in (as_bytes(place=evil), sticker(noun=evil), json.dumps({evil: 1}).encode()): assert evil not in refusal(body).sentence

LEAF = st.none() | st.booleans() | st.floats() | st.integers() | st.text()
JSON = st.recursive(LEAF, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)

@given(st.binary(max_size=5000))
@settings(max_examples=200, deadline=None)
def test_any_bytes(body):
    for reader in READERS:
        try: reader(parse_message(body))
        except Refused as refused: assert 400 <= refused.status < 500

@given(JSON, JSON, JSON, st.sampled_from(READERS))
@settings(max_examples=300, deadline=None)
def test_any_json_in_any_field(a, b, c, reader):
    for message in ({"code": a}, {"action": a}, {"question": a, "option": b}, {"place": SCENES[0], "stickers": a}, {"place": a, "stickers": [{"noun": b, "box": c}]},
        {"place": SCENES[0], "stickers": [{"noun": "fox", "box": [a, b, c, 1]}]}):
        try: reader(parse_message(json.dumps(message).encode()))
        except Refused as refused: assert 400 <= refused.status < 500

edge = st.floats(0, 1 - 1.1*SMALLEST)

@given(st.lists(st.tuples(st.sampled_from(nouns()), edge, edge), min_size=1, max_size=MOST_STICKERS), st.sampled_from(SCENES))
@settings(max_examples=100, deadline=None)
def test_every_good_drawing_is_taken(stickers, scene):
    sent = [dict(noun=noun, box=[x, y, x + 1.05*SMALLEST, 1]) for noun, x, y in stickers]
    good = read_drawing(parse_message(json.dumps(dict(place=scene, stickers=sent)).encode()))
    assert [one.noun for one in good.stickers] == [noun for noun, *_ in stickers] and all(len(one.box) == 4 for one in good.stickers)

def test_votes_codes_and_buttons():
    assert read_vote(parse_message(b'{"question": 3, "option": 0}')) == (3, 0)
    assert read_code(parse_message(b'{"code": " ab-C 2"}')) == "ABC2"
    assert [read_action({"action": action}) for action in ACTIONS] == list(ACTIONS)
    for bad in (b'{"question": 1.5, "option": 0}', b'{"question": -1, "option": 0}', b'{"question": 0, "option": 8}', b'{"question": "0", "option": 0}'):
        refusal(bad, read_vote)
    refusal(b'{"code": 7}', read_code)
    refusal(json.dumps(dict(code="A"*21)).encode(), read_code)
    refusal(b'{"action": "shutdown"}', read_action)

def test_words():
    assert listed(["fox", "hat", "fox", "fox"]) == ["fox", "hat", "fox 2", "fox 3"]
    assert caption_of(Drawing("at night", (Sticker("owl", (0, 0, 1, 1)), Sticker("hat", (0, 0, 1, 1))))) == "owl and hat at night"
