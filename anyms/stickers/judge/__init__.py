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
    METRICS="scores", ONE_PER_PICTURE="scores", LOWER_IS_BETTER="scores",
    RECALLS="scores", average_precision="scores",
    available_metrics="scores", bootstrap="scores", paired_difference="scores", summary="scores", format_table="scores",
    CEILING_SETS="limits", ceiling="limits", ceilings="limits", with_lost="limits",
    COMPARED="batch", BATCH_SIZE="batch", full_over_n="batch", variant_by_row="batch", generate_batch="batch",
    own_reference="batch", generate_alone="batch",
    evaluate="evaluation", evaluation_report="evaluation", run_name="evaluation", KeptRows="evaluation",
    judged_rows="evaluation", shard_of="evaluation",
    evaluate_kinds="questions", evaluate_noises="questions", evaluate_alone="questions", steadiness="questions",
    blending="results",
))
