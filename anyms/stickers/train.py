# SHIM: removed by the lead
"The old names of `anyms.stickers.training`."
from anyms.processors import find_processors as find_processors
from anyms.stickers.training import loop as _loop
from anyms.stickers.training.batches import (LATENT_STRIDE as GRID, TRAIN_PLACES as PLACED, Batch, caption_batch as words_only,
    close_up_batch as close_ups, move_stickers as elsewhere, paper_colors as papers, sample_references as reference_batch, unseen_scenes as unseen)
from anyms.stickers.training.cells import (CELLS, COLORS as COLOURS, cell_colors as cell_colours, cell_loss, fit_cell_probe as fit_cells,
    least_squares, make_heads, pretrain_tokens as teach_tokens)
from anyms.stickers.training.conditioning import (SIZE_CONDITION as SIDE, add_noise as noised, bypass_resampler as finished_tokens,
    encode_image as encode_references, encode_latents as encode_pictures, encode_prompt as encode_captions, load_or_init as begin,
    predict_velocity as predict, replace_adapter as new_adapter)
from anyms.stickers.training.export import export_weights as publish
from anyms.stickers.training.geometry import (box_coordinates as place_in, mask_and_place as geometry, opacity as alpha, probe_loss,
    probe_targets as probe_answers, visible_opacity as visible, weighted_loss as weighted)
from anyms.stickers.training.loop import Clock, fit as timed
from anyms.stickers.training.losses import (fit_feature_probes as fit_probes, sample_timesteps as timesteps, total_loss as total,
    training_losses as losses)
from anyms.stickers.training.optim import Muon, make_optimizers as optimisers, orthogonalize as orthogonal
from anyms.stickers.training.recipe import Recipe
from anyms.stickers.training.regions import (SCENE_MODES as MODES, SceneMode as Mode, jitter_boxes as loosened, region_mask as heard,
    sample_region_scenes as region_scenes, with_copies as in_several_places)
from anyms.stickers.training.stages import STAGES, joint_modules as parts, make_batch, prepare_adapter as first_lessons, train, train_joint
from anyms.stickers.training.supervision import (AttentionSupervision as Lesson, SupervisedAttnProcessor as TaughtAttention,
    attention_targets as token_targets, bilinear_weights as bilinear, supervised as taught)
from anyms.stickers.training.validation import predict_x0 as clean, psnr, unseen_x0_error as unseen_error, x0_error as clean_error
from anyms.stickers.training.windows import (crop_scenes as in_window, region_batch as regions, region_caption, sample_windows as windows,
    visible_share as share_shown)

class Run(_loop.TrainState):
    "`TrainState` with its old keywords."
    def __init__(self, folder, modules, lr, muon=0, average=.997, cool=.25, before=None):
        super().__init__(folder, modules, lr, muon, average, cool, before)
