"""Logs runs elsewhere besides their own folders: Weights & Biases, TensorBoard, MLflow."""
