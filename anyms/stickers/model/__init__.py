"""The embedded model: SDXL in small, with an IP-Adapter Plus, trained on the world of stickers and opened by plain diffusers.

tokenizer      every word of the world is one token, and new words leave old ones alone
autoencoder    pictures to twelve numbers a patch: principal components, written as convolutions
networks       text encoders, image encoder, U-Net and scheduler, with random weights
adapter        a new IP-Adapter Plus, in the field's own file layout
weights        saving, checksums, opening; where the embedded weights lie
decoder        what twelve numbers forgot, and a decoder that grows
"""
from anyms import lazy_names

_ROOMS = dict(
    tokenizer="LENGTH MARKS merge_pair learn_merges with_words make_tokenizer learn_words",
    autoencoder="LATENT_CHANNELS IMAGE_SIZE make_autoencoder set_encoder world_patches principal_encoder",
    networks="UNET_WIDTHS TEXT_WIDTHS REFERENCE_SIZE make_text_encoders make_image_encoder make_image_processor "
        "make_unet make_scheduler make_pipeline",
    adapter="REFERENCE_TOKENS PUBLISHED published_name adapter_state attach_new_adapter adapter_modules",
    weights="WEIGHTS ADAPTER_FILE ORIGIN_KEYS save_weights load",
    decoder="picture_psnr held_out_scenes grow_decoder")
_HOMES = {name: room for room, names in _ROOMS.items() for name in names.split()}
__getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
