"""Tiny pipelines of diffusers with random weights, of every class that is supported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5EncoderModel,
)

WORDS = ["<pad>", "<eos>", "<unk>", "red", "fox", "owl", "cup", "of", "tea", "photo", "drawn"]
VOCABULARY = {word: number for number, word in enumerate(WORDS)}
HEADS = {"num_attention_heads": 2, "num_layers": 2}


def tokenizer(length: int = 77) -> PreTrainedTokenizerFast:
    """Return a tokenizer of a few words; all others are one token."""
    words = Tokenizer(models.WordLevel(vocab=VOCABULARY, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<eos>",
        unk_token="<unk>",
        model_max_length=length,
    )
    made.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    return made


def autoencoder(**changes: Any) -> Any:
    """Return an autoencoder whose latents are 2 × 2 pixels."""
    return diffusers.AutoencoderKL(
        **{
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "up_block_types": ("UpDecoderBlock2D",) * 2,
            "block_out_channels": (8, 8),
            "layers_per_block": 1,
            "latent_channels": 4,
            "norm_num_groups": 2,
            "scaling_factor": 1.0,
            "shift_factor": 0.0,
            "use_quant_conv": False,
            "use_post_quant_conv": False,
            **changes,
        }
    )


def clip(kind: Any) -> Any:
    """Return a text encoder of CLIP."""
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    ends = {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
    return kind(
        CLIPTextConfig(
            vocab_size=len(WORDS), num_hidden_layers=2, projection_dim=8, **sizes, **ends
        )
    )


def t5() -> Any:
    """Return a text encoder of T5."""
    sizes = {"d_model": 16, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
    return T5EncoderModel(T5Config(vocab_size=len(WORDS), **sizes))


def dit(n_classes: int = 1000) -> Any:
    """Return a DiT: 8 × 8 pixels, 2 × 2 cells, 2 layers of 64 neurons."""
    transformer = diffusers.DiTTransformer2DModel(
        **HEADS,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        sample_size=4,
        num_embeds_ada_norm=n_classes,
        norm_num_groups=1,
    )
    return diffusers.DiTPipeline(transformer, autoencoder(), diffusers.DDIMScheduler())


def sana_sprint(**_: Any) -> Any:
    """Return a Sana Sprint: cells of 8 pixels, 2 layers of 40 neurons."""
    transformer = diffusers.SanaTransformer2DModel(
        **HEADS,
        in_channels=4,
        out_channels=4,
        attention_head_dim=8,
        num_cross_attention_heads=2,
        cross_attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=8,
        sample_size=4,
        patch_size=1,
        guidance_embeds=True,
    )
    autoencoder_dc = diffusers.AutoencoderDC(
        in_channels=3,
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=("ResBlock",) * 4,
        decoder_block_types=("ResBlock",) * 4,
        encoder_block_out_channels=(4, 8, 8, 8),
        decoder_block_out_channels=(4, 8, 8, 8),
        encoder_qkv_multiscales=((),) * 4,
        decoder_qkv_multiscales=((),) * 4,
        encoder_layers_per_block=(1,) * 4,
        decoder_layers_per_block=(1,) * 4,
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        scaling_factor=1.0,
    )
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "head_dim": 4}
    heads = {"num_attention_heads": 1, "num_key_value_heads": 1}
    encoder = Gemma2Model(Gemma2Config(vocab_size=len(WORDS), **sizes, **heads))
    return diffusers.SanaSprintPipeline(
        tokenizer=tokenizer(4000),
        text_encoder=encoder,
        vae=autoencoder_dc,
        transformer=transformer,
        scheduler=diffusers.SCMScheduler(),
    )


def sd3(**_: Any) -> Any:
    """Return an SD3: cells of 4 pixels, 2 layers of 64 neurons."""
    transformer = diffusers.SD3Transformer2DModel(
        **HEADS,
        sample_size=8,
        in_channels=4,
        attention_head_dim=8,
        joint_attention_dim=16,
        caption_projection_dim=16,
        pooled_projection_dim=16,
        out_channels=4,
        pos_embed_max_size=8,
    )
    return diffusers.StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=autoencoder(),
        text_encoder=clip(CLIPTextModelWithProjection),
        tokenizer=tokenizer(),
        text_encoder_2=clip(CLIPTextModelWithProjection),
        tokenizer_2=tokenizer(),
        text_encoder_3=t5(),
        tokenizer_3=tokenizer(),
    )


def flux(*, guidance_embeds: bool = True) -> Any:
    """Return a FLUX.1: cells of 4 pixels, 2 double and 3 single layers of 128 neurons."""
    transformer = diffusers.FluxTransformer2DModel(
        **HEADS,
        in_channels=16,
        num_single_layers=3,
        attention_head_dim=16,
        joint_attention_dim=16,
        pooled_projection_dim=8,
        axes_dims_rope=(4, 6, 6),
        guidance_embeds=guidance_embeds,
    )
    return diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=autoencoder(),
        text_encoder=clip(CLIPTextModel),
        tokenizer=tokenizer(),
        text_encoder_2=t5(),
        tokenizer_2=tokenizer(),
        transformer=transformer,
    )


def flux2_klein(*, is_distilled: bool = False) -> Any:
    """Return a FLUX.2 klein: cells of 4 pixels, 2 double and 3 single layers of 96 neurons."""
    transformer = diffusers.Flux2Transformer2DModel(
        **HEADS,
        in_channels=16,
        num_single_layers=3,
        attention_head_dim=16,
        joint_attention_dim=24,
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    autoencoder_2 = diffusers.AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
    )
    # Prompts are what its layers 9, 18 and 27 give.
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 27, "head_dim": 4}
    heads = {"num_attention_heads": 1, "num_key_value_heads": 1}
    return diffusers.Flux2KleinPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=autoencoder_2,
        text_encoder=Qwen3ForCausalLM(Qwen3Config(vocab_size=len(WORDS), **sizes, **heads)),
        tokenizer=tokenizer(512),
        transformer=transformer,
        is_distilled=is_distilled,
    )


BUILDERS = {
    "DiTPipeline": dit,
    "SanaSprintPipeline": sana_sprint,
    "StableDiffusion3Pipeline": sd3,
    "FluxPipeline": flux,
    "Flux2KleinPipeline": flux2_klein,
}


def save_pipeline(folder: Path, kind: str, seed: int = 0, **options: Any) -> Path:
    """Save a pipeline with weights that differ from those of its initialisation."""
    torch.manual_seed(seed)
    pipeline = BUILDERS[kind](**options)
    for parameter in pipeline.transformer.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    pipeline.save_pretrained(folder)
    return folder
