"""What the settings of training are called in other tools, for messages. They are never read as settings."""

from __future__ import annotations

from sftdata.settings.other_names import Names, OtherName, is_setting, names

_IN_TRAINER = (
    "weight_decay optim adam_beta1 adam_beta2 adam_epsilon max_grad_norm logging_steps "
    "run_name label_smoothing_factor dataloader_num_workers "
    "per_device_eval_batch_size torch_compile deepspeed fsdp lr_scheduler_kwargs save_total_limit"
)
_IS_PREPARED = OtherName(instead="remove it: `sftdata prepare` decides it, when it makes the shards")
_DTYPES = {"bf16": "bfloat16", "fp32": "float32", "torch.bfloat16": "bfloat16", "torch.float32": "float32"}
_ATTENTION = {True: "flash_attention_2", "fa2": "flash_attention_2", "flash_attn": "flash_attention_2"}

# Of TRL, transformers, Axolotl, LLaMA-Factory, torchtune, Unsloth, and what people expect.
TRAIN_NAMES: Names = names(
    ("lr peak_lr learning_rate_peak base_lr", is_setting("learning_rate")),
    ("num_train_epochs num_epochs n_epochs total_epochs max_epochs", is_setting("epochs")),
    ("max_train_steps steps num_steps train_steps num_training_steps total_steps max_iters", is_setting("max_steps")),
    ("tokens_per_batch batch_size_tokens max_tokens_per_batch total_batch_tokens", is_setting("batch_tokens")),
    (
        "per_device_train_batch_size micro_batch_size batch_size train_batch_size global_batch_size "
        "gradient_accumulation_steps",
        OtherName(instead="set batch_tokens: sequences per step times their length (pack.seq_len of the shards)"),
    ),
    ("lr_scheduler lr_scheduler_type scheduler lr_schedule scheduler_type", is_setting("schedule")),
    ("warmup_ratio warmup_steps num_warmup_steps lr_warmup_steps warmup_fraction", is_setting("warmup")),
    ("report_to logger loggers tracker trackers log_with", is_setting("log_to")),
    ("output_dir output_path save_dir out_dir output", is_setting("out")),
    ("model_name model_name_or_path model_id base_model pretrained_model_name_or_path model_path", is_setting("model")),
    (
        "data dataset datasets dataset_name dataset_path train_dataset data_path train_data train_file data_dir",
        is_setting("shards"),
    ),
    ("lora_r lora_rank peft_lora_r rank", is_setting("lora.r")),
    ("lora_alpha peft_lora_alpha", is_setting("lora.alpha")),
    ("lora_dropout peft_lora_dropout", is_setting("lora.dropout")),
    (
        "lora_target_modules lora_target lora_modules peft_target_modules",
        is_setting("lora.target_modules", values={"all": "all-linear"}),
    ),
    (
        "use_lora use_peft peft adapter finetuning_type",
        is_setting("lora", values={"lora": True, "full": False}),
    ),
    ("use_rslora rs_lora peft_use_rslora rank_stabilized", is_setting("lora.rslora")),
    ("use_dora peft_use_dora lora_use_dora", is_setting("lora.dora")),
    (
        "load_in_4bit use_4bit quantization quantization_bit qlora",
        is_setting("lora.quantize", values={True: "nf4", 4: "nf4", False: "none"}),
    ),
    ("neftune_noise_alpha neftune_alpha noise_alpha", is_setting("neftune")),
    (
        "gradient_checkpointing gradient_checkpoint enable_gradient_checkpointing checkpoint_activations",
        is_setting("activation_checkpointing", values={True: "on", False: "off"}),
    ),
    ("use_liger_kernel use_liger liger_kernel enable_liger_kernel", is_setting("liger")),
    ("resid_pdrop residual_dropout resid_dropout hidden_dropout", is_setting("dropout.residual")),
    ("attn_pdrop attention_dropout", is_setting("dropout.attention")),
    ("embd_pdrop embed_dropout", is_setting("dropout.embedding")),
    ("recipe recipe_name", is_setting("preset")),
    ("min_lr_ratio min_lr_rate", is_setting("final_rate")),
    ("random_seed random_state data_seed", is_setting("seed")),
    ("eval_steps eval_interval evaluation_steps", is_setting("eval_every")),
    ("save_steps save_interval checkpoint_every checkpoint_steps", is_setting("save_every")),
    (
        "attention attn attn_impl flash_attention flash_attn use_flash_attention_2 use_flash_attn flash_attention_2",
        is_setting("attn_implementation", values={**_ATTENTION, False: "auto"}),
    ),
    ("torch_dtype precision mixed_precision compute_dtype model_dtype", is_setting("dtype", values=_DTYPES)),
    ("bf16 bfloat16", is_setting("dtype", values={True: "bfloat16", False: "float32"})),
    ("fp16", OtherName(instead="write `dtype: auto`, which trains in bfloat16 where the hardware has it")),
    ("resume_from_checkpoint continue_from auto_resume", is_setting("resume")),
    ("overwrite_output_dir", is_setting("overwrite")),
    *((name, is_setting("trainer", inside=name)) for name in _IN_TRAINER.split()),
    (
        "max_length max_seq_length max_seq_len cutoff_len sequence_len seq_length seq_len block_size packing "
        "sample_packing template chat_template train_on_inputs completion_only_loss assistant_only_loss",
        _IS_PREPARED,
    ),
)
