"""What settings are called in other tools: for messages that name the right one. They are never read as settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class OtherName:
    """What a name of another tool is here: a setting, or something that is no setting."""

    setting: str = ""  # its dotted key; empty if there is none
    values: Mapping[Any, Any] = field(default_factory=dict)  # values that are called otherwise here
    option: str = ""  # of the command line, where that is what it is: --workers
    instead: str = ""  # what to do where it is neither, as a clause
    inside: str = ""  # where the value is one entry of a mapping: the entry, as in columns: {prompt: VALUE}

    def value(self, given: Any) -> Any:
        """The value to write here for one that was given there."""
        known = next((own for name, own in self.values.items() if name == given and type(name) is type(given)), given)
        return {self.inside: known} if self.inside else known


Names = Mapping[str, OtherName]


def names(*groups: tuple[str, OtherName]) -> dict[str, OtherName]:
    """A table from names that are written with spaces between them."""
    return {name: other for words, other in groups for name in words.split()}


def is_setting(key: str, **more: Any) -> OtherName:
    """The name of a setting."""
    return OtherName(setting=key, **more)


_FORMATS = {
    "chat_template": "messages",
    "openai": "messages",
    "chatml": "messages",
    "completion": "text",
    "pretrain": "text",
}
_ONLY_ANSWERS = OtherName(instead="remove it: answers are trained, and prompts never are")

# Of TRL, transformers, Axolotl, LLaMA-Factory, torchtune, Unsloth, ms-swift, and what people expect.
PREPARE_NAMES: Names = names(
    (
        "max_length max_seq_length max_seq_len max_sequence_length max_sequence_len cutoff_len sequence_len "
        "sequence_length seq_length block_size chunk_size context_length context_len context_size ctx_len "
        "n_ctx max_tokens max_len model_max_length max_position_embeddings",
        is_setting("pack.seq_len"),
    ),
    (
        "packing sample_packing packed pack_samples neat_packing multipack",
        is_setting("pack.strategy", values={True: "best_fit", False: "none"}),
    ),
    (
        "packing_strategy",
        is_setting("pack.strategy", values={"bfd": "best_fit", "bfd_split": "best_fit", "wrapped": "best_fit"}),
    ),
    (
        "model model_name model_name_or_path model_id base_model base_model_name_or_path pretrained_model "
        "tokenizer_name tokenizer_path tokenizer_id tokenizer_name_or_path tokenizer_config tokenizer_model",
        is_setting("tokenizer"),
    ),
    (
        "source data dataset datasets dataset_name dataset_path dataset_dir data_files data_file data_path data_dir "
        "train_file train_files train_data train_dataset training_data file_name files input input_file inputs",
        is_setting("sources"),
    ),
    (
        "output output_dir output_path output_folder out_dir outdir save_dir save_path dataset_prepared_path "
        "tokenized_path destination dest",
        is_setting("out"),
    ),
    ("shard_size max_shard_size tokens_per_shard", is_setting("out.shard_tokens")),
    (
        "chat_template chat_template_path chat_template_jinja template_name prompt_template prompt_style "
        "conversation_template chat_format",
        is_setting("template"),
    ),
    (
        "stop stop_words stop_strings stop_sequences eos_tokens stop_token_ids extra_stop_tokens",
        is_setting("stop_tokens"),
    ),
    ("random_seed data_seed shuffle_seed random_state", is_setting("seed")),
    (
        "val_size val_set_size val_split validation_split validation_size validation_ratio valid_size test_size "
        "eval_size eval_split eval_ratio holdout split_ratio split_dataset_ratio",
        is_setting("split.validation"),
    ),
    ("mask_history train_on_last last_turn_only", is_setting("train_on", values={True: "last", False: "all"})),
    (
        "roles_to_train completion_only_loss assistant_only_loss train_on_responses_only train_on_inputs "
        "train_on_input train_on_prompt mask_inputs mask_prompt mask_prompts",
        _ONLY_ANSWERS,
    ),
    ("truncation truncate", is_setting("overlong", values={True: "truncate", False: "drop"})),
    (
        "truncation_mode truncation_strategy excess_length_strategy long_sequences overflow",
        is_setting(
            "overlong", values={"keep_start": "truncate", "keep_end": "split", "delete": "drop", "raise": "drop"}
        ),
    ),
    (
        "enable_thinking thinking_mode think",
        is_setting("thinking", values={True: "on", False: "off"}),
    ),
    ("chat_template_args template_kwargs chat_template_kwarg", is_setting("chat_template_kwargs")),
    ("reasoning_mode strip_thinking split_thinking", is_setting("reasoning", values={True: "drop", False: "keep"})),
    ("system_prompt system_message default_system default_system_message system_text", is_setting("sources.system")),
    (
        "type dataset_type data_format formatting dataset_format row_format",
        is_setting("sources.format", values=_FORMATS),
    ),
    (
        "columns_mapping column_mapping column_names column_map columns_map field_map field_mapping "
        "message_property_mappings",
        is_setting("sources.columns"),
    ),
    ("dataset_text_field text_field text_column field_text", is_setting("sources.columns", inside="text")),
    (
        "prompt_column prompt_field input_column field_instruction instruction_column question_column prompt_key",
        is_setting("sources.columns", inside="prompt"),
    ),
    (
        "completion_column completion_field response_column output_column field_output answer_column response_key "
        "completion_key response_template_column",
        is_setting("sources.columns", inside="completion"),
    ),
    (
        "messages_column messages_field field_messages chat_column conversation_column messages_key",
        is_setting("sources.columns", inside="messages"),
    ),
    ("role_mapping role_map roles_map roles_mapping role_aliases", is_setting("sources.roles")),
    ("dataset_split train_split", is_setting("sources.split")),
    ("subset_name config_name dataset_config dataset_config_name data_subset", is_setting("sources.subset")),
    (
        "max_samples num_samples max_rows max_examples max_train_samples sample_size n_samples num_rows",
        is_setting("sources.max_records"),
    ),
    ("upsample oversample repeats num_repeats sampling_factor", is_setting("sources.repeat")),
    (
        "interleave_probs interleave_prob mix_ratio mixture_weight sampling_weight probability proportion weights",
        is_setting("sources.weight"),
    ),
    ("keep_columns extra_columns metadata_columns passthrough_columns", is_setting("sources.keep")),
    (
        "deduplicate dedupe deduplication exact_dedup dedup_exact dataset_exact_deduplication drop_duplicates",
        is_setting("dedup.exact"),
    ),
    ("near_dedup near_duplicates fuzzy_dedup minhash minhash_dedup", is_setting("dedup.near")),
    ("minhash_threshold jaccard_threshold near_threshold similarity_threshold", is_setting("dedup.near.threshold")),
    ("ngram ngrams ngram_size", is_setting("dedup.near.shingle_words")),
    ("semantic_dedup semdedup", is_setting("dedup.semantic")),
    ("decontamination contamination benchmarks eval_sets", is_setting("decontaminate.against")),
    ("quality_filters quality", is_setting("filters", values={True: "default", False: "off"})),
    ("pii pii_redaction redact_pii redact anonymize", is_setting("privacy", values={True: "redact", False: "off"})),
    ("min_length min_chars", is_setting("filters.min_answer_chars")),
    ("max_chars", is_setting("filters.max_answer_chars")),
    ("language lang langs", is_setting("filters.languages")),
    ("max_messages", is_setting("max_turns")),
    (
        "num_proc num_procs num_workers n_workers nproc dataset_num_proc dataset_processes preprocessing_num_workers "
        "workers",
        OtherName(option="--workers"),
    ),
    ("overwrite overwrite_cache overwrite_output_dir overwrite_output force", OtherName(option="--overwrite")),
    ("engine executor backend_engine", OtherName(option="--engine")),
    ("ray_address", OtherName(option="--ray-address")),
    ("fresh", OtherName(option="--fresh")),
    ("keep_work", OtherName(option="--keep-work")),
    ("shuffle shuffle_dataset", OtherName(instead="remove it: rows are always in an order that only the seed decides")),
    *(
        (words, OtherName(instead=f"it belongs to training: give `sfttrain run` {here}"))
        for words, here in (
            ("lr learning_rate", "learning_rate"),
            ("num_train_epochs num_epochs n_epochs epochs", "epochs"),
            ("max_steps max_train_steps", "max_steps"),
            (
                "per_device_train_batch_size micro_batch_size batch_size train_batch_size gradient_accumulation_steps "
                "batch_tokens",
                "batch_tokens",
            ),
            ("lr_scheduler lr_scheduler_type schedule", "schedule"),
            ("warmup warmup_ratio warmup_steps", "warmup"),
            ("lora lora_r lora_rank lora_alpha lora_dropout use_peft finetuning_type adapter", "lora"),
            ("bf16 fp16 dtype torch_dtype", "dtype"),
            ("eval_steps eval_every", "eval_every"),
            ("save_steps save_every", "save_every"),
            ("resume resume_from_checkpoint", "resume"),
            ("attn_implementation flash_attn flash_attention", "attn_implementation"),
        )
    ),
)


def with_names_of(key: str, table: Names) -> list[str]:
    """The names of other tools for a setting, in their order."""
    return [name for name, other in table.items() if other.setting == key]


def plain_name(name: str) -> str:
    """A name as tables have it: `Max-Length` -> max_length."""
    return name.strip().lstrip("-").lower().replace("-", "_").replace(" ", "_")
