"""The dataset card for the Hugging Face Hub: metadata as YAML, and Markdown in which every text of data is text."""
