"Bad input to layouts: one sentence each, naming the argument, the value and the remedy."
import io
import json
import math
import re

import numpy as np
import pytest
import torch
from PIL import Image

from anyms.images import read_image
from anyms.layout.boxes import Box
from anyms.layout.grids import grid_for, levels
from anyms.layout.layout import Layout
from anyms.layout.masks import mask_tokens
from anyms.layout.subject import Subject

SMALL = Image.new("RGB", (8, 8))
PAIR = Layout([Subject("fox", SMALL, (0, 0, .6, 1)), Subject("hat", SMALL, (.4, 0, 1, 1))])
NAN, INF = math.nan, math.inf

BOXES = {
    "nan": (lambda: Box(NAN, 0, 1, 1), ValueError, r"box \(nan, 0, 1, 1\).*not finite.*0\.\.1"),
    "infinite": (lambda: Box(0, 0, INF, 1), ValueError, r"inf.*not finite"),
    "pixels": (lambda: Box(10, 20, 100, 200), ValueError,
               r"box \(10, 20, 100, 200\) looks like pixels.*Box\.from_pixels\(\(10, 20, 100, 200\), size"),
    "outside, low": (lambda: Box(-.1, 0, 1, 1), ValueError, r"box \(-0\.1, 0, 1, 1\) reaches outside.*clip"),
    "outside, high": (lambda: Box(0, 0, 1, 1.2), ValueError, r"1\.2\) reaches outside.*clip"),
    "reversed x": (lambda: Box(.9, 0, .1, 1), ValueError, r"box \(0\.9, 0, 0\.1, 1\) is reversed.*swap"),
    "reversed y": (lambda: Box(0, .9, 1, .1), ValueError, r"reversed, y1 is above y0.*swap"),
    "no width": (lambda: Box(.5, 0, .5, 1), ValueError, r"has no area.*move x1"),
    "no height": (lambda: Box(0, .5, 1, .5), ValueError, r"has no area.*y1"),
    "text for a number": (lambda: Box("0", 0, 1, 1), TypeError, r"box x0='0' is not a number"),
    "bool for a number": (lambda: Box(0, 0, True, 1), TypeError, r"box x1=True is not a number"),
    "None for a number": (lambda: Box(0, None, 1, 1), TypeError, r"box y0=None is not a number"),
    "three numbers": (lambda: Box.of((0, 0, 1)), ValueError, r"box=\(0, 0, 1\) is not four numbers"),
    "a string": (lambda: Box.of("0011"), ValueError, r"box='0011' is not four numbers"),
    "a number": (lambda: Box.of(3), ValueError, r"box=3 is not four numbers"),
    "a dict": (lambda: Box.of(dict(a=1, b=2, c=3, d=4)), ValueError, r"is not four numbers: give \(x0"),
    "pixels outside the picture": (lambda: Box.from_pixels((0, 0, 300, 100), size=(200, 200)), ValueError,
                                   r"xyxy=\(0, 0, 300, 100\).*height 200 and width 200.*\(height, width\)"),
    "pixels reversed": (lambda: Box.from_pixels((90, 0, 10, 100), size=(200, 200)), ValueError, r"reversed"),
    "pixels, size one number": (lambda: Box.from_pixels((0, 0, 1, 1), size=200), ValueError, r"size=200 is not a pair.*\(height, width\)"),
    "pixels, size zero": (lambda: Box.from_pixels((0, 0, 1, 1), size=(0, 5)), ValueError, r"size=\(0, 5\) is not positive"),
    "coco, three numbers": (lambda: Box.from_coco((1, 2, 3), size=(9, 9)), ValueError, r"xywh=\(1, 2, 3\) is not four"),
    "coco, no width": (lambda: Box.from_coco((1, 2, 0, 3), size=(9, 9)), ValueError, r"no area"),
    "grid with a half": (lambda: Box(0, 0, 1, 1).tokens((8.5, 8)), ValueError, r"grid=\(8\.5, 8\) is not a pair of whole numbers"),
    "grid of nan": (lambda: Box(0, 0, 1, 1).tokens((NAN, 8)), ValueError, r"grid=\(nan, 8\) is not a pair"),
    "grid of nothing": (lambda: Box(0, 0, 1, 1).tokens((0, 8)), ValueError, r"grid=\(0, 8\) is not positive"),
    "latent of text": (lambda: levels("64x64", 2), ValueError, r"latent='64x64' is not a pair"),
    "no depth": (lambda: levels((8, 8), 0), ValueError, r"depth=0 is not a positive whole number"),
    "a half depth": (lambda: levels((8, 8), 1.5), ValueError, r"depth=1\.5"),
    "n of no level": (lambda: grid_for(60, (16, 16)), ValueError, r"n=60 tokens fit no level.*16x16=256, 8x8=64.*give the latent"),
}

MASKS = {
    "empty": (lambda: Subject("fox", mask=np.zeros((4, 4), bool)), ValueError, r"subject 'fox': mask of shape \(4, 4\) has no true pixel"),
    "three planes": (lambda: Subject("fox", mask=np.ones((4, 4, 3), bool)), ValueError, r"mask has shape \(4, 4, 3\): give one plane"),
    "grey values": (lambda: Subject("fox", mask=np.arange(16).reshape(4, 4)), ValueError,
                    r"mask of dtype int64 holds values other than 0 and 1.*threshold"),
    "soft values": (lambda: Subject("fox", mask=np.full((4, 4), .5)), ValueError, r"threshold it first"),
    "nan": (lambda: Subject("fox", mask=np.full((4, 4), NAN)), ValueError, r"threshold it first"),
    "text": (lambda: Subject("fox", mask="mask.png"), ValueError, r"mask has shape \(\)"),
    "of strings": (lambda: Box.from_mask(np.array([["a", "b"]])), ValueError, r"mask of dtype <U1 holds values"),
    "no pixels at all": (lambda: Box.from_mask(np.zeros((0, 4), bool)), ValueError, r"no true pixel"),
    "with a box": (lambda: Subject("fox", box=(0, 0, 1, 1), mask=np.ones((4, 4), bool)), ValueError,
                   r"subject 'fox' has a box and a mask: give one"),
    "on a bad grid": (lambda: mask_tokens(np.ones((4, 4), bool), (0, 3)), ValueError, r"grid=\(0, 3\)"),
}

SUBJECTS = {
    "empty name": (lambda: Subject(""), ValueError, r"name='' is empty.*Subject\(\"fox\""),
    "blank name": (lambda: Subject("  "), ValueError, r"name='  ' is empty"),
    "a number for a name": (lambda: Subject(7), TypeError, r"name=7 is not text"),
    "unknown word of priority": (lambda: Subject("fox", priority="top"), ValueError,
                                 r"priority='top'.*'background', 'object', 'attribute'"),
    "priority nan": (lambda: Subject("fox", priority=NAN), ValueError, r"priority=nan is not finite"),
    "priority a list": (lambda: Subject("fox", priority=[1]), TypeError, r"priority=\[1\] is not a number"),
    "negative scale": (lambda: Subject("fox", scale=-1), ValueError, r"scale=-1 is not a strength.*0"),
    "infinite scale": (lambda: Subject("fox", scale=INF), ValueError, r"scale=inf"),
    "scale as text": (lambda: Subject("fox", scale="1"), TypeError, r"scale='1' is not a number"),
    "bad box, with the subject's name": (lambda: Subject("fox", box=(0, 0, 9, 9)), ValueError,
                                         r"subject 'fox': box \(0, 0, 9, 9\) looks like pixels"),
    "image of another type": (lambda: Subject("fox", image=3), TypeError,
                              r"subject 'fox': image of type int.*path, a PIL image or an array"),
    "image bytes": (lambda: Subject("fox", image=b"\x89PNG"), TypeError, r"image of type bytes"),
    "one pixel": (lambda: read_image(Image.new("RGB", (1, 1))), ValueError, r"1x1 pixels, too small.*2x2"),
    "huge": (lambda: read_image(Image.new("1", (10000, 6000))), ValueError, r"10000x6000 pixels.*shrink.*thumbnail"),
    "all transparent": (lambda: read_image(Image.new("RGBA", (8, 8))), ValueError, r"transparent everywhere.*visible"),
    "no fixed range": (lambda: read_image(Image.new("F", (8, 8))), ValueError, r"mode 'F'.*0\.\.255"),
    "channels first": (lambda: read_image(torch.zeros(3, 8, 9)), ValueError, r"shape \(3, 8, 9\).*rearrange"),
    "floats of 0..255": (lambda: read_image(np.full((8, 8, 3), 200.)), ValueError, r"floats outside 0\.\.1.*200.*divide by 255"),
    "floats with nan": (lambda: read_image(np.full((8, 8, 3), NAN)), ValueError, r"floats outside 0\.\.1"),
    "whole numbers of 64 bits": (lambda: read_image(np.zeros((8, 8, 3), int)), ValueError, r"dtype int64: give uint8"),
    "an array without pixels": (lambda: read_image(np.zeros((0, 8, 3), np.uint8)), ValueError, r"shape \(0, 8, 3\)"),
}

LAYOUTS = {
    "none": (lambda: Layout([]), ValueError, r"subjects=\[\] holds no subject"),
    "a number": (lambda: Layout(5), ValueError, r"subjects=5 holds no subject: give a list"),
    "one subject": (lambda: Layout(PAIR[0]), TypeError, r"subjects='fox' is one subject: give a list"),
    "tuples": (lambda: Layout([("fox", (0, 0, 1, 1))]), TypeError, r"holds \('fox'.*not a Subject: wrap it"),
    "a name twice": (lambda: Layout([PAIR[0], PAIR[0]]), ValueError, r"name='fox' occurs twice.*'fox 2'"),
    "a name twice but for blanks": (lambda: Layout([Subject("fox"), Subject(" fox ")]), ValueError, r"'fox' occurs twice"),
    "an unknown name": (lambda: PAIR["cat"], KeyError, r"subject 'cat' is not in the layout: use one of fox, hat"),
    "replacing an unknown name": (lambda: PAIR.replace("cat", scale=2), KeyError, r"'cat' is not in the layout"),
    "more subjects than tokens": (lambda: PAIR.cover((1, 1)), ValueError, r"2 subjects on grid=\(1, 1\).*1 tokens.*fewer subjects"),
    "size of the drawing": (lambda: PAIR.draw(size=(0, 10)), ValueError, r"size=\(0, 10\) is not positive"),
}

GOOD = PAIR.to_dict()


def entry(**changes): return {"anyms_layout": 1, "subjects": [{**GOOD["subjects"][0], **changes}]}


FILES = {
    "no version": ({"subjects": []}, ValueError, r"\"anyms_layout\" is missing"),
    "a later version": ({**GOOD, "anyms_layout": 2}, ValueError, r"\"anyms_layout\" is 2.*reads version 1.*update anyms"),
    "an unknown key": ({**GOOD, "colour": 1}, ValueError, r"unknown keys colour.*known are anyms_layout, subjects"),
    "an unknown key of a subject": (entry(bx=1), ValueError, r"subject has unknown keys bx.*box"),
    "a list": ([1, 2], ValueError, r"layout is list.*must be an object"),
    "subjects not a list": ({**GOOD, "subjects": "fox"}, ValueError, r"\"subjects\" is 'fox': it must be a list"),
    "a subject not an object": ({**GOOD, "subjects": [3]}, ValueError, r"subject is int"),
    "no subjects": ({**GOOD, "subjects": []}, ValueError, r"holds no subject"),
    "no name": ({**GOOD, "subjects": [{"box": [0, 0, 1, 1]}]}, ValueError, r"no key \"name\""),
    "a box of three": (entry(box=[0, 0, 1]), ValueError, r"subject 'fox': box=\[0, 0, 1\]"),
    "a box with nan": (entry(box=[0, 0, NAN, 1]), ValueError, r"not finite"),
    "box and mask": (entry(mask={"png": GOOD["subjects"][0]["image"]["png"]}), ValueError, r"box and a mask"),
    "an image of no form": (entry(image={}), ValueError, r"subject 'fox': image must hold exactly one of"),
    "an image as text": (entry(image="fox.png"), ValueError, r"subject 'fox': image is str 'fox\.png'.*file, png"),
    "an image not base64": (entry(image={"png": "???"}), ValueError, r"not a PNG in base64"),
    "an image not PNG": (entry(image={"png": "aGVsbG8="}), ValueError, r"not a PNG in base64"),
    "an image that is not there": (entry(image={"file": "gone.png"}), FileNotFoundError,
                                   r"subject 'fox': image='.*gone\.png' does not exist"),
    "a mask by file": (entry(mask={"file": "mask.png"}, box=None), ValueError, r"mask has unknown keys file"),
    "scale as text": (entry(scale="1"), TypeError, r"scale='1' is not a number"),
    "an unknown priority": (entry(priority="first"), ValueError, r"priority='first'"),
}

CASES = {f"{kind}: {name}": case for kind, table in dict(box=BOXES, mask=MASKS, subject=SUBJECTS, layout=LAYOUTS).items() for name,
         case in table.items()}


def one_sentence(error):
    message = str(error.args[0])
    assert "\n" not in message and ":" in message and 30 < len(message) < 400, message
    return message


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name):
    act, kind, says = CASES[name]
    with pytest.raises(kind) as caught: act()
    assert re.search(says, one_sentence(caught.value))


@pytest.mark.parametrize("name", FILES)
def test_bad_file(name, tmp_path):
    data, kind, says = FILES[name]
    (tmp_path/"scene.json").write_text(json.dumps(data))
    with pytest.raises(kind) as caught: Layout.load(tmp_path/"scene.json")
    assert "scene.json" in one_sentence(caught.value) and re.search(says, str(caught.value))
    with pytest.raises(kind, match=says): Layout.from_dict(data, tmp_path)


@pytest.mark.parametrize("keep", [0, 1, 40, -2])
def test_a_truncated_file(keep, tmp_path):
    whole = PAIR.save(tmp_path/"scene.json").read_bytes()
    (tmp_path/"scene.json").write_bytes(whole[:keep])
    with pytest.raises(ValueError, match=r"scene\.json' is damaged or cut short.*save it again"): Layout.load(tmp_path/"scene.json")


def test_files_that_are_not_layouts(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.json' does not exist.*Layout\.save"): Layout.load(tmp_path/"none.json")
    with pytest.raises(ValueError, match=r"is a folder"): Layout.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"folder .*nowhere' does not exist: create it"): PAIR.save(tmp_path/"nowhere"/"scene.json")
    (tmp_path/"noise.json").write_bytes(bytes(range(128, 256)))
    with pytest.raises(ValueError, match=r"damaged"): Layout.load(tmp_path/"noise.json")


def test_image_files(tmp_path):
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "blue")]
    frames[0].save(tmp_path/"moving.gif", save_all=True, append_images=frames[1:])
    (tmp_path/"text.png").write_text("no image")
    file = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(file, "PNG")
    (tmp_path/"cut.png").write_bytes(file.getvalue()[:600])
    wrong = [(tmp_path/"gone.png", FileNotFoundError, r"gone\.png' does not exist: check the path"),
             (tmp_path, ValueError, r"is a folder: give one image file"),
             (tmp_path/"moving.gif", ValueError, r"moving\.gif' is animated \(2 frames\): choose one"),
             (tmp_path/"text.png", ValueError, r"text\.png' cannot be read as an image"),
             (tmp_path/"cut.png", ValueError, r"cut\.png' is damaged or cut short")]
    for path, kind, says in wrong:
        with pytest.raises(kind) as caught: Subject("fox", str(path))
        assert re.search(says, one_sentence(caught.value)) and str(caught.value).startswith("subject 'fox': image=")


def test_the_table_is_long_enough(): assert len(CASES) + len(FILES) >= 45
