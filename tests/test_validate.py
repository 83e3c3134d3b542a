"One sentence for every bad argument: it names the argument, shows the value, and says what to do."
import math
import re
from numbers import Integral

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from anyms.validate import (did_you_mean, instance, is_number, is_whole, known_keys, nearest, number, one_of, pair, real, several, text,
                            whole_number)

settings.register_profile("quick", max_examples=60, deadline=None)
settings.load_profile("quick")

REFUSED = {
    "real of text": (lambda: real("x0", "0"), TypeError, r"x0='0' is not a number: give a plain int or float"),
    "real of a bool": (lambda: real("x0", True), TypeError, r"x0=True is not a number"),
    "real of an array": (lambda: real("x0", np.zeros(2)), TypeError, r"is not a number"),
    "number of text": (lambda: number("scale", "1", 0, 10), TypeError, r"scale='1' must be a finite number from 0 to 10, not str"),
    "number of nan": (lambda: number("scale", math.nan, 0, 10), ValueError, r"scale=nan must be a finite number from 0 to 10"),
    "number too large": (lambda: number("scale", 11, 0, 10), ValueError, r"scale=11 must be a finite number from 0 to 10"),
    "number without an upper end": (lambda: number("scale", -1, 0), ValueError, r"scale=-1 must be a finite number of at least 0\."),
    "number without ends": (lambda: number("lo", math.inf), ValueError, r"lo=inf must be a finite number\."),
    "whole of a half": (lambda: whole_number("steps", 1.5, 1, 1000), TypeError,
                        r"steps=1\.5 must be a whole number from 1 to 1000, not float"),
    "whole of a bool": (lambda: whole_number("steps", True, 1), TypeError, r"steps=True must be a whole number of at least 1, not bool"),
    "whole too small": (lambda: whole_number("most", 0, 1, unit="column"), ValueError,
                        r"most=0 must be a whole number of at least 1 column\."),
    "pair of one": (lambda: pair("grid", 3), ValueError, r"grid=3 is not a pair of whole numbers: give \(height, width\)"),
    "pair of three": (lambda: pair("grid", (1, 2, 3)), ValueError, r"is not a pair"),
    "pair of halves": (lambda: pair("grid", (8.5, 8)), ValueError, r"grid=\(8\.5, 8\) is not a pair of whole numbers"),
    "pair of bools": (lambda: pair("grid", (True, True)), ValueError, r"is not a pair"),
    "pair of nan": (lambda: pair("grid", (math.nan, 8)), ValueError, r"is not a pair"),
    "pair of infinity": (lambda: pair("grid", (math.inf, 8)), ValueError, r"is not a pair"),
    "pair of nothing": (lambda: pair("grid", (0, 8)), ValueError, r"grid=\(0, 8\) is not positive"),
    "word misspelt": (lambda: one_of("variant", "maskd", ["full", "masked"]), ValueError,
                      r"use one of full, masked \(did you mean 'masked'\?\)"),
    "word of a list": (lambda: one_of("variant", ["full"], ("full",)), ValueError, r"variant=\['full'\] is not known: use one of full"),
    "word with its own advice": (lambda: one_of("how", 3, ["map"], "a known range", "use map or a pair"), ValueError,
                                 r"how=3 is not a known range: use map or a pair"),
    "text of a list": (lambda: text("prompt", ["a"], "draw several prompts with several calls"), TypeError,
                       r"prompt must be one string, not list; draw several"),
    "instance of another": (lambda: instance("layout", "x", dict, "a dict", "make one with {}"), TypeError,
                            r"layout must be a dict, not str; make one with \{\}\."),
    "several of a number": (lambda: several("variants", 3), TypeError, r"variants=3 must be a list, not int"),
    "several of the wrong kind": (lambda: several("variants", [3]), TypeError, r"variants: 3 is not a name"),
    "several halves": (lambda: several("seeds", (1, .5), Integral), TypeError, r"seeds: 0\.5 is not a whole number"),
    "several bools": (lambda: several("seeds", [True], Integral), TypeError, r"seeds: True is not a whole number"),
    "several of none": (lambda: several("variants", ()), ValueError, r"variants is empty; give at least one"),
    "several twice": (lambda: several("seeds", (1, 2, 1), Integral), ValueError, r"seeds: 1 is in the list twice"),
    "keys of a list": (lambda: known_keys("layout", [1], ["subjects"]), ValueError,
                       r"layout is list '\[1\]': it must be an object with the keys subjects"),
    "keys unknown": (lambda: known_keys("layout", {"b": 1, "c": 2}, ["a"]), ValueError,
                     r"layout has unknown keys b, c: remove them, known are a"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_one_sentence(name):
    act, kind, says = REFUSED[name]
    with pytest.raises(kind) as caught: act()
    message = str(caught.value)
    assert re.search(says, message) and "\n" not in message and len(message) < 200


@given(st.integers(1, 1000))
def test_a_whole_number_comes_back_as_an_int(n):
    for value in (n, np.int64(n), np.uint16(n)):
        found = whole_number("steps", value, 1, 1000)
        assert found == n and type(found) is int


@given(st.floats(0, 10))
def test_a_number_comes_back_as_a_float(x):
    for value in (x, np.float64(x)): assert number("scale", value, 0, 10) == x
    assert type(number("scale", 1, 0, 10)) is float


def test_real_takes_a_number_out_of_its_box():
    for value in (torch.tensor(.5), np.float32(.5), np.array(.5), .5): assert real("x0", value) == .5


def test_a_pair_may_be_a_list_or_whole_floats():
    assert pair("grid", [8., 4]) == pair("grid", np.array([8, 4])) == pair("grid", torch.Size([8, 4])) == (8, 4)


def test_bools_are_no_numbers():
    assert not is_number(True) and not is_whole(False) and is_number(1) and is_whole(1) and is_number(.5) and not is_whole(.5)
    assert is_whole(np.int32(3)) and is_number(np.float32(.5)) and not is_number(np.True_)


def test_what_is_right_comes_back():
    assert one_of("variant", "full", ["full"]) == "full" and text("prompt", "a fox") == "a fox" and instance("x", 3, int, "an int", "") == 3
    assert several("variants", "full") == ("full",) and several("seeds", range(3), Integral) == (0, 1, 2)
    assert known_keys("layout", {"a": 1}, {"a", "b"}) == {"a": 1}


def test_a_guess_only_where_there_is_one():
    assert nearest("stikers", ["stickers", "sdxl"]) == "stickers" and nearest("qwertz", ["stickers"]) is None
    assert did_you_mean("qwertz", ["stickers"]) == "" and did_you_mean(3, []) == ""
