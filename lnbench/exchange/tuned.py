"""Loads finished runs, to use their models."""

import re
import threading
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from lnbench.backbone.loading import load_tokenizer
from lnbench.backbone.quantization import are_equal
from lnbench.backbone.source import is_repository
from lnbench.backbone.tuned_model import TunedModel
from lnbench.backbone.vocabulary import embedded_tokens, unembedded
from lnbench.config.run import RunConfig, changed_code, validate_saved
from lnbench.core.errors import DataError
from lnbench.core.schema import ConfigError
from lnbench.core.sealed import read_json
from lnbench.exchange.hub import download
from lnbench.methods.parts.linear_change import fold_changes
from lnbench.methods.parts.prefix_vectors import fold_prefixes
from lnbench.records.adapter import AdapterError, header, load_adapter
from lnbench.records.files import ADAPTER, CONFIG, RECORD
from lnbench.records.finished import require_known
from lnbench.records.packed import why_no_model
from lnbench.records.record import read_record
from lnbench.tasks.base import Task
from lnbench.training.assemble import build_model
from lnbench.training.device import FORMATS, Format, computes_bf16, computing_in
from lnbench.training.evaluation import answer

SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, which is what invalid bytes of a command line become."""
SLOW = (
    "this device computes it slowly or not at all; load the run with precision='fp32' (--precision fp32), and answers "
    "near a tie may differ from the run's"
)


class Turns:
    """Lets one thread at a time in. A copy has turns of its own."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __reduce__(self) -> tuple[type["Turns"], tuple[()]]:
        return Turns, ()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Waits until no other thread is within the context."""
        with self._lock:
            yield


@dataclass(frozen=True)
class Tuned:
    """A tuned model, with its task, its tokenizer and everything else that `predict` needs."""

    model: TunedModel
    tokenizer: PreTrainedTokenizerBase
    task: Task
    config: RunConfig
    precision: Format
    """Number format of `predict`. The weights of `model` are fp32, and it computes in fp32 outside of `predict`."""
    _turns: Turns = field(default_factory=Turns, repr=False, compare=False)

    def predict(self, texts: Sequence[str | Sequence[str]], batch_size: int | None = None) -> list[dict[str, Any]]:
        """Answers texts, or pairs of texts if the task takes pairs, in their order and on the model's device.

        The model answers in evaluation mode, also if it was set to training. Several threads may call this function;
        they take turns, because parts of some methods remember the texts that they are given.

        Args:
            texts: texts or pairs to answer: a list, a column of a data frame, an array.
            batch_size: number of texts at once; None takes the number that the run used for evaluation. Another number
                changes the rounding, and so the last digits.

        Raises:
            ConfigError: the model is on a device that does not support `precision`, or `batch_size` is below 1.
            DataError: a text is empty, is not a pair although the task needs pairs, or has a token that the model
                does not embed.
        """
        texts = listed(texts)
        if batch_size is not None and (not isinstance(batch_size, int) or batch_size < 1):
            raise ConfigError(f"batch_size = {batch_size!r}: must be a whole number, at least 1, or None")
        if not texts:
            return []
        with self._turns.taken(), _evaluating(self.model):
            return self._predict(texts, batch_size or self.config.trainer.eval_batch_size)

    def remarks(self, texts: Sequence[str | Sequence[str]]) -> list[str]:
        """What a user should know of texts before trusting their answers: how much of them is cut off.

        Args:
            texts: as for `predict`.

        Raises:
            DataError: as for `predict`.
        """
        if not (texts := listed(texts)):
            return []
        with self._turns.taken():
            frame = self.task.unlabelled(texts)
            return self.task.warnings(frame, self.task.encode(frame, self.tokenizer))

    def _predict(self, texts: Sequence[str | Sequence[str]], batch_size: int) -> list[dict[str, Any]]:
        device = next(self.model.parameters()).device.type
        if self.precision == "bf16" and not computes_bf16(device):
            raise ConfigError(f"precision = 'bf16': {SLOW}")
        frame = self.task.unlabelled(texts)
        examples = self.task.encode(frame, self.tokenizer)
        embedded = embedded_tokens(self.model.backbone.config)
        if problem := unembedded(self.tokenizer, embedded, int(examples.tokens.max())):
            raise DataError(f"model {self.config.model.name!r} {problem}")
        with computing_in(self.precision, device):
            outputs = answer(self.model, self.task, examples, batch_size)
        return self.task.predictions(outputs, frame, examples)


def load(
    run_dir: str | Path, revision: str | None = None, merged: bool = False, precision: Format | None = None
) -> Tuned:
    """Loads the tuned model of a finished run, on the CPU and in evaluation mode.

    Args:
        run_dir: folder of the run, which the run printed at its end; or the id, `USER/NAME`, of a repository on the
            Hugging Face hub with the same files.
        revision: commit, tag or branch of the repository; None takes the newest version.
        merged: whether to fold into the weights all changes that allow it (LoRA and (IA)^3), which makes them free at
            inference. Answers are then equal up to rounding. Prefixes and adapters stay as they are.
        precision: number format for predictions, `fp32` or `bf16`; None takes that of the run. In another format
            than the run's, answers near a tie may differ from the run's.

    Raises:
        AdapterError: the folder holds no finished run, or its files are damaged, or they do not contain the run's
            number format.
        ConfigError: the pretrained model no longer exists; or `merged`, and its weights are quantised; or the run
            computed in bf16, this machine does not support bf16 or is slow at it, and no precision is given.
        NewerError: a newer lnbench did the run.
        HubError: there is neither such a folder nor an accessible repository.
        RecordError: the record is damaged.
    """
    if precision not in (None, *FORMATS.values()):
        raise ConfigError(f"precision = {precision!r}: must be one of {', '.join(FORMATS.values())}, or None")
    folder = _folder(run_dir, revision)
    require_known(folder)
    config = _read_config(folder)
    if changed := changed_code(config):
        warnings.warn(f"{folder}: the code of {' and '.join(changed)} has changed since the run", stacklevel=2)
    precision = precision or _trained_in(folder, config)
    if precision == "bf16" and not any(map(computes_bf16, ("cpu", "cuda"))):
        raise ConfigError(f"{folder}: computes in bf16: {SLOW}")
    if merged:
        check_can_fold(config)
    tensors, about = load_adapter(folder)
    if about != header(config):
        raise AdapterError(f"{folder / ADAPTER}: belongs to {about}, but {CONFIG} says {header(config)}")
    model = build_model(config)
    try:
        model.load_trained(_with_measured(tensors, model))
    except (ValueError, RuntimeError) as error:
        raise AdapterError(f"{folder / ADAPTER}: {str(error).splitlines()[-1].strip()}") from error
    with computing_in(precision, "cpu"):
        fold_prefixes(model.backbone)
    if merged:
        fold_changes(model.backbone)
    return Tuned(model.eval(), load_tokenizer(config.model), config.task, config, precision)


def load_several(run_dirs: Sequence[str | Path], precision: Format | None = None) -> list[Tuned]:
    """Loads several finished runs with one copy of each backbone: parameters that no run trained are in memory once.

    The models can be used in turn, without any cost of switching.

    Args:
        run_dirs: list of folders or repositories, each as for `load`.
        precision: number format of all models, as for `load`; None takes that of each run.

    Raises:
        AdapterError, ConfigError, HubError, RecordError: as for `load`.
    """
    if isinstance(run_dirs, str | Path):
        raise ConfigError(f"run_dirs = {str(run_dirs)!r}: is one folder; give a list of folders, or call load")
    several: list[Tuned] = []
    known: dict[str, list[nn.Parameter]] = defaultdict(list)
    for run_dir in run_dirs:
        several.append(load(run_dir, precision=precision))
        share_frozen(several[-1].model.backbone, known)
    return several


def check_can_fold(config: RunConfig) -> None:
    """Checks that changes can be folded into the pretrained weights.

    Raises:
        ConfigError: the weights are quantised.
    """
    if config.model.quantization:
        raise ConfigError(
            f"model.quantization = {config.model.quantization!r}: nothing can be folded into quantised weights, whose "
            f"rounding would lose it; use the model without merging, or export it with --peft"
        )


def share_frozen(backbone: nn.Module, known: dict[str, list[nn.Parameter]]) -> None:
    """Replaces each frozen parameter by an equal known one, and adds the others to the known ones.

    Parameters are compared by value, because a folder, revision or file may hold other weights than before.

    Args:
        backbone: model to change; its results stay the same.
        known: frozen parameters of other backbones, by name.
    """
    for name, parameter in list(backbone.named_parameters(remove_duplicate=False)):
        if parameter.requires_grad:
            continue
        shared = next((other for other in known[name] if are_equal(other, parameter)), None)
        if shared is None:
            known[name].append(parameter)
        else:
            owner, _, own = name.rpartition(".")
            setattr(backbone.get_submodule(owner), own, shared)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Sets a model to evaluation inside the context."""
    in_training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in in_training:
            module.training = True


def listed(texts: Any) -> list[Any]:
    """The texts, or lists of texts, of a list, an array or a column of a data frame.

    Raises:
        DataError: these are no texts, or this is one text, whose letters are not meant.
    """
    if isinstance(texts, str | bytes):
        raise DataError(f"texts = {texts!r}: is one text; give a list of texts, such as [{texts!r}]")
    if isinstance(texts, Mapping) or hasattr(texts, "columns"):
        raise DataError(
            f"texts: is a {type(texts).__name__}; give a list of texts, such as frame['text'], or of pairs, such as "
            f"frame[['first', 'second']].values"
        )
    found = list(texts)
    for number, text in enumerate(found, 1):
        own: list[Any] = [text] if isinstance(text, str) or not hasattr(text, "__iter__") else list(text)
        if not all(isinstance(part, str) for part in own):
            raise DataError(f"text {number} = {text!r}: must be a text, or a list of texts")
        if any(SURROGATE.search(part) for part in own):
            raise DataError(f"text {number} = {text!r}: has characters that are no Unicode")
    return found


def _with_measured(tensors: Mapping[str, Tensor], model: TunedModel) -> dict[str, Tensor]:
    """The tensors of a file, with defaults for the head's statistics, which files of lnbench 0.1.0 lack."""
    fresh = model.measured()
    return {**(fresh if fresh.keys().isdisjoint(tensors) else {}), **tensors}


def _folder(run_dir: str | Path, revision: str | None) -> Path:
    """The folder of the files, which may be the hub's cache. An existing folder has priority over a repository."""
    name = str(run_dir)
    remote = revision is not None or (is_repository(name) and not Path(name).is_dir())
    return download(name, revision) if remote else Path(run_dir)


def _trained_in(folder: Path, config: RunConfig) -> Format:
    """The number format of a run."""
    trainer = config.trainer
    if trainer.precision != "auto":
        return trainer.precision
    if trainer.device == "cpu":
        return "fp32"
    record = read_record(folder)
    if record is None or record.hardware.get("precision") not in FORMATS:
        raise AdapterError(
            f"{folder}: no {RECORD} in it says in which number format the run computed (trainer.precision = 'auto'); "
            f"load it with precision fp32 or bf16"
        )
    return FORMATS[record.hardware["precision"]]


def _read_config(folder: Path) -> RunConfig:
    path = folder / CONFIG
    if not path.is_file():
        raise AdapterError(why_no_model(folder) or f"{folder}: is not the folder of a run; it has no {CONFIG}")
    try:
        return validate_saved(read_json(path))
    except (TypeError, ValueError) as error:
        raise AdapterError(f"{path}: is damaged, or was written by another version of lnbench ({error})") from error
