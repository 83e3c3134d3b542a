"A case: references that are what they say, a truth that the judge takes, and files that read as they were written."
import json
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from anyms.layout.boxes import Box
from anyms.paper.cases.case import PHOTO_SEED, PHOTO_SIZE, Case, CaseSubject, StickerReference, case_truth, overlapping
from anyms.paper.cases.combinations import combinations
from anyms.paper.cases.files import case_from_json, cases_from_folder, check_case, load_cases, save_cases
from anyms.paper.cases.photographs import PhotoReference, cut_out, noun_from, photo_reference, read_subjects
from anyms.stickers.judge.testset import as_layout, held_out_layouts, scenes_of, to_image
from anyms.stickers.world.rendering import render
from anyms.stickers.world.scenes import sample_scenes
from anyms.stickers.world.sprites import all_sprites


@pytest.fixture
def case():
    lion, crown = StickerReference("lion", "noto"), StickerReference("crown", "fxemoji", .25)
    return Case("royal", "a blue lion wearing a crown on the grass", scene="grass", aspect=1.5, style=(.5,)*8, subjects=(
        CaseSubject("lion", lion, Box(.25, .4, .75, .95), asked_hue=.5),
        CaseSubject("crown", crown, Box(.35, .2, .65, .42), priority="attribute")))


def drawn(seed=0):
    "A picture that plays a photograph."
    noise = np.random.default_rng(seed).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    return Image.fromarray(noise)


@pytest.fixture
def mine(tmp_path):
    "A user's folder: two subjects in photographs, one with masks, and a case."
    for name, count in dict(dog6=2, teddy_bear=1).items():
        (tmp_path/name).mkdir()
        for i in range(count): drawn(i).save(tmp_path/name/f"{i}.png")
    (tmp_path/"dog6"/"masks").mkdir()
    for i in range(2):
        mask = Image.new("L", (60, 40), 0)
        mask.paste(255, (10, 5, 40, 30))
        mask.save(tmp_path/"dog6"/"masks"/f"{i}.png")
    subjects = [dict(name="dog", reference=dict(folder="dog6"), box=[0, 0, .5, .5]),
                dict(name="bear", reference=dict(folder="teddy_bear", noun="bear"), box=[.5, .5, 1, 1])]
    write(tmp_path, [dict(id="friends", prompt="a dog and a bear in a park", subjects=subjects)])
    return tmp_path


def write(folder, cases): (folder/"cases.json").write_text(json.dumps(dict(anyms_cases=1, cases=cases)))


def entries(folder): return json.loads((folder/"cases.json").read_text())["cases"]


# references

def test_a_reference_is_the_picture_that_the_judges_own_layouts_give():
    for truth in held_out_layouts(6, hue=.5, splits=("drawing",)):
        for sprite, noun, hue, theirs in zip(truth["sprites"], truth["nouns"], truth["hue"], as_layout(truth).images):
            ours = StickerReference(noun, all_sprites()[sprite].drawing, hue).picture()
            assert np.array_equal(ours, theirs)


def test_a_reference_lies_on_white():
    for case in combinations():
        for picture in case.layout.images: assert picture.getpixel((0, 0)) == (255, 255, 255)


def test_photographs_keep_the_aspect_and_say_the_place():
    car = StickerReference("car", "noto")
    photos = car.photos(6)
    assert len(photos) == 6 and photos == car.photos(6)
    assert all(sentence.startswith("a car ") for _, sentence in photos)
    assert len({picture.tobytes() for picture, _ in photos}) == 6


def test_a_photographed_sticker_is_not_squeezed():
    "The car is wider than high: paint the same scene without it and measure what changed."
    car = StickerReference("car", "noto")
    seed = PHOTO_SEED + zlib.crc32(car.key.encode())%1_000_000
    scenes = sample_scenes(5, seed=seed, stickers=(1, 1), places=4)
    scenes.sprite[:] = -1
    for (picture, _), empty in zip(car.photos(5), render(scenes, PHOTO_SIZE)):
        changed = (np.abs(np.asarray(picture, int) - np.asarray(to_image(empty), int)) > 12).any(-1)
        ys, xs = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        assert 1.3 < (xs[-1] - xs[0] + 1)/(ys[-1] - ys[0] + 1) < 1.95   # its cell is 96 x 61


def test_the_key_is_a_file_name_and_tells_colours_apart():
    one, other = StickerReference("car", "noto"), StickerReference("car", "noto", .25)
    assert one.key != other.key and "/" not in one.key
    assert one == StickerReference("car", "noto") and one.photos(1) != other.photos(1)


@pytest.mark.parametrize("given, words", [
    (dict(noun="carr", drawing="noto"), "did you mean 'car'"), (dict(noun="car", drawing="nota"), "did you mean 'noto'"),
    (dict(noun="car", drawing="noto", hue=2), "hue=2")])
def test_what_the_world_does_not_have_is_refused(given, words):
    with pytest.raises(ValueError, match=words): StickerReference(**given)


# a case as a truth

def test_truth_is_in_paint_order_and_in_the_asked_colours(case):
    below = replace(case, subjects=case.subjects[::-1])
    for one in (case, below):
        truth = case_truth(one)
        assert truth["nouns"] == ["lion", "crown"] and truth["hue"] == [.5, .25]
        assert truth["place"] == "grass" and truth["overlapping"]
    assert render(scenes_of([case_truth(case)]), (64, 96)).shape == (1, 3, 64, 96)


def test_touching_is_not_overlapping():
    assert not overlapping([Box(0, 0, .5, 1), Box(.5, 0, 1, 1)])
    assert overlapping([Box(0, 0, .5, 1), Box(.75, 0, 1, 1), Box(.4, .9, .8, 1)])
    assert not overlapping([Box(0, 0, 1, 1)])


def test_a_truth_of_the_judge_and_its_case_paint_the_same():
    for truth in held_out_layouts(4, hue=.5):
        ones = zip(truth["nouns"], truth["sprites"], truth["hue"], truth["boxes"])
        subjects = tuple(CaseSubject(noun, StickerReference(noun, all_sprites()[k].drawing, hue), Box(*box), priority=i)
                         for i, (noun, k, hue, box) in enumerate(ones))
        case = Case(truth["id"], truth["prompt"], subjects, scene=truth["place"], style=tuple(truth["u"]))
        assert torch.equal(render(scenes_of([case_truth(case)])), render(scenes_of([truth])))
        assert case.disagrees is False


# files

def test_what_is_written_is_read(case, tmp_path):
    file = save_cases(tmp_path/"cases.json", [case, *combinations()])
    assert load_cases(file) == [case, *combinations()]
    assert sorted(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("changes, words", [
    (dict(subjects=()), "no subjects"), (dict(prompt="a lion on the grass"), "does not say 'crown'"),
    (dict(prompt="a lyon and a crown"), "did you mean 'lyon'"), (dict(prompt="lions wear a crowning"), "'crown'"),
    (dict(scene="gras"), "did you mean 'grass'"), (dict(id="a/b"), "file name"), (dict(id=""), "file name"),
    (dict(aspect=9.), "aspect=9"), (dict(style=(.5,)*7), "7 numbers"), (dict(style=(2.,)*8), "style=2")])
def test_what_cannot_be_drawn_is_told(case, changes, words):
    wrong = replace(case, **changes)
    with pytest.raises(ValueError, match=words): check_case(wrong)
    with pytest.raises(ValueError, match=words): case_from_json(wrong.to_json())


def test_plurals_and_numbers_are_names_too(case):
    lion = case.subjects[0]
    check_case(replace(case, prompt="two lions on the grass", subjects=(lion, replace(lion, name="lion 2"))))
    with pytest.raises(ValueError, match="occurs twice"): check_case(replace(case, subjects=(lion, lion)))


@pytest.mark.parametrize("change, words", [
    (lambda d: d["subjects"][0].update(box=[0, 0, 1.2, 1]), "subject 'lion': box .* outside"),
    (lambda d: d["subjects"][0].update(box=[.5, 0, .2, 1]), "subject 'lion': box"),
    (lambda d: d["subjects"][0].update(box="all"), "subject 'lion': box"),
    (lambda d: d["subjects"][0].pop("box"), "no 'box'"), (lambda d: d["subjects"][0].update(colour="red"), "unknown keys colour"),
    (lambda d: d["subjects"][0].update(reference=7), "no known kind"), (lambda d: d.update(subjects={}), "no list"),
    (lambda d: d["subjects"][0].update(priority="top"), "priority='top'"), (lambda d: d.pop("prompt"), "no 'prompt'"),
    (lambda d: d.update(prompt=7), "prompt must be one string"), (lambda d: d["subjects"].append("fox"), "a subject is str"),
    (lambda d: d["subjects"][0].update(reference=dict(folder=7)), "'7' does not exist"),
    (lambda d: d["subjects"][0].update(asked_hue=3), "asked_hue of 'lion'=3"),
    (lambda d: d["subjects"][0]["reference"].update(drawing="nota"), "did you mean 'noto'"),
    (lambda d: d["subjects"][0]["reference"].update(folder="x"), "no known kind")])
def test_mistakes_of_a_hand_are_told(case, change, words):
    data = json.loads(json.dumps(case.to_json()))
    change(data)
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=words): case_from_json(data)


@pytest.mark.parametrize("text, words", [
    ('{"anyms_cases": 2, "cases": []}', "reads version 1"), ('{"cases": []}', "no 'anyms_cases'"), ("[1]", "must be an object"),
    ('{"anyms_cases": 1, "cases": [', "not whole JSON"), ('{"anyms_cases": 1, "cases": []}', "empty"),
    ('{"anyms_cases": 1, "cases": {}}', "no list"), ("\xff", "not whole JSON")])
def test_a_file_that_is_none_of_ours(tmp_path, text, words):
    file = tmp_path/"cases.json"
    file.write_bytes(text.encode("latin1"))
    with pytest.raises(ValueError, match=words) as told: load_cases(file)
    assert "cases.json" in str(told.value)


def test_two_cases_of_one_name_are_refused(case, tmp_path):
    with pytest.raises(ValueError, match="royal"): save_cases(tmp_path/"cases.json", [case, case])
    with pytest.raises(FileNotFoundError, match="does not exist"): load_cases(tmp_path/"none.json")
    with pytest.raises(FileNotFoundError, match="create it first"): save_cases(tmp_path/"none"/"cases.json", [case])
    assert not list(tmp_path.iterdir())


# photographs

def test_a_folder_of_photographs_is_cases(mine):
    case, = cases_from_folder(mine)
    dog, bear = (one.reference for one in case.subjects)
    assert (dog.noun, bear.noun, len(dog.pictures)) == ("dog", "bear", 2)
    assert dog.cutout().size == (30, 25) and np.array_equal(dog.cutout().convert("RGB"), dog.picture().crop((10, 5, 40, 30)))
    assert [sentence for _, sentence in bear.photos(3)] == ["a photo of a bear"]*3
    assert case.layout.images[0].size == (60, 60)   # whole on a square, as everywhere
    with pytest.raises(ValueError, match="masks/"): bear.cutout()
    assert replace(bear, whole=True).cutout().size == (60, 40)


def test_a_folder_can_be_moved(mine, tmp_path_factory):
    case, = cases_from_folder(mine)
    save_cases(mine/"cases.json", [case])
    assert "dog6/0.png" in (mine/"cases.json").read_text() and str(mine) not in (mine/"cases.json").read_text()
    there = tmp_path_factory.mktemp("there")/"moved"
    key = case.subjects[0].reference.key
    mine.rename(there)
    moved, = cases_from_folder(there)
    assert moved.subjects[0].reference.key == key and moved.subjects[1].reference.key != key


def test_transparency_is_a_mask(tmp_path):
    picture = drawn().convert("RGBA")
    picture.putalpha(Image.new("L", picture.size, 0))
    picture.paste((9, 9, 9, 255), (20, 10, 30, 30))
    (tmp_path/"cup").mkdir()
    picture.save(tmp_path/"cup"/"0.png")
    cup = photo_reference(tmp_path/"cup")
    assert cup.cutout().size == (10, 20) and cup.picture().getpixel((0, 0)) == (255, 255, 255)


def test_mistakes_in_a_folder_are_told(mine):
    case, = entries(mine)
    for change, words in [(dict(subjects=[]), "no subjects"), (dict(prompt="a dog"), "does not say 'bear'")]:
        write(mine, [case | change])
        with pytest.raises(ValueError, match=words): cases_from_folder(mine)
    case["subjects"][0]["reference"]["folder"] = "dog7"
    write(mine, [case])
    with pytest.raises(FileNotFoundError, match="did you mean 'dog6'"): cases_from_folder(mine)
    (mine/"cases.json").unlink()
    with pytest.raises(FileNotFoundError, match="no cases.json"): cases_from_folder(mine)


def test_unreadable_files_are_told_by_name(mine):
    (mine/"dog6"/"1.png").write_bytes((mine/"dog6"/"1.png").read_bytes()[:99])
    with pytest.raises(ValueError, match="dog6/1.png"): cases_from_folder(mine)
    (mine/"dog6"/"1.png").unlink()
    (mine/"dog6"/"2.png").write_bytes((mine/"dog6"/"0.png").read_bytes())
    with pytest.raises(ValueError, match="masks/ has none for 2.png"): cases_from_folder(mine)
    Image.new("L", (3, 3), 255).save(mine/"dog6"/"masks"/"2.png")
    with pytest.raises(ValueError, match="3x3 pixels and its picture 60x40"): cases_from_folder(mine)
    (mine/"empty1").mkdir()
    with pytest.raises(ValueError) as told: read_subjects(mine)
    assert "3x3" in str(told.value) and "'empty1' holds no picture" in str(told.value)


def test_all_subjects_of_a_folder(mine):
    assert {name: one.noun for name, one in read_subjects(mine).items()} == dict(dog6="dog", teddy_bear="teddy bear")
    with pytest.raises(FileNotFoundError, match="holds no folders"): read_subjects(mine/"dog6"/"masks")
    with pytest.raises(FileNotFoundError): read_subjects(mine/"nowhere")


def test_nouns_of_folders():
    names = ["dog6", "teddy_bear", "red-car 2", "1984"]
    assert [noun_from(name) for name in names] == ["dog", "teddy bear", "red car", "1984"]


def test_a_black_mask_shows_nothing():
    with pytest.raises(ValueError, match="black everywhere"): cut_out(drawn(), Image.new("L", (60, 40), 0))


def test_pictures_are_named_one_by_one_too(mine):
    case, = entries(mine)
    reference = dict(noun="dog", pictures=["dog6/0.png", "dog6/1.png"], masks=["dog6/masks/0.png"])
    case["subjects"][0]["reference"] = reference
    write(mine, [case])
    with pytest.raises(ValueError, match="fewer or more masks"): cases_from_folder(mine)
    reference.pop("masks")
    write(mine, [case])
    found, = cases_from_folder(mine)
    assert isinstance(found.subjects[0].reference, PhotoReference) and not found.subjects[0].reference.masks
    reference["pictures"] = []
    write(mine, [case])
    with pytest.raises(ValueError, match="pictures is empty"): cases_from_folder(mine)
    case["subjects"][0] |= dict(asked_hue=.5, reference=dict(folder="dog6"))
    write(mine, [case])
    with pytest.raises(ValueError, match="is no sticker"): cases_from_folder(mine)
