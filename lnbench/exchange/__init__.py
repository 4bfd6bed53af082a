"""In and out: plain transformers models, and adapters in the format of HF peft."""
