"""How the sticker model was trained: nine ingredients, each told where it lives, and runs that can be stopped at any minute.

optim         Muon for the matrices inside, AdamW for the rest; one learning-rate schedule
loop          a run as a folder: state, moving average, log; training that talks and survives an interrupt
recipe        the nine ingredients and their dials
figures       how a batch looks
conditioning  what the U-Net gets to see: captions, one reference, latents; where a run starts
batches       one reference in several pictures (2); words alone; drawings that nobody trained on
cells         every token answers for a cell of its reference (1)
geometry      what lies where: weighted errors (3), probes for mask and place (5)
supervision   attention that is taught where to read (4)
regions       a reference that is heard only where its sticker stands (6)
windows       windows of scenes (7), captions that say more than the window shows (8)
losses        one step of everything, behind noise that decides composition (9)
validation    is it getting better: errors of the clean latents on what no training has seen
stages        a whole run, and all stages from one call
export        from a run's folder to published weights and their card
decoder       a stage of its own: latents to pictures
"""
from anyms import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, dict(
    Muon="optim", make_optimizers="optim", orthogonalize="optim",
    TrainState="loop", fit="loop", Recipe="recipe", Batch="batches",
    load_or_init="conditioning", replace_adapter="conditioning", predict_velocity="conditioning",
    encode_prompt="conditioning", encode_image="conditioning", encode_latents="conditioning",
    caption_batch="batches", close_up_batch="batches", unseen_scenes="batches", region_batch="windows",
    make_heads="cells", fit_cell_probe="cells", pretrain_tokens="cells", fit_feature_probes="losses",
    supervised="supervision", training_losses="losses", total_loss="losses",
    predict_x0="validation", x0_error="validation", unseen_x0_error="validation", psnr="validation",
    make_batch="stages", joint_modules="stages", joint_step="stages", train_joint="stages", train="stages", STAGES="stages",
    export_weights="export", train_decoder="decoder",
))
