from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from lnbench.core.errors import DataError
from lnbench.core.schema import ConfigError, parse
from lnbench.tasks.token_classification import TokenClassification
from lnbench.tasks.tokens import iob2
from lnbench.tasks.tokens.examples import IGNORED, Examples

LABELS = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
SOFT_HYPHEN = "\u00ad"


def new_task(**changes: Any) -> TokenClassification:
    fields = {"name": "names", "source": {"folder": "x"}, "splits": {}, "tokens": "tokens", "tags": "tags"}
    return parse(TokenClassification, {**fields, "labels": LABELS, "max_length": 16, **changes}, "task")


def wordpieces() -> PreTrainedTokenizerFast:
    """Words of the letters a and b, a token a letter after the first; control characters are dropped, as BERT does."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "##a", "##b"]
    backend = Tokenizer(models.WordPiece({token: place for place, token in enumerate(vocabulary)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]")


def byte_level() -> PreTrainedTokenizerFast:
    """Bytes, where a space belongs to the word behind it, as in GPT-2 and RoBERTa."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: place for place, token in enumerate(["<end>", *alphabet, "Ġa", "Ġb"])}
    backend = Tokenizer(models.BPE(vocabulary, [("Ġ", "a"), ("Ġ", "b")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>", pad_token="<end>")


def clean(*rows: tuple[Any, Any], task: TokenClassification | None = None) -> pd.DataFrame:
    frame = pd.DataFrame([{"tokens": words, "tags": tags} for words, tags in rows])
    return (task or new_task()).clean(frame, "names, train")


def laid_out(examples: Examples, tokenizer: PreTrainedTokenizerFast) -> list[tuple[str, int]]:
    tokens = tokenizer.convert_ids_to_tokens(examples.tokens.tolist())
    return list(zip(tokens, examples.labels.tolist(), strict=True))


def answered(examples: Examples, tags: list[str]) -> list[dict[str, Any]]:
    """Outputs with the given tag at each labelled token, and another one at all others."""
    left = iter(tags)
    places = [LABELS.index(next(left)) if label != IGNORED else 1 for label in examples.labels.tolist()]
    return [{"tags": np.array(row, float)} for row in np.split(places, examples.offsets[1:-1])]


def score(said: list[list[str]], true: list[list[str]]) -> dict[str, float]:
    return new_task().score([{"tags": s, "reference": t} for s, t in zip(said, true, strict=True)])


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("IOB2", "O B-LOC I-LOC B-LOC O B-PER"),
        ("IOB1", "O I-LOC I-LOC B-LOC O I-PER"),
        ("BILOU", "O B-LOC L-LOC U-LOC O U-PER"),
        ("BIOES", "O B-LOC E-LOC S-LOC O S-PER"),
    ],
)
def test_every_scheme_becomes_iob2(scheme: str, tags: str) -> None:
    assert iob2.from_any(tags.split()) == ["O", "B-LOC", "I-LOC", "B-LOC", "O", "B-PER"]


@given(st.lists(st.sampled_from(LABELS), max_size=8))
def test_conversion_keeps_the_entities_that_conlleval_sees(tags: list[str]) -> None:
    converted = iob2.from_any(tags)
    assert get_entities(converted) == get_entities(tags)
    assert iob2.from_any(converted) == converted


def test_tags_may_be_names_or_places_in_lists_or_arrays() -> None:
    frame = clean((["a", "b"], ["B-LOC", "I-LOC"]), (np.array(["a"], object), np.array([3])), (["b"], ["I-PER"]))
    assert frame["tags"].tolist() == [[1, 2], [3], [3]]
    assert frame["tokens"].tolist() == [["a", "b"], ["a"], ["b"]]


def test_rows_without_words_are_left_out() -> None:
    assert clean(([], []), (["a"], ["O"]))["tokens"].tolist() == [["a"]]
    with pytest.raises(DataError, match="names, train: has no words"):
        clean(([], []))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("a b", ["O"]), "row 2: tokens = 'a b'; must be a list of words"),
        ((["a", 1], ["O", "O"]), r"row 2: tokens = \['a', 1\]; must be a list of words"),
        ((["a", "b"], ["O"]), r"row 2: tags = \['O'\]; must be as many tags as the row has words"),
        ((["a"], None), "row 2: tags = None; must be a list of tags"),
        ((["a", "b"], ["O", 1]), r"row 2: tags = \['O', 1\]; must be a list of tags, all names or all whole numbers"),
        ((["a"], [5]), r"row 2: tags = \[5\]; must be tags in IOB2, .*or numbers from 0 \(O\) to 4 \(I-PER\)"),
        ((["a"], [-1]), r"row 2: tags = \[-1\]; must be tags in IOB2"),
        ((["a"], ["NN"]), r"row 2: tags = \['NN'\]; must be tags in IOB2"),
        ((["a"], ["B-"]), r"row 2: tags = \['B-'\]; must be tags in IOB2"),
        ((["a"], ["B-ORG"]), r"row 2: tags = \['B-ORG'\]; must be made of O, B-LOC, I-LOC, B-PER, I-PER"),
    ],
)
def test_rows_that_cannot_be_used_are_named(row: tuple[Any, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        clean((["a"], ["O"]), row)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["B-LOC", "I-LOC"], "must be O and other tags, each once"),
        (["O"], "must be O and other tags, each once"),
        (["O", "B-LOC", "B-LOC"], "must be O and other tags, each once"),
        (["O", "LOC"], r"must be tags in IOB2 \(O, B-TYPE, I-TYPE\), not 'LOC'"),
        (["O", "U-LOC"], "not 'U-LOC'"),
    ],
)
def test_bad_labels_are_refused(labels: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"task\.labels.*{message}"):
        new_task(labels=labels)


def test_the_first_token_of_a_word_has_its_tag() -> None:
    tokenizer, task = wordpieces(), new_task()
    examples = task.encode(clean((["ab", "b"], ["B-LOC", "I-LOC"]), (["aba"], ["O"])), tokenizer)
    expected = [("[CLS]", IGNORED), ("a", 1), ("##b", IGNORED), ("b", 2), ("[SEP]", IGNORED)]
    assert laid_out(examples, tokenizer)[:5] == expected
    assert [label for _, label in laid_out(examples, tokenizer)[5:]] == [IGNORED, 0, IGNORED, IGNORED, IGNORED]
    assert examples.extras["words"].tolist() == [-1, 0, -1, 1, -1, -1, 0, -1, -1, -1]


def test_a_space_before_a_word_belongs_to_its_first_token() -> None:
    tokenizer, task = byte_level(), new_task()
    examples = task.encode(clean((["ab", "ba", "é", "b"], ["B-LOC", "I-LOC", "O", "B-PER"])), tokenizer)
    tokens = [("a", 1), ("b", IGNORED), ("Ġb", 2), ("a", IGNORED)]
    assert laid_out(examples, tokenizer)[:4] == tokens
    assert laid_out(examples, tokenizer)[-1] == ("Ġb", 3)
    assert [label for label in examples.labels.tolist() if label != IGNORED] == [1, 2, 0, 3]


def test_words_without_tokens_are_predicted_to_be_outside() -> None:
    tokenizer, task = wordpieces(), new_task(max_length=8)
    words = ["a", SOFT_HYPHEN, "", "b", "ab", "bb", "a"]
    frame = clean((words, ["B-LOC"] * 7), (["a"], ["O"]), task=task)
    examples = task.encode(frame, tokenizer)
    outputs = answered(examples, ["B-PER", "B-LOC", "B-LOC", "B-PER", "I-PER"])
    assert [row["tags"] for row in task.predictions(outputs, frame, examples)] == [
        ["B-PER", "O", "O", "B-LOC", "B-LOC", "B-PER", "O"],
        ["I-PER"],
    ]
    assert task.warnings(frame, examples) == [
        "task.max_length = 8 cuts off 1 of 2 rows: 1 token on average, 1 at most",
        "predicted to be O: 3 words without a token, because cut off or unknown",
    ]


@given(st.lists(st.text("ab\u00ad\u0301 ", max_size=4), min_size=1, max_size=9), st.booleans())
def test_every_word_with_a_token_gets_its_own_answer(words: list[str], bytes_: bool) -> None:
    tokenizer, task = byte_level() if bytes_ else wordpieces(), new_task(max_length=12)
    frame = task.unlabelled([["a", *words]])
    examples = task.encode(frame, tokenizer)
    places = examples.extras["words"]
    assert [place for place in places.tolist() if place >= 0] == sorted(set(places.tolist()) - {-1})
    assert (places >= 0).tolist() == (examples.labels != IGNORED).tolist()
    answers = np.where(places >= 0, places % len(LABELS), 1)
    (row,) = task.predictions([{"tags": answers}], frame, examples)
    expected = [LABELS[place % len(LABELS)] if place in places else "O" for place in range(len(words) + 1)]
    assert row["tags"] == expected


def test_a_row_without_any_token_is_refused() -> None:
    with pytest.raises(DataError, match="has no token that the model knows"):
        new_task().encode(pd.DataFrame({"tokens": [[""]]}), byte_level())


def test_the_loss_is_the_mean_over_words() -> None:
    logits = torch.tensor([[[2.0, 0.0], [0.0, 1.0], [5.0, 5.0]], [[0.0, 3.0], [9.0, 9.0], [9.0, 9.0]]])
    labels = torch.tensor([[0, 1, IGNORED], [0, IGNORED, IGNORED]])
    chosen = logits.log_softmax(-1)
    expected = -(chosen[0, 0, 0] + chosen[0, 1, 1] + chosen[1, 0, 0]) / 3
    task = new_task(labels=["O", "B-LOC"])
    torch.testing.assert_close(task.loss(logits, {"labels": labels}), expected)
    assert task.loss(logits, {"labels": torch.full_like(labels, IGNORED)}) == 0.0


def test_scores_count_whole_entities() -> None:
    true = [["B-LOC", "I-LOC", "O", "B-PER"], ["O", "B-PER", "I-PER"]]
    said = [["B-LOC", "I-LOC", "O", "B-LOC"], ["O", "B-PER", "O"]]
    # One entity of three is right; three were said. Five words of seven have the right tag.
    assert score(said, true) == {
        "f1": pytest.approx(1 / 3),
        "precision": pytest.approx(1 / 3),
        "recall": pytest.approx(1 / 3),
        "accuracy": pytest.approx(5 / 7),
    }
    assert score(true, true)["f1"] == 1.0


def test_an_inside_tag_without_a_beginning_starts_an_entity_as_in_conlleval() -> None:
    assert score([["I-LOC", "I-LOC", "O"]], [["B-LOC", "I-LOC", "O"]])["f1"] == 1.0
    assert score([["B-LOC", "I-PER", "O"]], [["B-LOC", "O", "O"]])["precision"] == 0.5


def test_the_trivial_answer_is_no_entity() -> None:
    task = new_task()
    frame = clean((["a", "b"], ["B-LOC", "O"]), (["a"], ["O"]))
    assert task.score(task.trivial(frame, frame)) == {
        "f1": 0.0, "precision": 0.0, "recall": 0.0, "accuracy": pytest.approx(2 / 3),
    }  # fmt: skip


def test_predictions_carry_words_and_references() -> None:
    task, frame = new_task(), clean((["ab", "b"], ["B-LOC", "O"]))
    examples = task.encode(frame, wordpieces())
    assert task.predictions(answered(examples, ["B-PER", "I-PER"]), frame, examples) == [
        {"input": {"tokens": ["ab", "b"]}, "tags": ["B-PER", "I-PER"], "reference": ["B-LOC", "O"]}
    ]


def test_a_text_is_split_at_white_space_and_shown_with_its_entities() -> None:
    task = new_task()
    frame = task.unlabelled(["a  b ab", ["b", "a"]])
    assert frame["tokens"].tolist() == [["a", "b", "ab"], ["b", "a"]]
    examples = task.encode(frame, wordpieces())
    first, second = task.predictions(answered(examples, ["O", "B-LOC", "I-LOC", "B-PER", "B-PER"]), frame, examples)
    assert "reference" not in first
    assert task.readable(first) == "a [LOC b ab]"
    assert task.readable(second) == "[PER b] [PER a]"
    assert task.unlabelled(["10\u00a0000\n a\u3000b\t"])["tokens"].tolist() == [["10\u00a0000", "a\u3000b"]]
    with pytest.raises(DataError, match="text 2 = ' ': must have at least one word"):
        task.unlabelled(["a", " "])


def test_entities_are_counted_by_type_and_labels_shown_by_name() -> None:
    task = new_task()
    frame = clean((["a", "b", "a"], ["B-LOC", "I-LOC", "B-PER"]), (["b"], ["I-LOC"]))
    examples = task.encode(frame, wordpieces())
    assert task.balance(frame, examples) == {"LOC": 2, "PER": 1}
    assert task.label_texts(examples.batch(np.array([0]))["labels"][0].numpy()) == ["", "B-LOC", "I-LOC", "B-PER", ""]


def test_the_model_answers_a_tag_for_each_token() -> None:
    logits = torch.tensor([[[0.0, 2.0], [1.0, 0.0]]])
    batch = {"input_ids": torch.zeros(1, 2), "attention_mask": torch.ones(1, 2), "labels": torch.zeros(1, 2)}
    answer = new_task().outputs(lambda **_: logits, batch, test=True)  # type: ignore[arg-type]
    assert answer["tags"].tolist() == [[1, 0]]


def test_keys_are_the_sentences() -> None:
    keys = new_task().group_keys(clean((["A", "b"], [0, 0]), (["a", "B"], [1, 1]), (["ab"], [0])))
    assert keys[0] == keys[1] != keys[2]
