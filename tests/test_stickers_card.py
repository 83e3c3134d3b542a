"The model card says what the files say."
import shutil

import pytest

from anyms.stickers.card import MAKERS, WEIGHTS, artwork, figures, history, model_card, stages
from anyms.stickers.world import DRAWINGS, sprites


def test_the_card_beside_the_weights_is_up_to_date():
    assert (WEIGHTS/"README.md").read_text() == model_card()


def test_every_drawing_is_counted_once():
    table = artwork()
    assert list(table.index) == list(DRAWINGS) == list(MAKERS)
    assert table.iloc[:, :3].to_numpy().sum() == len(sprites())


def test_makers_are_those_of_the_notice():
    notice = (WEIGHTS.parents[2]/"NOTICE")
    if not notice.exists(): pytest.skip("installed without the repository")
    said = notice.read_text()
    for maker, licence, home in MAKERS.values(): assert maker in said and home in said and licence.split()[0] in said


def test_stages_and_figures():
    assert list(stages().stage) == ["decoder", "encoder", "joint"] and (stages().pictures > 0).all()
    table = figures()
    assert list(table.columns) == ["text_only", "full", "masked", "crop_merge", "ceiling"]
    assert {"mIoU", "AP50", "identity", "text", "scene"} <= set(table.index) and table.notna().all(axis=None)


def test_history_ends_with_the_present_weights():
    told = history()
    assert told.seen.nunique() >= 3 and told.seen.is_monotonic_increasing and not told.duplicated(["seen", "variant", "figure"]).any()
    last = told[told.seen == told.seen.max()].set_index(["variant", "figure"]).value
    assert f"{last['crop_merge', 'mIoU']:.3f} [" in figures().crop_merge["mIoU"] and len(last) == 4*len(figures())


def test_tables_are_whole():
    "Every Markdown table of the card has as many cells in each row as in its head."
    rows = [line for line in model_card().splitlines() if line.startswith("|")]
    heads = [i for i, row in enumerate(rows) if set(row) <= set("| -")]
    assert len(heads) == 8
    for start, stop in zip(heads, [*[h-1 for h in heads[1:]], len(rows)]):
        assert len({row.count(" | ") for row in rows[start-1:stop]}) == 1


def test_weights_that_nobody_judged(tmp_path):
    shutil.copy(WEIGHTS/"training.json", tmp_path)
    (tmp_path/"base").mkdir(); shutil.copytree(WEIGHTS/"base"/"unet", tmp_path/"base"/"unet")
    with pytest.raises(FileNotFoundError, match="judge these weights first"): model_card(tmp_path)
