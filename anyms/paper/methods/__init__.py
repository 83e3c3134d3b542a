"""Who draws: one interface, and every method of the tables behind it.

sampling: the same noise for everybody, and what a picture costs. method: the interface and the registry. variants: AnyMS and its ablations.
tuning: a method's settings, chosen on layouts that nobody reports.
diffusers_masks: diffusers' own masks, and none. paste: the collage, no model. mip: the text says where. freecustom: references drawn along.
text_attention: the text's attention with hooks. regional: a sentence for each box. concat: words and pictures in one softmax.
tune: train a few weights on five photographs, and give them back. latexblend: a subject as two rows of keys and values.
custom_diffusion: tuned weights merged into one. cones: a word's scores, and a residual for each subject. mix_of_show: regional and tuned.
tweediemix: a model per subject, mixed by boxes. mudi: a hint in the noise, and a LoRA that has seen collages.
ms_grounding: noun and box ask the reference. ms_diffusion: MS-Diffusion in miniature. ms_weights: its authors' weights on SDXL.
"""
from anyms import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, dict(
    BASES="sampling", Sampling="sampling", base_of="sampling", canvas_of="sampling", count_calls="sampling",
    initial_noise="sampling", sample="sampling",
    METHODS="method", Method="method", get_method="method", keep="method", register_method="method",
    VariantMethod="variants",
    case_of_layout="tuning", choose="tuning", tuning_cases="tuning", with_settings="tuning",
    DiffusersJoint="diffusers_masks", DiffusersMasks="diffusers_masks", adapter_scale="diffusers_masks",
    box_masks="diffusers_masks",
    Collage="paste", Paste="paste", collage="paste", encode_latents="paste", place_cutout="paste", place_words="paste",
    MIPAdapter="mip", merged_by_text="mip", noun_weights="mip",
    FreeCustom="freecustom", beside_references="freecustom", references_along="freecustom",
    TextAttention="text_attention", TextMethod="text_attention", installed_text="text_attention",
    sample_text="text_attention",
    Regional="regional", RegionalText="regional", prompt_keys="regional", subject_prompts="regional",
    Concat="concat", ConcatText="concat", TokenMaps="concat", merge_attention="concat", reference_keys="concat",
    token_maps="concat",
    Noisy="tune", Photos="tune", cross_attention_kv="tune", denoising_errors="tune", denoising_loss="tune",
    encode_pairs="tune", encode_photos="tune", encode_sentences="tune", noised="tune", photo_batches="tune", predict="tune",
    with_weights="tune",
    Bank="latexblend", BankAttention="latexblend", BoxedBankAttention="latexblend", ConceptLoss="latexblend",
    LatexBlend="latexblend", LatexBlendBoxes="latexblend", bank_rows="latexblend", banks_of="latexblend",
    subject_places="latexblend", tuned_subject="latexblend",
    CustomDiffusion="custom_diffusion", merge_weights="custom_diffusion",
    Cones="cones", ConesWords="cones", RectifiedText="cones", noun_positions="cones", residual_embeds="cones",
    tune_residual="cones",
    MixOfShow="mix_of_show", tuned_keys="mix_of_show",
    GroundedAdapter="ms_grounding", boxed_attention="ms_grounding", ms="ms_grounding", swapped_adapter="ms_grounding",
    TweedieMix="tweediemix", mix_by_boxes="tweediemix", mixed_by_boxes="tweediemix", words_of="tweediemix",
    MuDI="mudi", UntrainedMuDI="mudi", mean_shift="mudi", seg_mix="mudi", shifted_noise="mudi", with_lora="mudi",
    MSDiffusion="ms_diffusion", layout_batch="ms_diffusion", train_adapter="ms_diffusion",
    MSResampler="ms_weights", MSWeights="ms_weights", read_weights="ms_weights",
))
