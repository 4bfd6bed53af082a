"""Import and export: plain transformers models, adapters in the format of HF peft, model cards, the hub."""
