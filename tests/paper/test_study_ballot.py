"What a voter sees: blind, shuffled without favour, and the same for the same code."
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from anyms.paper.study.ballot import ALPHABET, as_code, ballot_for, mix_hash, new_code, open_study, shuffled
from anyms.paper.study.making import held_out_cases, make_study, pictures_in, scrambled, true_picture
from studies import METHODS, cases, flat_pictures, flat_study, names_of


@pytest.fixture(scope="module")
def study(tmp_path_factory): return flat_study(tmp_path_factory.mktemp("s")/"study")

@pytest.fixture(scope="module")
def drawn(tmp_path_factory): return flat_study(tmp_path_factory.mktemp("s")/"study", 4, seeds=(3, 5, 8), fixed_seed=None)

def codes(n):
    random = np.random.default_rng(0)
    return ["".join(random.choice(list(ALPHABET), 6)) for _ in range(n)]


def test_the_hash_is_fnv_finished_as_murmur():
    "Of nothing: FNV's basis; and values that the page's JavaScript gives, too (tests/browser)."
    def finish(h):
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)): h = (h ^ h >> shift)*factor % 2**32
        return h ^ h >> 16
    assert mix_hash("") == finish(2166136261)
    assert mix_hash("a") == finish(0xE40C292C), "FNV-1a of 'a', from its authors' list of test vectors"
    assert mix_hash(1, "a") == mix_hash("1|a")

def test_no_place_is_favoured():
    "Chi-square over tiles and places; sixteen degrees of freedom, one in a thousand above 39."
    for key in ("2a", "h7 again"):
        orders = np.array([shuffled(list("ABCDE"), 0, code, key) for code in codes(2000)])
        counts = np.array([[(orders[:, place] == tile).sum() for place in range(5)] for tile in "ABCDE"])
        assert ((counts - 400)**2/400).sum() < 39

def test_orders_of_two_cases_do_not_depend_on_each_other():
    pairs = Counter((shuffled(list("AB"), 0, c, "2a")[0], shuffled(list("AB"), 0, c, "2b")[0]) for c in codes(1000))
    assert min(pairs.values()) > 200

def test_a_ballot_has_all_cases_one_again_one_obvious(study):
    for code in codes(40):
        screens = ballot_for(study, code)
        kinds = Counter(s.kind for s in screens)
        assert kinds == dict(case=9, repeat=1, obvious=1) and len({s.name for s in screens}) == 11
        regular = [s for s in screens if s.kind == "case"]
        assert screens[-1].case == regular[0].case and set(screens[-1].tiles) == set(regular[0].tiles)
        assert all({study.by_token[t].method for t in s.tiles} == set(METHODS) for s in regular)

def test_orders_differ_between_voters_and_cases(study):
    a, b = (ballot_for(study, code) for code in codes(2))
    assert [s.name for s in a] != [s.name for s in b] and a == ballot_for(study, codes(1)[0])
    orders = {tuple(study.by_token[t].method for t in s.tiles) for s in a if s.kind == "case"}
    assert len(orders) > 5

def test_a_draw_per_voter_is_the_same_for_all_methods(drawn):
    seen = set()
    for code in codes(60):
        for screen in ballot_for(drawn, code):
            seeds = {drawn.by_token[t].seed for t in screen.tiles}
            assert len(seeds) == 1
            if screen.kind == "case": seen |= seeds
        first, again = (next(s for s in ballot_for(drawn, code) if s.kind == kind) for kind in ("case", "repeat"))
        assert set(first.tiles) == set(again.tiles)
    assert seen == {3, 5, 8} and "for every voter" in drawn.rule

def test_a_fixed_seed_shows_only_itself(tmp_path):
    study = flat_study(tmp_path/"s", 3, seeds=(3, 5), fixed_seed=5)
    assert {t.seed for t in study.tiles if t.method in METHODS} == {5} and study.rule.startswith("seed 5")

def test_only_the_file_on_the_table_knows_names(study):
    "No file name, and no byte of a picture."
    files = [f for f in study.folder.rglob("*") if f.is_file() and f.name != "study.json"]
    assert len(files) == 9*5 + 5 + 10 + sum(map(len, cases(10)))
    for name in names_of(study):
        assert not any(name in str(f.relative_to(study.folder)) or name.encode() in f.read_bytes() for f in files)

def test_notes_in_a_png_are_left_behind(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "drawn by qalpha")
    files = {}
    for key, image in flat_pictures(2).items():
        files[key] = tmp_path/key[0]/f"{key[1]}-{key[2]}.png"
        files[key].parent.mkdir(exist_ok=True)
        image.save(files[key], pnginfo=info)
    assert pictures_in(tmp_path) == files
    study = make_study(tmp_path/"study", cases(2), pictures_in(tmp_path), fixed_seed=0)
    assert not any(b"drawn by" in study.picture(t.token).read_bytes() for t in study.tiles)
    assert all(np.array_equal(np.asarray(Image.open(study.picture(t.token))), np.asarray(Image.open(files[t.method, t.case, t.seed])))
               for t in study.tiles)

def test_a_study_reads_back(study): assert open_study(study.folder) == study

def test_codes():
    assert {len(as_code(new_code())) for _ in range(50)} == {6} and as_code("bcd-fgh ") == "BCDFGH"
    for wrong in ("", "BCDFG", "BCDFGHJ", "ANNAAA", "../../", None, "BCDFG\u0130"):
        with pytest.raises(ValueError, match="six letters and digits"): as_code(wrong)

def test_scrambling_keeps_the_pixels():
    picture = true_picture(cases(1)[0])
    mixed = scrambled(picture, 1)
    assert sorted(picture.getdata()) == sorted(mixed.getdata()) and mixed.tobytes() != picture.tobytes()
    assert mixed.tobytes() == scrambled(picture, 1).tobytes() != scrambled(picture, 2).tobytes()

def test_a_wide_case_keeps_its_shape(tmp_path):
    from dataclasses import replace
    wide = [replace(case, aspect=1.5) for case in cases(2)]
    assert true_picture(wide[0]).size == (96, 64)
    study = make_study(tmp_path/"s", wide, {(m, c.id, 0): true_picture(c) for c in wide for m in ("a", "b")})
    assert Image.open(study.folder/study.cases[0].layout).size == (256, 171)


@pytest.mark.parametrize("change, words", [
    (dict(n=1), "a study needs two at least"),
    (dict(lacks=("qbeta", "h1", 0)), "'qbeta' has no picture of case 'h1' with seed 0"),
    (dict(lacks=("qbeta", "h1", 0), fixed_seed=None), "no seed that all of"),
    (dict(size=("qgamma", "h0", 0)), "size tells who drew it"),
    (dict(methods=("qalpha",)), "the number of methods=1 must be a whole number from 2 to 9"),
    (dict(seed=-1), "seed=-1"),
])
def test_what_cannot_be_a_study(tmp_path, change, words):
    change = dict(change)
    pictures, ones = flat_pictures(2), cases(change.pop("n", 2))
    if lacks := change.pop("lacks", None): del pictures[lacks]
    if size := change.pop("size", None): pictures[size] = pictures[size].resize((32, 32))
    if methods := change.pop("methods", None): pictures = {k: v for k, v in pictures.items() if k[0] in methods}
    with pytest.raises(ValueError, match=words): make_study(tmp_path/"s", ones, pictures, **dict(dict(fixed_seed=0), **change))
    assert not (tmp_path/"s").exists() and not list(tmp_path.iterdir())

def test_votes_are_not_written_over(tmp_path):
    study = flat_study(tmp_path/"s", 2)
    flat_study(tmp_path/"s", 3)   # without votes it may be made again
    (study.folder/"votes"/"BCDFGH.jsonl").write_text("{}\n")
    with pytest.raises(FileExistsError, match="holds the votes of 1 voters"): flat_study(tmp_path/"s", 2)
    assert len(open_study(tmp_path/"s").cases) == 4

def test_a_folder_without_a_study(tmp_path):
    with pytest.raises(FileNotFoundError, match="make_study"): open_study(tmp_path)
    with pytest.raises(FileNotFoundError, match="<method>/<case>-<seed>.png"): pictures_in(tmp_path)
    (tmp_path/"study.json").write_text(json.dumps(dict(anyms_study=1, title="x", cases=[], tiles=[dict(who=1)])))
    with pytest.raises(ValueError, match="was edited"): open_study(tmp_path)
    (tmp_path/"mine.txt").write_text("mine")
    (tmp_path/"study.json").unlink()
    with pytest.raises(FileExistsError, match="choose another name"): flat_study(tmp_path, 2)

def test_held_out_cases_are_cases():
    assert [c.id for c in held_out_cases(3, (2, 3), 1)] == ["h0", "h1", "h2"]
    assert all(len(set(c.names)) == len(c) for c in cases(9))
