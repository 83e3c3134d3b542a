"The room with a clock of its own: bounds, order, limits, votes, secrets; and two threads at once."
from threading import Thread

import pytest

from anyms.classroom.limits import Bucket, Limits
from anyms.classroom.messages import Drawing, Refused, Sticker
from anyms.classroom.questions import QUESTIONS, Question
from anyms.classroom.door import SIGNS
from anyms.classroom.room import Room

FOX = Drawing("on the beach", (Sticker("fox", (.1, .2, .5, .8)),))

class Clock:
    "A clock that goes when it is told to."
    def __init__(self): self.now = 100.
    def __call__(self): return self.now

@pytest.fixture
def clock(): return Clock()

@pytest.fixture
def room(clock): return Room(clock=clock)

def enter(room, n=1): return [room.join(room.code, f"address {i}") for i in range(n)]

def refused(status, do, *given):
    "The refusal, which has this status and a sentence."
    with pytest.raises(Refused) as caught: do(*given)
    assert caught.value.status == status and caught.value.sentence.endswith(".")
    return caught.value

def draw_all(room, most=5):
    "Order numbers in the order in which they were drawn."
    drawn = []
    while orders := room.take(most, 0):
        for order in orders: room.finish(order, b"picture %d" % order.number)
        drawn += [order.number for order in orders]
    return drawn

# limits

def test_a_bucket_is_a_burst_and_a_rate():
    bucket = Bucket(3, .5)
    assert [bucket.take(0) for _ in range(3)] == [0, 0, 0]
    assert bucket.take(0) == pytest.approx(2) and bucket.take(1) == pytest.approx(1)
    assert bucket.take(2) == 0 and bucket.take(2) > 0
    assert [bucket.take(1000) for _ in range(4)][:3] == [0, 0, 0]

def test_a_look_takes_nothing():
    bucket = Bucket(1, 1)
    assert [bucket.wait(0) for _ in range(5)] == [0]*5

def test_limits_forget_the_longest_untouched():
    limits = Limits(1, 1e-9, most=2)
    for key in "ab": limits.bucket(key).take(0)
    limits.bucket("a")
    limits.bucket("c")
    assert set(limits.buckets) == {"a", "c"} and limits.bucket("a").take(0) > 0

# the code

def test_a_code_is_made_anew_and_looks_like_nothing_else(clock):
    codes = {Room(clock=clock).code for _ in range(50)}
    assert len(codes) == 50 and all(len(code) == 6 and set(code) <= set(SIGNS) for code in codes)
    assert not set("IO01") & set(SIGNS)

def test_an_expired_code(room, clock):
    token, = enter(room)
    clock.now += 60*90
    refused(403, room.join, room.code, "late")
    assert room.wall_state(room.teacher)["code"] == "" and room.phone_state(token)["order"] is None
    room.order(room.teacher, "renew")
    assert room.join(room.code, "late")

def test_a_new_code_ends_the_old(room):
    old, (token,) = room.code, enter(room)
    room.order(room.teacher, "renew")
    refused(403, room.join, old, "somebody")
    assert room.phone_state(token)

def test_guessing_is_slow_even_for_the_right_code(room, clock):
    for _ in range(10): refused(403, room.join, "WRONG2", "thief")
    assert refused(429, room.join, room.code, "thief").wait == pytest.approx(6)
    room.join(room.code, "an honest one")
    clock.now += 6
    room.join(room.code, "thief")

def test_codes_that_are_no_ascii(room):
    for code in ("ÄÖÜ€😀", "\ud800", ""): refused(403, room.join, code, "somebody")

def test_forty_phones_behind_one_address(room):
    assert len({room.join(room.code, "the school") for _ in range(40)}) == 40

def test_phones_are_bounded_and_the_silent_make_room(clock):
    room = Room(clock=clock, most_phones=3)
    tokens = enter(room, 3)
    refused(503, room.join, room.code, "address 9")
    clock.now += 121
    room.phone_state(tokens[2])
    room.join(room.code, "address 9")
    assert tokens[2] in room.phones and tokens[0] not in room.phones

def test_no_address_is_kept(room):
    room.join(room.code, "192.168.1.98")
    with pytest.raises(Refused): room.join("WRONG2", "192.168.1.99")
    door = room.door
    everything = [vars(room), vars(door), *(vars(part) for part in (door.joins, door.wrong_codes, door.by_address))]
    assert "192.168" not in repr(everything)

def test_too_many_questions(room, clock):
    token, = enter(room)
    for _ in range(20): room.admit("address 0", token)
    wait = refused(429, room.admit, "address 0", token).wait
    assert 0 < wait <= .2
    room.admit("address 0")                                   # somebody else behind the same address
    clock.now += wait
    room.admit("address 0", token)

def test_an_address_is_bounded_too(room):
    for i in range(400): room.admit("flood", f"invented {i}")
    refused(429, room.admit, "flood", "invented")
    room.admit("another")

# the queue

def test_first_come_first_drawn_and_nothing_lost(room):
    for token in enter(room, 23): room.submit(token, FOX)
    assert draw_all(room, 4) == list(range(1, 24)) and room.drawn == 23

def test_a_phone_has_one_order_under_way(room):
    a, b = enter(room, 2)
    room.submit(a, FOX)
    assert refused(429, room.submit, a, FOX).wait > 0
    room.submit(b, FOX)
    order, _ = room.take(2, 0)
    refused(429, room.submit, a, FOX)
    room.finish(order, b"picture")
    assert room.submit(a, FOX).number == 3

def test_the_queue_is_bounded(clock):
    room = Room(clock=clock, most_waiting=2)
    a, b, c = enter(room, 3)
    for token in (a, b): room.submit(token, FOX)
    assert refused(503, room.submit, c, FOX).wait > 0
    assert draw_all(room) == [1, 2] and room.submit(c, FOX).number == 3

def test_how_many_come_before(room):
    tokens = enter(room, 4)
    for token in tokens: room.submit(token, FOX)
    assert [room.phone_state(token)["order"]["before"] for token in tokens] == [0, 1, 2, 3]
    room.take(2, 0)
    told = [room.phone_state(token)["order"] for token in tokens]
    assert [(one["state"], one["before"]) for one in told] == [("drawing", 0), ("drawing", 0), ("waiting", 0), ("waiting", 1)]

def test_a_stranger_gets_nothing(room):
    for do, given in ((room.submit, ("", FOX)), (room.phone_state, ("nobody",)), (room.vote, ("nobody", 0, 0)), (room.wall_state, ("",)), (room.order, ("", "clear"))):
        refused(401, do, *given)
    refused(404, room.picture, "guessed")

def test_pause(room):
    token, = enter(room)
    room.submit(token, FOX)
    room.order(room.teacher, "pause")
    assert room.take(5, 0) == [] and room.phone_state(token)["paused"]
    room.order(room.teacher, "go on")
    assert len(room.take(5, 0)) == 1

# the wall

def test_the_wall_is_a_ring_and_memory_is_bounded(clock):
    room = Room(clock=clock, places=4)
    token, = enter(room)
    for i in range(11):
        room.submit(token, FOX)
        assert draw_all(room) == [i + 1]
    places = {one["place"]: room.picture(one["picture"]) for one in room.wall_state(room.teacher)["pictures"]}
    assert places == {0: b"picture 9", 1: b"picture 10", 2: b"picture 11", 3: b"picture 8"}
    assert len(room.pictures) == 4

def test_a_phone_keeps_its_picture_when_the_wall_has_moved_on(clock):
    room = Room(clock=clock, places=1)
    tokens = enter(room, 3)
    for token in tokens: room.submit(token, FOX)
    draw_all(room)
    assert [room.picture(room.phone_state(token)["order"]["picture"]) for token in tokens] == [b"picture 1", b"picture 2", b"picture 3"]

def test_clear(room):
    a, b, c = enter(room, 3)
    for token in (a, b, c): room.submit(token, FOX)
    done, under_way = room.take(2, 0)
    room.finish(done, b"picture")
    room.order(room.teacher, "clear")
    state = room.wall_state(room.teacher)
    assert (state["pictures"], state["waiting"], state["drawing"], room.pictures) == ([], 0, 0, {})
    assert room.finish(under_way, b"too late") is False and room.wall == {}
    assert {room.phone_state(token)["order"]["state"] for token in (a, b, c)} == {"cleared"}
    assert room.submit(a, FOX).state == "waiting"

def test_a_failed_picture(room):
    token, = enter(room)
    room.submit(token, FOX)
    order, = room.take(5, 0)
    room.finish(order, None)
    assert room.phone_state(token)["order"]["state"] == "failed" and room.wall == {} and room.submit(token, FOX)

def test_every_change_has_a_new_version(room):
    seen = [room.version]
    token, = enter(room)
    for step in (lambda: room.submit(token, FOX), lambda: draw_all(room), lambda: room.order(room.teacher, "next"), lambda: room.vote(token, 0, 1)):
        seen.append(room.version)
        step()
    assert seen == sorted(set(seen)) and room.phone_state(token)["version"] == room.wall_state(room.teacher)["version"]

# votes

def test_votes_are_counted_once_and_may_change(room):
    a, b = enter(room, 2)
    refused(409, room.vote, a, 0, 1)
    room.order(room.teacher, "next")
    for token, option in ((a, 0), (b, 1), (a, 1)): room.vote(token, 0, option)
    assert room.counts() == [0, 2, 0, 0] and room.phone_state(a)["question"]["chosen"] == 1
    refused(400, room.vote, a, 0, 7)
    refused(409, room.vote, a, 1, 0)
    room.order(room.teacher, "reveal")
    refused(409, room.vote, a, 0, 0)
    room.order(room.teacher, "close")
    assert room.wall_state(room.teacher)["question"] is None and room.phone_state(a)["question"] is None

def test_how_others_vote_is_told_when_the_teacher_shows_it(room):
    "A count before, bars on demand and with the answer; the next question starts without them."
    token, = enter(room)
    def told(): return room.wall_state(room.teacher)["question"]["votes"]
    room.order(room.teacher, "show votes")             # no question yet: nothing to show
    room.order(room.teacher, "next")
    room.vote(token, 0, 1)
    assert told() is None and room.wall_state(room.teacher)["question"]["total"] == 1
    seen = []
    for action in ("show votes", "hide votes", "reveal", "hide votes"):
        room.order(room.teacher, action)
        seen.append(told())
    assert seen == [[0, 1, 0, 0], None, [0, 1, 0, 0], [0, 1, 0, 0]]
    room.order(room.teacher, "next")
    assert told() is None and "votes" not in room.phone_state(token)["question"]

def test_no_page_is_told_the_answer_early(room):
    token, = enter(room)
    for question in QUESTIONS:
        room.order(room.teacher, "next")
        for state in (room.phone_state(token), room.wall_state(room.teacher)):
            assert state["question"]["answer"] is None and question.why not in repr(state)
        room.order(room.teacher, "reveal")
        assert room.phone_state(token)["question"]["answer"] == question.answer and room.wall_state(room.teacher)["question"]["why"] == question.why

def test_the_next_question_after_the_last_is_the_first_without_its_votes(clock):
    room = Room([Question("?", ("a", "b"), 0, "why.", "1_first_layout")], clock=clock)
    token, = enter(room)
    room.order(room.teacher, "next")
    room.vote(token, 0, 1)
    room.order(room.teacher, "next")
    assert room.counts() == [0, 0]

def test_a_reveal_without_a_question_does_nothing(room):
    room.order(room.teacher, "reveal")
    assert not room.revealed

def test_questions_point_at_pages_and_no_letter_wins():
    from pathlib import Path
    tutorials = Path(__file__).resolve().parents[2]/"nbs"/"tutorials"
    assert all((tutorials/f"{question.page}.ipynb").exists() for question in QUESTIONS)
    assert all(len(question.options) == 4 for question in QUESTIONS)
    assert {[one.answer for one in QUESTIONS].count(i) for i in range(4)} == {2}

# threads

def test_many_threads_at_once_lose_nothing():
    room, seen = Room(most_waiting=500, most_phones=500), []
    tokens = [room.join(room.code, f"address {i//40}") for i in range(200)]
    def paint():
        while len(seen) < 200:
            for order in room.take(3, .05):
                if room.finish(order, b"picture"): seen.append(order.number)
    def phones(some):
        for token in some: room.submit(token, FOX)
    threads = [Thread(target=paint) for _ in range(3)] + [Thread(target=phones, args=(tokens[i::8],)) for i in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join(30)
    assert sorted(seen) == list(range(1, 201)) and room.drawn == 200 and not room.queue and not room.drawing
