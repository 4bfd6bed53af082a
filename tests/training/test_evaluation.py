import numpy as np
import pytest
import torch

from lnbench.backbone.loading import load_tokenizer
from lnbench.tasks.data.load import load_data
from lnbench.training.assemble import build_model
from lnbench.training.evaluation import Collector, answer
from tests.conftest import Configure


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_answers_come_in_the_order_of_the_rows(configure: Configure, batch_size: int) -> None:
    config = configure()
    data = load_data(config.task, load_tokenizer(config.model), config.data_root, config.cache_dir)
    model = build_model(config).eval()
    answers = answer(model, config.task, data.test, batch_size)
    assert len(answers) == len(data.test)
    for row in range(0, len(data.test), 7):
        batch = data.test.batch(np.array([row]))
        with torch.inference_mode():
            logits = model(batch["input_ids"], batch["attention_mask"])
        np.testing.assert_allclose(answers[row]["logits"], logits[0], atol=1e-6)


def test_a_collection_starts_empty(configure: Configure) -> None:
    config = configure()
    data = load_data(config.task, load_tokenizer(config.model), config.data_root, config.cache_dir)
    collector = Collector(data.test)
    rows = torch.arange(len(data.test)).flip(0)
    collector.add({"row": rows}, rows)
    assert [int(outputs["row"]) for outputs in collector.take()] == list(range(len(data.test)))
    with pytest.raises(KeyError):
        collector.take()
