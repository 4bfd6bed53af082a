"""Several tuned models over one copy of a backbone."""

import torch

import lnbench
from lnbench.records.identity import run_dir
from lnbench.run import run
from tests.conftest import Configure
from tests.tiny import batch


def test_runs_share_what_none_of_them_trained_and_answer_as_alone(configure: Configure) -> None:
    configs = [configure(f"method={method}", "trainer.max_steps=3") for method in ("ln", "mha_adapter", "ln+prefix")]
    for config in configs:
        run(config)
    folders = [run_dir(config) for config in configs]
    several = lnbench.load_several(folders)
    for folder, tuned in zip(folders, several, strict=True):
        torch.testing.assert_close(tuned.model(**batch()), lnbench.load(folder).model(**batch()), rtol=0, atol=0)
    first, second, third = (dict(tuned.model.backbone.named_parameters()) for tuned in several)
    norm = "encoder.layer.0.output.LayerNorm.weight"
    assert first["embeddings.word_embeddings.weight"] is third["embeddings.word_embeddings.weight"]
    assert len({first[norm], second[norm], third[norm]}) == 3
