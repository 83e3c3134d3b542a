"""THE JUDGE: pictures in, numbers out. Two small nets of its own say where something is, what it is and which one it is.

Every figure has an interval over layouts, and a ceiling: the same figure of the true scenes.

    boxes        how well two boxes agree, and who belongs to whom
    detector     a net that answers in every cell, and its loss
    embedder     a net that tells drawings of one noun apart, and its loss
    train        both nets, on painted scenes that are spoilt a little
    weights      one file, one card, one checksum
    testset      held-out layouts with their truth
    detections   from the answers of cells to boxes with names; drawing them
    judge        `Judge`: a row for each subject and for each detection
    scores       figures with intervals, paired differences, tables
    limits       the ceiling on true scenes, and who is lost
    batch        many pictures in one U-Net call, each by its own variant
    evaluation   draw and judge hundreds of layouts, resumed where it stopped
    questions    strangers, many noises, ordinary use of the adapter
    results      what the shipped weights reached
"""
from anyms import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, dict(
    area="boxes", intersection="boxes", hull="boxes", giou="boxes", pairwise_iou="boxes",
    share_inside="boxes", worst_overlap="boxes", match_boxes="boxes",
    STRIDE="detector", Detector="detector", ResidualBlock="detector", conv_block="detector", cell_centers="detector",
    detection_targets="detector", heat_target="detector", owner_target="detector", heat_loss="detector", noun_loss="detector",
    boxes_from_edges="detector", detector_loss="detector",
    CROP="embedder", Embedder="embedder", crops="embedder", identity_batch="embedder", embedder_loss="embedder",
    STAGES="train", TRAIN_SIZES="train", degrade="train", detector_scenes="train", train_detector="train", train_embedder="train",
    save_judge="weights", load_nets="weights",
    SPLITS="testset", KINDS="testset", held_out_layouts="testset", noise_layouts="testset", alone_layouts="testset",
    scenes_of="testset", as_layout="testset", to_image="testset",
    SHORT_SIDE="detections", DETECTION_THRESHOLD="detections", Detections="detections", detect="detections",
    prepare_image="detections", detection_labels="detections", draw_detections="detections",
    GALLERY="judge", Judge="judge", load_judge="judge", gallery="judge", most_alike="judge", missing_and_ghosts="judge",
    subject_rows="judge", detection_rows="judge",
    METRICS="scores", ONE_PER_PICTURE="scores", LOWER_IS_BETTER="scores", average_precision="scores",
    available_metrics="scores", bootstrap="scores", paired_difference="scores", summary="scores", format_table="scores",
    CEILING_SETS="limits", ceiling="limits", ceilings="limits", with_lost="limits",
    COMPARED="batch", BATCH_SIZE="batch", full_over_n="batch", variant_by_row="batch", generate_batch="batch",
    own_reference="batch", generate_alone="batch",
    evaluate="evaluation", evaluation_report="evaluation", run_name="evaluation", KeptRows="evaluation",
    judged_rows="evaluation", shard_of="evaluation",
    evaluate_kinds="questions", evaluate_noises="questions", evaluate_alone="questions", steadiness="questions",
    blending="results",
))

# SHIM: removed by the lead
from functools import wraps as _wraps  # noqa: E402
from importlib import import_module as _import_module  # noqa: E402

_STEPS = dict(steps="num_inference_steps", guidance="guidance_scale", turn="shard")
_OLD = dict(
    WEIGHTS="anyms.stickers.model:WEIGHTS", SHORT="detections:SHORT_SIDE", SHAPES="train:TRAIN_SIZES", PARTS="testset:SPLITS",
    FOUND="detections:DETECTION_THRESHOLD", LINE="detections:LABEL_HEIGHT", FIGURES="scores:METRICS",
    OF_PICTURE="scores:ONE_PER_PICTURE", LESS="scores:LOWER_IS_BETTER", SETS="limits:CEILING_SETS", AT_ONCE="batch:BATCH_SIZE",
    Residual="detector:ResidualBlock", cells="detector:cell_centers", targets="detector:detection_targets", worn="train:degrade",
    worst_cover="boxes:worst_overlap", best_pairs="boxes:match_boxes", fit="detections:prepare_image",
    astray="judge:missing_and_ghosts", labels="detections:detection_labels", verdict_sheet="detections:draw_detections",
    measured="scores:available_metrics", difference="scores:paired_difference", wide="scores:format_table",
    by_rows="batch:variant_by_row", draw_together="batch:generate_batch", draw_alone="batch:generate_alone",
    verdict="evaluation:evaluation_report",
)
_KEYWORDS = dict(
    draw_together=_STEPS, draw_alone=_STEPS, evaluate=_STEPS, evaluate_kinds=_STEPS, evaluate_noises=_STEPS, evaluate_alone=_STEPS,
    bootstrap=dict(figures="metrics"), difference=dict(figures="metrics"), summary=dict(figures="metrics"),
    blending=dict(figures="metrics"), detect=dict(least="threshold"), labels=dict(least="threshold"),
    verdict_sheet=dict(least="threshold"), identity_batch=dict(per="stickers"),
)
_new = __getattr__


def _shim(load, old, keywords, package):
    "Old names and old keyword arguments of a package that hands on new ones."
    def renamed(function, words):
        @_wraps(function)
        def call(*args, **kw): return function(*args, **{words.get(k, k): v for k, v in kw.items()})
        return call

    def get(name):
        if name in old:
            module, _, new = old[name].partition(":")
            found = getattr(_import_module(module if "." in module else f"{package}.{module}"), new)
        else: found = load(name)
        if name in ("Judge", "load_judge"):
            judge = _import_module("anyms.stickers.judge.judge").Judge
            judge.numbers, judge.look = judge.metrics, judge.embed_crops
        return renamed(found, keywords[name]) if name in keywords else found

    return get


__getattr__ = _shim(_new, _OLD, _KEYWORDS, __name__)
