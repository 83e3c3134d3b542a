# SHIM: removed by the lead
"Old names of anyms.attention.variants and anyms.attention.statistics."
from anyms.attention.statistics import AttentionRecord as Look, contributions, energy, mass
from anyms.attention.variants import (
    KV, ROWS, VARIANTS, WIDTH, check_shapes as check, crop_merge, full, fused, fused_bias, fused_keys, fused_mask,
    initial_output as start, joint, masked, overlap_weights as shares, owner_mask as topmost, per_subject, text_only, variant)
from anyms.attention.selection import default_variant as quickest, get_variant
from anyms.attention.variants import attention as _attention


def attention(q, k, v, keep=None, attn_mask=None): return _attention(q, k, v, keep if attn_mask is None else attn_mask)


def own(*_, **__):
    "Refused: this statistic is constant."
    raise ValueError("statistic 'own' (the mean over a subject's own tokens) is exactly 1/r at every position, so a map of it shows rounding noise only: use 'mass', 'energy' or 'norm'")
