"""The method: each subject's reference attends inside its own box, in any diffusers U-Net that carries an IP-Adapter.

variants    Eq. 2-7 as tensor functions, a registry of them, `@variant` for one of your own
statistics  what may be read off one layer: energy, mass, contributions; the record that a watcher gets
toy         a U-Net of random weights to look into
adapter     the IP-Adapter on a U-Net: its layers, its scales, its keys and values
selection   what `layers=`, `active_steps=` and `variant=` mean; which grid a layer sees
inputs      what comes with a U-Net call: reference pictures, rows without any, rows that do not fit
cache       an answer is kept as long as nothing that it was made from has changed
clock       which step of the run is this?
state       what all layers of one installed layout share
processors  one cross-attention layer, Eq. 3
install     `with installed(unet, layout, variant)`: in, and out without a trace
"""
from anyms import lazy_names

_ROOMS = dict(
    variants="KV VARIANTS attention check_shapes crop_merge full fused fused_bias fused_keys fused_mask initial_output joint "
             "masked overlap_weights owner_mask per_subject text_only unfused_keys variant",
    statistics="AttentionRecord contributions energy mass",
    toy="bare_unet denoise random_adapter toy_inputs toy_unet",
    adapter="AdapterError adapter_scales adapter_tokens find_processors subject_kv unwrap",
    selection="ALL_STEPS BoundVariant default_variant get_variant layer_grids select_layers select_steps",
    inputs="null_embedding reference_embeds unconditional_rows",
    cache="Cache Fingerprint fingerprint",
    clock="StepClock",
    state="AttentionState CachedProjection LayerState LevelMasks",
    processors="SubjectAttnProcessor",
    install="exclusive installed installed_state",
)
_HOMES = {name: room for room, names in _ROOMS.items() for name in names.split()}
__getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
