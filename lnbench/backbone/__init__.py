"""Pretrained models: loading them, and finding their parts by role."""

import logging

# transformers imports torchao where it is installed, which then warns of kernels for other devices, and torch of enums.
for name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(name).setLevel(logging.ERROR)
