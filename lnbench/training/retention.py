"""Measures what tuning does to the language model: its loss on a general text, before and after."""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from lnbench.backbone.attention import adapt_attention
from lnbench.backbone.tuned_model import TunedModel
from lnbench.config.run import RunConfig
from lnbench.records.record import Retention
from lnbench.tasks.parts.decoding import token_losses
from lnbench.tasks.tokens.examples import IGNORED
from lnbench.tasks.tokens.running_text import Windows, in_windows
from lnbench.training.assemble import check_vocabulary, load_pretrained
from lnbench.training.device import FORMATS, choose_precision, computing_in, use_gpu


class RetentionMeter:
    """The loss of a run's language model on the run's general text.

    The model reads one window at a time, so nothing depends on a batch size, and there is no padding. It computes on
    the device and in the number format of the run.
    """

    def __init__(self, config: RunConfig) -> None:
        """
        Args:
            config: configuration of a run with a general text, on one device.
        """
        self.config = config
        self._text: Windows | None = None
        self._before = 0.0

    def measure_pretrained(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Reads the text, loads the pretrained model, measures it and drops it.

        Raises:
            ConfigError: the text has too few tokens, or the model lacks some of them, or cannot be loaded.
            DataError: the text cannot be read.
        """
        asked = self.config.retention
        self._text = in_windows(tokenizer, asked.text(self.config.data_root), asked.tokens, asked.window)
        check_vocabulary(self.config, tokenizer, self._text.highest_token)
        pretrained = load_pretrained(self.config)
        adapt_attention(pretrained)  # so that an untouched model has the same loss after tuning, to the last bit
        self._before = self._loss(pretrained, self._text)

    def result(self, model: TunedModel) -> Retention:
        """The losses before and after tuning. `measure_pretrained` comes first.

        Args:
            model: tuned model with the values that are kept. It is left in evaluation mode, on the device of the run.
        """
        assert self._text
        after = self._loss(model.backbone, self._text)
        return Retention(before=self._before, after=after, tokens=self._text.predicted)

    def _loss(self, backbone: nn.Module, text: Windows) -> float:
        device = "cuda" if use_gpu(self.config.trainer) else "cpu"
        number_format = FORMATS[choose_precision(self.config.trainer)]
        backbone.to(device).eval()
        with computing_in(number_format, device):
            return mean_loss(backbone, text)


@torch.no_grad()
def mean_loss(backbone: nn.Module, text: Windows) -> float:
    """The mean loss of a text's tokens, each given the tokens before it in its window, in nats.

    Args:
        backbone: a decoder with its language-model head, in evaluation mode.
        text: the text, on whose special tokens no loss is taken.
    """
    device, total = next(backbone.parameters()).device, 0.0
    for window in text.ids:
        ids = torch.from_numpy(window)[None].to(device)
        labels = ids.clone()
        labels[:, : text.special] = IGNORED
        logits = backbone(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
        total += float(token_losses(logits, labels)[0].double().sum())
    return total / text.predicted
