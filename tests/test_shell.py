"What is typed in a terminal: subjects, seeds, sizes, and what is odd about a prompt."
import numpy as np
import pytest
from PIL import Image

from anyms import shell


# subjects

def test_subject_with_a_picture(tmp_path):
    Image.new("RGB", (32, 32), "red").save(tmp_path/"a b@home=1.png")
    subject = shell.parse_subject(f"red fox={tmp_path}/a b@home=1.png@0,0,.5,.5")
    assert subject.name == "red fox" and subject.image.getpixel((0, 0)) == (255, 0, 0) and tuple(subject.box) == (0, 0, .5, .5)


def test_which_fox():
    def of(text): return np.asarray(shell.parse_subject(text).image)
    assert np.array_equal(of("fox:noto@0,0,.5,.5"), of("fox 2:noto@0,0,.5,.5"))
    assert not np.array_equal(of("fox:noto@0,0,.5,.5"), of("fox@0,0,.5,.5"))
    assert shell.parse_subject("fox 2:twemoji@0,0,.5,.5").name == "fox 2" and np.array_equal(of("fox 2@0,0,.5,.5"), of("fox@0,0,.5,.5"))
    with pytest.raises(ValueError, match="anyms stickers shows what there is"): shell.parse_subject("fox:nope@0,0,1,1")


def test_a_picture_keeps_any_name(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path/"a.png")
    assert shell.parse_subject(f"my: fox={tmp_path}/a.png@0,0,1,1").name == "my: fox"


# numbers

@pytest.mark.parametrize("text, numbers", [("0", [0]), ("0,2,5", [0, 2, 5]), ("0-3", [0, 1, 2, 3]), (" 4 ", [4]), ("2-2", [2])])
def test_seeds(text, numbers): assert shell.parse_seeds(text) == numbers


@pytest.mark.parametrize("text, size", [(None, {}), ("64", dict(height=64, width=64)), ("64x96", dict(height=64, width=96)),
                                        ("64X96", dict(height=64, width=96))])
def test_size(text, size): assert shell.parse_size(text) == size


# words

@pytest.mark.parametrize("prompt, strange", [("a zebra on Mars", ["zebra", "mars"]), ("a fox and two foxes on the beach", []),
                                             ("a red fox, left of a small hat at night", []), ("a spider", ["spider"])])
def test_words_that_the_embedded_model_never_met(embedded, prompt, strange):
    assert shell.strange_words(embedded.tokenizer, prompt) == strange
    says = shell.remarks(embedded, "stickers", prompt, [])
    assert len(says) == bool(strange) and all(repr(w) in says[0] for w in strange)
