"Tiny random nets that judge photographs, saved as `hf download` leaves the published ones."
import torch

from anyms.paper.metrics.checkpoints import CHECKPOINTS, repository_of
from conftest import tokenizer as clip_tokenizer

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "fox", "hat", "teddy", "bear")


def tiny_detector():
    from transformers import BertTokenizer, GroundingDinoConfig, GroundingDinoForObjectDetection, GroundingDinoImageProcessorPil, SwinConfig
    swin = SwinConfig(window_size=7, embed_dim=8, depths=[1]*4, num_heads=[1]*4, image_size=64, out_indices=[2, 3, 4])
    bert = dict(model_type="bert", vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
                max_position_embeddings=16)
    config = GroundingDinoConfig(backbone_config=swin, text_config=bert, d_model=64, encoder_layers=1, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=16, decoder_ffn_dim=16, num_queries=20, max_text_len=16)
    words = BertTokenizer(vocab={w: i for i, w in enumerate(WORDS)})
    return GroundingDinoForObjectDetection(config), GroundingDinoImageProcessorPil(size=dict(shortest_edge=64, longest_edge=96)), words

def tiny_masks():
    from transformers import SamConfig, SamImageProcessorPil, SamModel
    side = dict(image_size=64, patch_size=16)
    vision = dict(**side, hidden_size=16, output_channels=16, num_hidden_layers=2, num_attention_heads=2, global_attn_indexes=[1], window_size=2,
                  num_pos_feats=8, mlp_dim=16)
    config = SamConfig(vision_config=vision, prompt_encoder_config=dict(**side, hidden_size=16, mask_input_channels=4),
        mask_decoder_config=dict(hidden_size=16, mlp_dim=16, num_attention_heads=2, iou_head_hidden_dim=16))
    sizes = dict(size=dict(longest_edge=64), pad_size=dict(height=64, width=64))
    return SamModel(config), SamImageProcessorPil(**sizes), None

def tiny_clip():
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel
    words = clip_tokenizer()
    one = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    text = dict(**one, vocab_size=len(words), max_position_embeddings=words.model_max_length, bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id)
    config = CLIPConfig(text_config=text, vision_config=dict(**one, image_size=32, patch_size=8), projection_dim=12)
    return CLIPModel(config), CLIPImageProcessorPil(size=dict(shortest_edge=32), crop_size=dict(height=32, width=32)), words

def tiny_dino(name):
    from transformers import BitImageProcessorPil, Dinov2Config, Dinov2Model, ViTConfig, ViTImageProcessorPil, ViTModel
    one = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8)
    if name == "dino_v1": return ViTModel(ViTConfig(**one, intermediate_size=16)), ViTImageProcessorPil(size=dict(height=32, width=32)), None
    return Dinov2Model(Dinov2Config(**one)), BitImageProcessorPil(size=dict(shortest_edge=36), crop_size=dict(height=32, width=32)), None

MAKERS = dict(detector=tiny_detector, masks=tiny_masks, clip_b32=tiny_clip, clip_l14=tiny_clip,
              dino_v1=lambda: tiny_dino("dino_v1"), dino_v2=lambda: tiny_dino("dino_v2"))

def save_tiny(name, folder):
    torch.manual_seed(len(name))
    place = folder/repository_of(name).rpartition("/")[2]
    for part in MAKERS[name]():
        if part is not None: part.save_pretrained(place)

def save_all(folder):
    "Every net of `CHECKPOINTS`, random, in its own folder."
    for name in CHECKPOINTS: save_tiny(name, folder)
    return folder
