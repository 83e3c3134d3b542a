# SHIM: removed by the lead
from anyms.stickers.model.decoder import grow_decoder as grow, held_out_scenes, picture_psnr
from anyms.stickers.training.decoder import MILD_NOISE as MILD, RIM, STAGES, WINDOW, decoder_loss, denoised_latents as cleaned_latents, sample_windows as windows, train_decoder
