"Weights of the judge: they come back, and what is wrong with them is noticed."
import json

import pytest
from safetensors.torch import save_file

from anyms.stickers.judge.evaluation import _digest
from anyms.stickers.judge.judge import load_judge
from anyms.stickers.judge.weights import save_judge


@pytest.fixture(scope="module")
def judge(): return load_judge()

def test_weights_come_back_and_damage_is_noticed(judge, tmp_path):
    for part, net in (("detector", judge.detector), ("embedder", judge.embedder)):
        (tmp_path/"run"/part).mkdir(parents=True)
        save_file({f"{part}.{k}": v for k, v in net.state_dict().items()}, tmp_path/"run"/part/"average.safetensors")
        (tmp_path/"run"/part/"state.json").write_text(json.dumps(dict(seen=1, step=1, log=[])))
    (tmp_path/"w").mkdir()
    (tmp_path/"w"/"checksums.json").write_text('{"a": "b"}')
    save_judge(tmp_path/"run", tmp_path/"w", dict(note=1))
    again = load_judge(tmp_path/"w")
    assert again.card["note"] == 1 and _digest(again) == _digest(judge)   # halves come back as halves
    assert json.loads((tmp_path/"w"/"checksums.json").read_text()) == dict(a="b") | {"judge.safetensors": again.card["sha256"]}
    file = tmp_path/"w"/"judge.safetensors"
    assert file.stat().st_size < 3_000_000
    file.write_bytes(file.read_bytes()[:-1]+b"\0\0")
    with pytest.raises(OSError, match="judge.safetensors is damaged"): load_judge(tmp_path/"w")
    card = json.loads((tmp_path/"w"/"judge.json").read_text())
    file.unlink()
    with pytest.raises(FileNotFoundError, match="has no judge.safetensors"): load_judge(tmp_path/"w")
    save_judge(tmp_path/"run", tmp_path/"w")
    (tmp_path/"w"/"judge.json").write_text(json.dumps(card | dict(nouns=3)))
    with pytest.raises(ValueError, match="knows 3 nouns"): load_judge(tmp_path/"w")
