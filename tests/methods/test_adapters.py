"""Where bottleneck adapters read and write, and that what they do survives copying and mixed precision."""

import copy

import pytest
import torch
from torch import Tensor, nn

from lnbench.backbone.backbone import Backbone
from lnbench.backbone.insertion import insert_parallel, insert_sequential
from lnbench.backbone.tables import Map, Sublayer
from lnbench.core.schema import ConfigError
from lnbench.methods.parts.linear_change import fold_changes
from tests.tiny import EVERY_ARCHITECTURE, HIDDEN, LAYERS, batch, hidden, part, shake, tiny, trained, tune

SEQUENTIAL: dict[str, tuple[Sublayer, ...]] = {"adapter": ("ffn",), "mha_adapter": ("mha",), "houlsby": ("mha", "ffn")}


class Doubling(nn.Module):
    """A block of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        doubled: Tensor = self.second(torch.relu(self.first(x)))
        return doubled


class Recorder:
    """What goes into a layer and comes out of it, call by call, also where the model then adds to it in place."""

    def __init__(self, layer: nn.Module) -> None:
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        layer.register_forward_hook(self._record)

    def _record(self, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        self.inputs.append(inputs[0])
        self.outputs.append((output[0] if isinstance(output, tuple) else output).clone())


@pytest.fixture
def block() -> Doubling:
    torch.manual_seed(0)
    return Doubling()


def test_a_sequential_module_reads_the_output_of_its_host(block: Doubling) -> None:
    x, module = torch.randn(2, 3), nn.Linear(3, 3)
    y = block(x)
    insert_sequential(block.second, "new", module)
    torch.testing.assert_close(block(x), y + module(y))


def test_a_parallel_module_reads_the_input_of_its_source(block: Doubling) -> None:
    x, module = torch.randn(2, 3), nn.Linear(3, 3)
    y = block(x)
    insert_parallel(block.first, block.second, "new", module, scale=4.0)
    torch.testing.assert_close(block(x), y + 4 * module(x))


def test_source_and_target_may_be_one_layer(block: Doubling) -> None:
    x, module = torch.randn(2, 3), nn.Linear(3, 5)
    y = block.first(x)
    insert_parallel(block.first, block.first, "new", module)
    torch.testing.assert_close(block.first(x), y + module(x))


def test_a_forward_pass_that_broke_leaves_nothing_behind(block: Doubling) -> None:
    module = nn.Linear(3, 3)
    insert_parallel(block.first, block.second, "new", module)
    with pytest.raises(RuntimeError):
        block(torch.randn(2, 4))
    x = torch.randn(2, 3)
    torch.testing.assert_close(block(x), block.second.forward(torch.relu(block.first(x))) + module(x))


def test_a_copy_has_modules_of_its_own(block: Doubling) -> None:
    insert_parallel(block.first, block.second, "new", nn.Linear(3, 3))
    x = torch.randn(2, 3)
    block.first(x.requires_grad_())  # has now taken a tensor that cannot be copied
    twin, before = copy.deepcopy(block), block(x)
    torch.testing.assert_close(twin(x), before)
    with torch.no_grad():
        twin.second.get_parameter("new.bias").add_(1)
    torch.testing.assert_close(twin(x), before + 1)
    torch.testing.assert_close(block(x), before)


@pytest.mark.parametrize(("method", "readers"), [("parallel_adapter", "ffn_input"), ("mha_parallel_adapter", "query")])
@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_a_parallel_adapter_spans_its_whole_sublayer(architecture: str, method: str, readers: Map) -> None:
    model = tiny(architecture)
    tune(model, {method: part(method, scale=3.0, layers="1")})
    shake(model)
    backbone = Backbone(model)
    target = backbone.output_of("ffn" if readers == "ffn_input" else "mha", 0)
    inputs = [Recorder(linear_map.layer).inputs for linear_map in backbone.linear_maps(readers, 0)]
    output = Recorder(target)
    hidden(model, batch())
    expected = target.forward(output.inputs[0]) + 3 * target.get_submodule(method)(inputs[0][0])
    torch.testing.assert_close(output.outputs[0], expected)
    assert all(x[0] is inputs[0][0] for x in inputs)


@pytest.mark.parametrize(("method", "sublayers"), SEQUENTIAL.items())
@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_a_sequential_adapter_follows_its_sublayers(
    architecture: str, method: str, sublayers: tuple[Sublayer, ...]
) -> None:
    model = tiny(architecture)
    tune(model, method)
    backbone = Backbone(model)
    hosts = {backbone.output_of(sublayer, layer) for layer in range(backbone.num_layers) for sublayer in sublayers}
    assert {module for module in model.modules() if method in dict(module.named_children())} == hosts


@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_an_adapter_that_reads_the_block_adds_to_its_sum_what_it_makes_of_its_output(architecture: str) -> None:
    plain, model = tiny(architecture), tiny(architecture)
    tune(model, {"adapter": part("adapter", reads="block", layers="1")})
    shake(model)
    before, after = Backbone(plain), Backbone(model)
    norm = before.norm_after("ffn", 0, "sublayer") if before.table.placement == "post" else None
    summed = Recorder(norm).inputs if norm else Recorder(before.blocks[0]).outputs
    output = Recorder(after.blocks[0]).outputs
    with torch.no_grad():
        hidden(plain, batch())
        hidden(model, batch())
        (host,) = (module for module in model.modules() if "adapter" in dict(module.named_children()))
        adapter = host.get_submodule("adapter")
        expected = norm(summed[0] + adapter(norm(summed[0]))) if norm else summed[0] + adapter(summed[0])
    torch.testing.assert_close(output[0], expected)
    assert (adapter(summed[0]) - summed[0]).abs().max() > 1e-2


def test_what_an_adapter_reads_is_a_choice_of_two() -> None:
    with pytest.raises(ConfigError, match=r"method\.adapter\.reads = 'norm': must be 'ffn' or 'block'"):
        part("adapter", reads="norm")


@pytest.mark.parametrize("method", ["adapter", "parallel_adapter"])
def test_training_under_autocast_gives_about_the_same_gradients(method: str) -> None:
    model = tiny("bert")
    tune(model, method)
    shake(model)
    gradients = []
    for enabled in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            hidden(model, batch()).float().pow(2).mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in trained(model).values() if p.grad is not None]))
    assert torch.cosine_similarity(gradients[0], gradients[1], dim=0) > 0.99


def test_the_size_and_the_activation_of_an_adapter() -> None:
    model = tiny("bert")
    tune(model, {"adapter": part("adapter", bottleneck=5, activation="gelu", layers="2")})
    assert {tuple(value.shape) for value in trained(model).values()} == {(5, HIDDEN), (5,), (HIDDEN, 5), (HIDDEN,)}
    assert "GELU" in str(model.get_submodule("encoder.layer.1.output.dense.adapter"))


@pytest.mark.parametrize("method", [*SEQUENTIAL, "parallel_adapter", "mha_parallel_adapter"])
def test_a_layer_that_the_model_has_not_is_refused_by_name(method: str) -> None:
    with pytest.raises(ConfigError, match=rf"method\.{method}\.layers = '9': the model has layers 1-{LAYERS}"):
        tune(tiny("bert"), {method: part(method, layers="9")})


@pytest.mark.parametrize(("setting", "value"), [("bottleneck", 0), ("activation", "tanh"), ("scale", 0)])
def test_a_setting_out_of_range_is_refused_by_name(setting: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"method\.parallel_adapter\.{setting} = "):
        part("parallel_adapter", **{setting: value})


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "gpt2"])
def test_what_reads_the_block_reads_it_as_the_other_parts_leave_it(architecture: str) -> None:
    model = tiny(architecture)
    tune(model, {"adapter": part("adapter", reads="block"), "ssf": part("ssf")})
    shake(model, scale=0.3)
    expected = hidden(model.double(), batch())
    fold_changes(model)
    torch.testing.assert_close(hidden(model, batch()), expected)
