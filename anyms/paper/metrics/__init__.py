"""How pictures are judged: the same three tables for stickers and for photographs, and what a picture costs.

rows: the tables, and which box is whose. registry: every figure by its name. stickers: the judge of the sticker world, asked about cases.
checkpoints: nets of others, and which files they are. detector: where is what a word names. masks: cut out, on white.
embedders: how alike, and does it fit the sentence. dreamsim: where it is installed. photo_rows: the judge of photographs.
cost: seconds, bytes, evaluations of one picture.
"""
from anyms import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, dict(
    TABLES="rows", PictureJudge="rows", judge_pictures="rows", Seen="rows", best_pairs="rows", greedy_hits="rows", likeness_columns="rows",
    METRICS="registry", IDENTITY="registry", Metric="registry", get_metric="registry", metric_rows="registry", available="registry",
    all_pictures="registry", measure="registry",
    StickerJudge="stickers", sticker_rows="stickers", obeys_ruler="stickers",
    CHECKPOINTS="checkpoints", Checkpoint="checkpoints", open_checkpoint="checkpoints",
    missing_files="checkpoints", how_to_fetch="checkpoints",
    GroundingDino="detector", NounDetector="detector", suppress="detector",
    Sam="masks", on_white="masks", find_cutout="masks", reference_crop="masks",
    Clip="embedders", Dino="embedders", DreamSim="dreamsim", open_dreamsim="dreamsim",
    PhotoJudge="photo_rows", PhotoParts="photo_rows", photo_tables="photo_rows", open_parts="photo_rows",
    PictureCost="cost", cost_of="cost", method_cost="cost", peak_bytes="cost", reset_peak="cost",
))
