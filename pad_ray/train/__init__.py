"""Fine-tuning the student: examples in, a Hugging Face folder out, on Ray Train V2 and DeepSpeed."""
