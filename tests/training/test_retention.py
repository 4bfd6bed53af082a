"""The loss on a general text, before and after tuning, against plain loops over the models."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

import lnbench
from lnbench.backbone.loading import load_tokenizer
from lnbench.cli import IN_THIS_PROCESS
from lnbench.config.compose import compose_config, to_plain
from lnbench.config.retention import RetentionConfig
from lnbench.config.run import RunConfig, trials, validate
from lnbench.core.errors import DataError
from lnbench.core.schema import ConfigError
from lnbench.exchange.merge import save_merged
from lnbench.records.commands import command_lines, missing_runs
from lnbench.records.files import ADAPTER, METRICS, RECORD
from lnbench.records.identity import id_of_saved, run_dir, run_id
from lnbench.records.packed import SUFFIX
from lnbench.records.record import Retention, read_record
from lnbench.run.lifecycle import run
from lnbench.submit import submit
from lnbench.tasks.data.source import Source
from lnbench.tasks.tokens.running_text import Windows, in_windows
from lnbench.training.retention import mean_loss
from tests import runs
from tests.commands import Commands
from tests.tasks.builders import new_tokenizer
from tests.test_verify import falsify
from tests.tiny import POSITIONS, tiny_generator
from tests.training.interruption import interrupt

WINDOW, TOKENS = 16, 150
TEXT = "a good film b d\ne bad film c "
Make = Callable[..., RunConfig]


@pytest.fixture(scope="module")
def generators(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tiny language models by architecture."""
    root = tmp_path_factory.mktemp("generators")
    return {name: runs.save_model(name, root / name, tiny_generator(name)) for name in ("gpt2", "llama", "t5")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the data set `e2e_nlg` and some general texts."""
    root = tmp_path_factory.mktemp("general")
    runs.save_facts(root)
    (root / "text.txt").write_text(20 * TEXT)
    (root / "rows.jsonl").write_text('{"text": "a good film"}\n{"text": ""}\n{"text": ["b", "bad", "film"]}\n')
    (root / "empty.txt").write_text(" \n")
    (root / "short.txt").write_text("film")
    (root / "latin.txt").write_bytes(b"caf\xe9 film")
    return root


@pytest.fixture
def overrides(generators: dict[str, Path], folder: Path, tmp_path: Path) -> Callable[[str], list[str]]:
    """Makes the overrides of a short run that generates, without task and method."""

    def overrides(architecture: str) -> list[str]:
        places = [f"model.source={generators[architecture]}", f"data_root={folder}", f"cache_dir={tmp_path / 'cache'}"]
        task = ["++task.max_source_length=16", "++task.max_target_length=8", "++task.metrics=[bleu]"]
        search = ["++task.search.max_new_tokens=4", "++task.search.num_beams=1"]
        names = ["model.name=tiny", f"runs_dir={tmp_path / 'runs'}"]
        return [*places, *task, *search, *names, *runs.SHORT, "trainer.max_epochs=1"]

    return overrides


@pytest.fixture
def make(overrides: Callable[[str], list[str]]) -> Make:
    """Makes configurations of such runs."""

    def make(*more: str, architecture: str = "gpt2") -> RunConfig:
        chosen = ["task=e2e_nlg", "method=ln"]
        return validate(to_plain(compose_config(*chosen, *overrides(architecture), *more)))

    return make


@pytest.fixture
def asked(folder: Path) -> list[str]:
    """The overrides that measure the loss on the text."""
    return [f"retention.path={folder / 'text.txt'}", f"retention.window={WINDOW}", f"retention.tokens={TOKENS}"]


def plain_loss(model: nn.Module, source: Path) -> tuple[float, int]:
    """The mean loss over the first tokens of the text, in windows, and the number of tokens that have one."""
    tokenizer = AutoTokenizer.from_pretrained(source)
    ids = tokenizer(20 * TEXT, add_special_tokens=False, return_tensors="pt")["input_ids"][0, :TOKENS]
    losses = []
    for start in range(0, TOKENS, WINDOW):
        window = ids[start : start + WINDOW]
        with torch.no_grad():
            logits = model(input_ids=window[None]).logits[0]
        losses.append(cross_entropy(logits[:-1], window[1:], reduction="none"))
    together = torch.cat(losses)
    return together.mean().item(), len(together)


@pytest.mark.parametrize("method", ["ln", "lora", "prefix", "full", "prompt"])
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_both_losses_are_those_of_plain_loops(
    make: Make, asked: list[str], generators: dict[str, Path], tmp_path: Path, architecture: str, method: str
) -> None:
    config = make(f"method={method}", *asked, architecture=architecture)
    found = run(config).retention
    assert found
    source = generators[architecture]
    pretrained = AutoModelForCausalLM.from_pretrained(source).eval()
    loss, count = plain_loss(pretrained, source)
    assert found.before == pytest.approx(loss, abs=1e-5)
    assert found.tokens == count == TOKENS - len(range(0, TOKENS, WINDOW))
    tuned = lnbench.load(run_dir(config))
    if method in ("prefix", "prompt"):
        model: nn.Module = tuned.model.backbone
    else:
        save_merged(tuned, tmp_path / "plain")
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "plain").eval()
    assert found.after == pytest.approx(plain_loss(model, source)[0], abs=1e-5)
    assert abs(found.forgetting) > 1e-3


def test_an_untuned_model_forgets_nothing(make: Make, asked: list[str]) -> None:
    found = run(make("method=head", *asked)).retention
    assert found
    assert found.forgetting == 0


def test_measuring_changes_nothing_else(make: Make, asked: list[str]) -> None:
    with_text, without = make(*asked), make()
    measured, record = run(with_text), run(without)
    assert measured.id != record.id
    assert measured.metrics == record.metrics
    assert measured.files[METRICS] == record.files[METRICS]
    values, others = (load_file(run_dir(config) / ADAPTER) for config in (with_text, without))
    assert all(torch.equal(values[name], others[name]) for name in values | others)


def test_without_a_text_there_is_no_trace_of_it(make: Make) -> None:
    config = make()
    record = run(config)
    assert "retention" not in json.loads((run_dir(config) / RECORD).read_text())
    assert "retention" not in record.config
    assert "retention" not in config.identity()
    assert id_of_saved(config.to_dict()) == record.id == run_id(config)


def test_the_batch_size_does_not_matter(make: Make, asked: list[str]) -> None:
    found = [run(make("method=head", f"trainer.eval_batch_size={size}", *asked)).retention for size in (1, 7)]
    assert found[0] == found[1]


def test_the_text_counts_by_its_content(make: Make, asked: list[str], folder: Path, tmp_path: Path) -> None:
    whole = run_id(make(*asked))
    copy = tmp_path / "copy.txt"
    copy.write_text(20 * TEXT)
    assert run_id(make(*asked, f"retention.path={copy}")) == whole
    copy.write_text(19 * TEXT)
    others = [f"retention.path={copy}", "retention.tokens=149", "retention.window=15"]
    assert len({whole, run_id(make()), *(run_id(make(*asked, other)) for other in others)}) == 5
    changed = make(*asked, f"retention.path={copy}")
    copy.write_text(18 * TEXT)
    with pytest.raises(DataError, match="is not the text any more with which this run was configured"):
        run(changed)


@pytest.mark.parametrize(("hook", "count"), [("on_train_batch_end", 2), ("on_test_end", 1)])
def test_an_interrupted_run_measures_the_same(
    make: Make, asked: list[str], tmp_path: Path, hook: str, count: int
) -> None:
    whole = run(make("method=ln+prefix", *asked, f"runs_dir={tmp_path / 'whole'}"))
    config = make("method=ln+prefix", *asked)
    interrupt(config, hook, count)
    assert run(config).retention == whole.retention is not None


def test_trials_of_a_search_measure_nothing_and_are_shared(make: Make, asked: list[str]) -> None:
    search = ["search=lr", "search.values=[0.3,1]"]
    with_text, without = ([run_id(trial) for _, trial in trials(make(*search, *more))] for more in (asked, []))
    assert with_text == without
    record = run(make(*search, *asked))
    assert record.retention
    assert record.search
    assert [trial.id for trial in record.search.trials] == without


def test_windows_begin_with_the_special_tokens_before_a_text() -> None:
    tokenizer = new_tokenizer()
    first = tokenizer.cls_token_id
    ids = tokenizer("a b c d e a", add_special_tokens=False)["input_ids"]
    found = in_windows(tokenizer, "a b c d e a", tokens=5, length=3)
    assert [window.tolist() for window in found.ids] == [[first, *ids[:2]], [first, *ids[2:4]], [first, ids[4]]]
    assert (found.special, found.predicted) == (1, 5)
    bare = in_windows(new_tokenizer(special=False), "a b c d e a", tokens=5, length=2)
    assert [window.tolist() for window in bare.ids] == [ids[:2], ids[2:4]], "the last has no token to predict"
    assert (bare.special, bare.predicted) == (0, 2)


@pytest.mark.parametrize(
    ("text", "tokens", "length", "special", "message"),
    [
        ("a b", 9, 1, True, "retention.window = 1: must be more than the 1 special tokens"),
        ("a b", 1, 9, False, "retention.tokens = 1: leaves no token of the text to predict"),
        ("", 9, 9, True, "leaves no token of the text to predict"),
    ],
)
def test_windows_without_a_token_to_predict_are_refused(
    text: str, tokens: int, length: int, special: bool, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        in_windows(new_tokenizer(special=special), text, tokens, length)


def test_no_loss_is_taken_on_special_tokens() -> None:
    model, ids = tiny_generator("llama"), torch.tensor([1, 7, 3, 9])
    with torch.no_grad():
        losses = cross_entropy(model(input_ids=ids[None]).logits[0, :-1], ids[1:], reduction="none")
    for special, expected in ((0, losses.mean()), (1, losses.mean()), (2, losses[1:].mean())):
        assert mean_loss(model, Windows([ids.numpy()], special)) == pytest.approx(expected.item(), abs=1e-6)


def test_the_rows_of_a_column_are_one_text(make: Make, folder: Path) -> None:
    config = make(f"retention.path={folder / 'rows.jsonl'}", "retention.column=text", "retention.window=8")
    assert config.retention.text(config.data_root) == "a good film\n\nb bad film"
    assert run(config).retention


def test_a_configured_data_set_is_read_by_its_task(make: Make, folder: Path) -> None:
    config = make("retention.data=e2e_nlg", "retention.window=8")
    assert config.retention.column == "meaning_representation"
    assert config.retention.text(config.data_root) == "c\n\nd\n\ne"
    other = make("retention.data=e2e_nlg", "retention.column=human_reference", "retention.split=validation")
    assert other.retention.text(other.data_root) == "a good film a\n\na good film b"
    assert run_id(config) != run_id(other)


def test_on_the_hub_the_commit_of_the_run_is_read(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str | None] = []

    def read_splits(source: Source, names: list[str], data_root: Path | None) -> dict[str, pd.DataFrame]:
        assert source.hub
        read.append(source.hub.revision)
        return {name: pd.DataFrame({"meaning_representation": ["a film"]}) for name in names}

    monkeypatch.setattr("lnbench.tasks.data.read.read_splits", read_splits)
    config = make("retention.data=e2e_nlg")
    pinned = config.retention.model_copy(update={"content": "hub:e2e_nlg/default/test@0123"})
    for newest in ("", "hub:e2e_nlg/default/test@4567"):
        monkeypatch.setattr(RetentionConfig, "found_content", lambda *_, newest=newest: newest)
        assert pinned.text(None) == "a film"
    assert read == ["0123", "0123"]
    monkeypatch.setattr(RetentionConfig, "found_content", lambda *_: "jsonl:89")
    with pytest.raises(DataError, match="is not the text any more"):
        pinned.text(None)


WRONG = {
    "settings without a text": (["retention.tokens=5"], "tokens = 5: there is no text; type retention.path=FILE"),
    "two texts": (["retention.path=x.txt", "retention.data=samsum"], "only one of them can be read"),
    "a packed table without a column": (["retention.path=x.CSV.gz"], "is a table; type retention.column=COLUMN"),
    "a table without a column": (["retention.path=x.csv"], "is a table; type retention.column=COLUMN"),
    "a split of a file": (["retention.path=x.txt", "retention.split=train"], "belongs to retention.data"),
    "the encoding of a data set": (
        ["retention.data=samsum", "retention.encoding=latin-1"],
        "belongs to retention.path",
    ),
    "an unknown data set": (["retention.data=samsun"], "retention.data = 'samsun': did you mean 'samsum'"),
    "a split that is not given": (
        ["retention.data=tweets"],
        "retention.split = 'test': the data set 'tweets' has no such split; it has: train",
    ),
    "no tokens": (["retention.path=x.txt", "retention.tokens=0"], r"retention.tokens = 0: must be greater"),
    "an encoder": (
        ["retention.path=x.txt", "task=sst2", "model=minilm"],
        r"task 'sst2' \(sequence_classification\) loads the model without its language-model head",
    ),
    "several devices": (["retention.path=x.txt", "trainer.devices=2"], "trainer.devices = 2: must be 1 with retention"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_measured_is_told_at_once(what: str) -> None:
    overrides, message = WRONG[what]
    with pytest.raises(ConfigError, match=message):
        validate(to_plain(compose_config("model=gpt2", "task=e2e_nlg", *overrides)))


UNREADABLE: dict[str, tuple[list[str], type[Exception], str]] = {
    "no file": (["retention.path=x.txt"], DataError, "retention.path = 'x.txt': cannot be read"),
    "no text": (["retention.path={}/empty.txt"], DataError, "empty.txt has no text"),
    "no token to predict": (["retention.path={}/short.txt"], ConfigError, "leaves no token of the text to predict"),
    "an encoding": (["retention.path={}/latin.txt"], DataError, "the file's encoding in retention.encoding"),
    "no column": (
        ["retention.path={}/rows.jsonl", "retention.column=words"],
        DataError,
        "has no column 'words'; it has: text",
    ),
    "no data set here": (
        ["retention.data=samsum"],
        DataError,
        "retention.data = 'samsum': its split 'test' is neither",
    ),
    "too long windows": (
        ["retention.path={}/text.txt", f"retention.window={POSITIONS + 1}"],
        ConfigError,
        f"tiny has {POSITIONS} positions; choose {POSITIONS} or less",
    ),
    "windows beside a prompt": (
        ["retention.path={}/text.txt", f"retention.window={POSITIONS}", "method=prompt", "method.prompt.length=4"],
        ConfigError,
        f"tiny has {POSITIONS} positions, of which prompt takes 4; choose {POSITIONS - 4} or less",
    ),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_cannot_be_read_is_told_before_a_model_loads(
    make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    for place in ("lnbench.training.retention.load_pretrained", "lnbench.run.execute.build_model"):
        monkeypatch.setattr(place, lambda *_: pytest.fail("a model loads"))
    overrides, kind, message = UNREADABLE[what]
    with pytest.raises(kind, match=message):
        run(make("retention.window=16", *(one.format(folder) for one in overrides)))


def test_an_encoder_decoder_is_refused(make: Make, asked: list[str]) -> None:
    with pytest.raises(ConfigError, match="the encoder-decoder tiny writes a text for another one"):
        run(make(*asked, architecture="t5"))


def test_people_see_it(make: Make, asked: list[str], commands: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    config = make(*asked)
    found = run(config).retention
    assert found
    told = f"{found.forgetting:+.4f}"
    said = capsys.readouterr().out
    assert "of a general text" in said
    assert told in said
    card = (run_dir(config) / "README.md").read_text()
    assert f"Loss on a general text, {found.tokens} tokens of `text.txt`: {found.after:.4f} nats a token" in card
    assert "retention.path=" in card, "the command that repeats the run"
    without = commands.runs(config.runs_dir).out
    assert f"{told} nats" in without
    assert "forgetting" in without.splitlines()[0]
    (row,) = map(json.loads, commands.runs(config.runs_dir, "--json").out.splitlines())
    assert row["forgetting"] == found.forgetting
    assert str(found.before) in commands.runs(config.runs_dir, "--show", row["id"]).out
    table = lnbench.records(config.runs_dir)
    assert table["forgetting"].tolist() == [found.forgetting]
    assert table["retention/before"].tolist() == [found.before]


def test_commands_for_further_runs_measure_too(make: Make, asked: list[str], tmp_path: Path) -> None:
    record = run(make(*asked))
    (line,) = command_lines(missing_runs("bitfit", {}, {"e2e_nlg": record}, [0], tmp_path))
    assert all(word in line for word in asked)
    assert "retention.content" not in line


@pytest.mark.slow
def test_a_question_on_forgetting_is_decided(
    overrides: Callable[[str], list[str]], asked: list[str], commands: Commands
) -> None:
    words = ["ln better than full in forgetting, margin 0.1", "--tasks", "e2e_nlg", "--seeds-max", "3"]
    done = commands.decide(*words, *overrides("gpt2"), *asked, IN_THIS_PROCESS)
    assert done.code == 0
    assert "ln better than full in forgetting" in done.out
    assert " nats" in done.out


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda found: found.update(after=found["after"] + 0.01), "retention.after = "),
        (lambda found: found.update(tokens=TOKENS + 1), f"over {TOKENS + 1} tokens, cannot be"),
        (lambda found: found.update(before=-1.0), "-1.0 before"),
    ],
)
def test_a_published_loss_that_was_changed_is_found(
    make: Make,
    asked: list[str],
    folder: Path,
    generators: dict[str, Path],
    commands: Commands,
    tmp_path: Path,
    change: Callable[[dict[str, float]], object],
    told: str,
) -> None:
    config = make(*asked)
    run(config)
    file = tmp_path / "results" / f"all{SUFFIX}"
    submit(config.runs_dir, file, [])
    places = [f"data_root={folder}", f"model.source={generators['gpt2']}", f"retention.path={folder / 'text.txt'}"]
    command = [file, *places, "--out", tmp_path / "replays"]
    assert commands.verify(*command).code == 0
    falsify(file, lambda line: change(line["record"]["retention"]))
    done = commands.verify(*command)
    assert done.code == 1
    assert told in done.out


def test_a_changed_record_is_damaged(make: Make, asked: list[str]) -> None:
    config = make(*asked)
    record = run(config)
    assert isinstance(record.retention, Retention)
    path = run_dir(config) / RECORD
    path.write_text(path.read_text().replace(repr(record.retention.after), "1.5"))
    with pytest.raises(Exception, match="is damaged"):
        read_record(run_dir(config))


def test_the_tokenizer_of_a_run_reads_the_text(make: Make, asked: list[str]) -> None:
    config = make(*asked)
    tokenizer = load_tokenizer(config.model)
    found = in_windows(tokenizer, config.retention.text(config.data_root), TOKENS, WINDOW)
    assert sum(map(len, found.ids)) == TOKENS
