"The model card says what the files say."
import json, shutil

import pandas as pd
import pytest

from anyms.stickers.card import (MAKERS, ablation_table, artwork, core_hours, history, learning_curve, metrics_table, model_card,
                                 model_size, training_stages)
from anyms.stickers.judge.results import blending
from anyms.stickers.model.weights import WEIGHTS
from anyms.stickers.world.sprites import DRAWINGS
from anyms.stickers.world import all_sprites


def test_the_card_beside_the_weights_is_up_to_date():
    assert (WEIGHTS/"README.md").read_text() == model_card()


def test_every_drawing_is_counted_once():
    table = artwork()
    assert list(table.index) == list(DRAWINGS) == list(MAKERS)
    assert table.iloc[:, :3].to_numpy().sum() == len(all_sprites())


def test_makers_are_those_of_the_notice():
    notice = (WEIGHTS.parents[2]/"NOTICE")
    if not notice.exists(): pytest.skip("installed without the repository")
    said = notice.read_text()
    for maker, licence, home in MAKERS.values(): assert maker in said and home in said and licence.split()[0] in said


def test_stages_and_metrics():
    table = training_stages()
    assert {"decoder", "joint"} <= set(table.stage) and (table.pictures > 0).all()
    told = metrics_table()
    assert {"text_only", "full", "masked", "crop_merge"} <= set(told.columns) and told.columns[-1] == "ceiling"
    assert {"mIoU", "AP50", "identity", "text", "scene"} <= set(told.index) and told.notna().all(axis=None)


def test_history_ends_with_the_present_weights():
    told = history()
    assert told.seen.nunique() >= 3 and told.seen.is_monotonic_increasing and not told.duplicated(["seen", "variant", "figure"]).any()
    assert told.groupby("seen").core_hours.first().is_monotonic_increasing
    last = told[told.seen == told.seen.max()].set_index(["variant", "figure"]).value
    assert f"{last['crop_merge', 'mIoU']:.3f} [" in metrics_table().crop_merge["mIoU"]


def test_core_hours_of_old_logs_and_of_new():
    log = [dict(seen=k, minutes=m) for k, m in enumerate((2, 4, 5.5, 2, 3))]         # two sessions: 5.5 and 3 minutes
    assert core_hours(dict(log=log)) == pytest.approx(2*8.5/60)
    assert core_hours(dict(log=log, core_hours=7.)) == 7


def test_the_learning_curve_tells_both_recipes_apart():
    curve = learning_curve().query("variant == 'crop_merge' and figure == 'mIoU'")
    assert set(curve.recipe) == {"old", "new"} and curve[curve.recipe == "old"].seen.max() <= curve[curve.recipe == "new"].seen.min()
    tuning = curve[curve.layouts == "tuning"]
    assert len(tuning) and tuning.low.isna().all() and curve[curve.layouts == "held-out"].low.notna().all()
    assert curve.core_hours.notna().all()


def test_where_trial_points_come_from():
    trials = pd.read_csv(WEIGHTS/"trials.csv")
    assert trials.source.str.len().gt(20).all() and set(trials.pace) <= {"counted", "estimated"} and set(trials.layouts) == {45}


def test_the_first_paragraph_says_what_the_weights_have_heard_and_the_control_stands_beside_it():
    first = model_card().split("\n# ")[1].split("\n## ")[0]
    assert "regional hearing" in first and "b768e5c" in first and "| control: never heard a region | full |" in first


def test_blending_reads_control_and_weights_apart(tmp_path):
    def row(variant, value):
        interval = dict(low=value - .1, high=value + .1)
        return dict(variant=variant, figure="mIoU", value=value, layouts=9, set="difference", **interval)

    pd.DataFrame([row("crop_merge - full", .3), row("crop_merge - joint", .2)]).to_csv(tmp_path/"control.csv", index=False)
    pd.DataFrame([row("crop_merge - full, disjoint", .9), row("crop_merge - full", .5)]).to_csv(tmp_path/"evaluation.csv", index=False)
    told = blending(tmp_path).set_index(["weights", "minus"]).mIoU
    assert told["control: never heard a region", "full"] == "+0.30 [+0.20, +0.40]"
    assert told["control: never heard a region", "joint"].startswith("+0.20")
    assert told["these weights", "full"].startswith("+0.50") and told["these weights", "full / n"] == "not measured"


def test_the_ablation_stands_in_the_card_where_there_is_one(tmp_path):
    assert ablation_table(tmp_path).empty
    arms = (("everything", 10, .1), ("nothing of it", 9, .2))
    rows = [dict(arm=arm, seed=0, core_minutes=2., pictures=n, measure=measure, step_300=e, step_500=3*e)
            for arm, n, e in arms for measure in ("close-up", "scene")]
    pd.DataFrame(rows).to_csv(tmp_path/"ablation.csv", index=False)
    table = ablation_table(tmp_path).set_index("arm")
    assert table.loc["everything", "scene"] == pytest.approx(.2) and table.loc["nothing of it", "scene, % worse"] == 100
    assert table.loc["everything", "scene, % worse"] == 0 and table.loc["nothing of it", "pictures"] == 9


def test_tables_are_whole():
    "Every Markdown table of the card has as many cells in each row as in its head."
    rows = [line for line in model_card().splitlines() if line.startswith("|")]
    heads = [i for i, row in enumerate(rows) if set(row) <= set("| -")]
    assert len(heads) >= 10
    for start, stop in zip(heads, [*[h-1 for h in heads[1:]], len(rows)]):
        assert len({row.count(" | ") for row in rows[start-1:stop]}) == 1


def test_weights_that_nobody_judged(tmp_path):
    shutil.copy(WEIGHTS/"training.json", tmp_path)
    (tmp_path/"base").mkdir()
    for part in ("unet", "vae"): shutil.copytree(WEIGHTS/"base"/part, tmp_path/"base"/part)
    with pytest.raises(FileNotFoundError, match="judge these weights first"): model_card(tmp_path)


@pytest.mark.parametrize("stages, side", [(3, 64), (4, 128)])
def test_pixels_follow_the_decoder(tmp_path, stages, side):
    for part, config in (("unet", dict(sample_size=16)), ("vae", dict(decoder_block_out_channels=[32]*stages))):
        (tmp_path/"base"/part).mkdir(parents=True)
        (tmp_path/"base"/part/"config.json").write_text(json.dumps(config))
    assert model_size(tmp_path) == (side, 0)
