"""A world of stickers whose truth is known: every box, noun, drawing and colour of every picture.

sprites        nouns and their drawings, and which of them no training sees
backgrounds    ten places, each two gradients and a pattern
scenes         random scenes as numbers: which stickers, and where
rendering      scenes to pictures, references to pictures
colors         the one colour of a sticker, and the cast that the pages show
captions       sentences that are true of a scene, and the claims they make
compositions   scenes with something to tell: copies, clothes, any size
"""
from anyms import lazy_names

_ROOMS = dict(
    sprites="DATA DRAWINGS CORE RGB_TO_YIQ Sprite split_of all_sprites nouns noun_of cell_size find_sprite crop_sprite sprite turn_hue",
    backgrounds="Place PLACES PATTERNS Canvas pattern picture_grid render_background",
    scenes="SIZES Scenes overlap_share box_from sample_boxes least_overlapping arrange_boxes sticker_extent "
        "place_anywhere align_boxes sample_scenes",
    rendering="mipmap sticker_layer render sticker_alpha references",
    colors="HUES CAST mean_colors name_color color_word contrast random_trios",
    captions="RELATIONS NUMBERS HEADWEAR HEADS Claim article join_words caption size_word relation is_worn plural claim_words describe",
    compositions="with_duplicates with_headwear described_scenes")
__getattr__, __dir__, __all__ = lazy_names(__name__, {name: room for room, names in _ROOMS.items() for name in names.split()})
