"Where a subject's words stand in the prompt; the tiny tokenizer knows fox and hat whole."
import pytest

from anyms.pipeline.words import find_token_positions



@pytest.mark.parametrize("prompt, names, found", [
    ("a fox", ["fox"], {"fox": [2]}),
    ("a fox", ["cat"], {}),
    ("a fox, a hat", ["hat", "fox"], {"hat": [5], "fox": [2]}),
    ("fox fox", ["fox"], {"fox": [1, 2]}),
    ("foxglove", ["fox"], {}),
    ("a fox", ["fox 2"], {"fox 2": [2]}),
    ("a fox", ["fox", "fox 2"], {"fox": [2], "fox 2": [2]}),
    ("", ["fox"], {}),
    ("a", ["2"], {}),
    ("a "*30 + "fox", ["fox"], {}),
    ("fox hat", ["fox-hat"], {"fox-hat": [1, 2]}),
    ("a fox-hat", ["fox-hat"], {"fox-hat": [2, 3, 4]}),
    ("fox hat", ["fox_hat"], {"fox_hat": [1, 2]}),
])
def test_words_are_found(pipe, prompt, names, found):
    "Positions count the start token; what the tokenizer cuts off is not there; the tiny tokenizer knows fox and hat whole."
    assert find_token_positions(pipe.tokenizer, prompt, names) == found
