"""SNIP, GraSP and SynFlow against slow literal versions, hand-computed examples and conservation laws."""

import copy
import math

import pytest
import torch
from torch import nn

from hsl.errors import MethodError
from hsl.sparsity import Parent, Sparsifier, layer_densities
from hsl.sparsity.criteria import Signals
from hsl.sparsity.distributions.budget import Budget
from hsl.sparsity.layers import layer_shapes, prunable_layers
from hsl.sparsity.methods.weight_scores import CRITERIA
from hsl.sparsity.network import Network
from hsl.sparsity.saliency import first_masks, hessian_gradients, loss_gradients, ratio_budget
from hsl.sparsity.schedules import round_progress

GENERATOR = torch.Generator().manual_seed(0)


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def network_of(model, sparsity, distribution="global"):
    layers = prunable_layers(model)
    return Network(model, layers, Budget(layer_shapes(layers), sparsity, distribution), GENERATOR)


def small_net():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()


def small_loss(model):
    generator = torch.Generator().manual_seed(2)
    inputs = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    return nn.functional.cross_entropy(model(inputs), torch.tensor([0, 1, 2, 0, 1, 2]))


def chosen_by(scores, k):
    """Positions (layer, index) of the k largest of all scores, one by one."""
    pairs = [(float(s), name, i) for name, layer in scores.items() for i, s in enumerate(layer.flatten())]
    return {(name, index) for _, name, index in sorted(pairs, key=lambda pair: -pair[0])[:k]}


def positions(masks):
    return {(name, int(i)) for name, mask in masks.items() for i in mask.flatten().nonzero()}


def finite_differences(function, weight, index, step=1e-4):
    """Central difference of a function of no arguments with respect to one weight."""
    flat = weight.data.view(-1)
    value = flat[index].item()
    results = []
    for shift in (step, -step):
        flat[index] = value + shift
        results.append(function())
    flat[index] = value
    return (results[0] - results[1]) / (2 * step)


def test_snip_is_the_loss_difference_of_each_connection():
    # c_j scales weight j: dL/dc_j at c = 1 is w_j * g_j; here by finite differences of c_j itself.
    model = small_net()
    masks = first_masks(network_of(model, 0.5), "snip", small_loss, {})
    scores = {}
    for name, layer in prunable_layers(model).items():
        flat = layer.weight.data.view(-1)
        scores[name] = torch.zeros(len(flat), dtype=torch.float64)
        for index in range(len(flat)):
            value = flat[index].item()
            losses = []
            for connection in (1 + 1e-4, 1 - 1e-4):
                flat[index] = value * connection
                losses.append(small_loss(model).item())
            flat[index] = value
            scores[name][index] = abs(losses[0] - losses[1])
    assert positions(masks) == chosen_by(scores, 16)


def test_grasp_of_a_quadratic_bowl():
    # L = (w1^2 + 2 w2^2) / 2 at (1, 1): H g = (1, 4), S = -w * H g = (-1, -4), so w1 is removed at 50 %.
    model = nn.Linear(2, 1, bias=False)
    nn.init.ones_(model.weight)

    def bowl(net):
        return (net.weight.square() * torch.tensor([[1.0, 2.0]])).sum() / 2

    network = network_of(model, 0.5)
    (product,) = hessian_gradients(network, bowl, {"temperature": 200.0}).values()
    assert product.tolist() == [[1, 4]]
    assert CRITERIA["grasp"](Signals(model.weight, product, GENERATOR)).tolist() == [[1, 4]]
    (mask,) = first_masks(network, "grasp", bowl, {"temperature": 200.0}).values()
    assert mask.tolist() == [[False, True]]


def test_grasp_is_the_derivative_of_the_squared_gradient_norm():
    # H g = grad of |g|^2 / 2, by finite differences, with logits divided by the temperature.
    model, temperature = small_net(), 3.0
    layers = prunable_layers(model)

    def half_squared_norm():
        loss = small_loss(lambda inputs: model(inputs) / temperature)
        gradients = torch.autograd.grad(loss, [layer.weight for layer in layers.values()])
        return sum(float(gradient.square().sum()) for gradient in gradients) / 2

    found = hessian_gradients(network_of(model, 0.5), small_loss, {"temperature": temperature})
    scores = {}
    for name, layer in layers.items():
        literal = [
            finite_differences(half_squared_norm, layer.weight, i) for i in range(layer.weight.numel())
        ]
        literal = torch.tensor(literal, dtype=torch.float64)
        assert torch.allclose(found[name].flatten(), literal, rtol=1e-4, atol=1e-9)
        scores[name] = layer.weight.detach().flatten() * literal
    masks = first_masks(network_of(model, 0.5), "grasp", small_loss, {"temperature": temperature})
    assert positions(masks) == chosen_by(scores, 16)


def test_grasp_leaves_the_model_and_its_outputs_alone():
    model = small_net()
    before, inputs = copy.deepcopy(model.state_dict()), torch.ones(2, 5, dtype=torch.float64)
    output = model(inputs)
    first_masks(network_of(model, 0.5), "grasp", small_loss, {"temperature": 200.0})
    assert torch.equal(model(inputs), output)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def flow_scores(first, second):
    """Literal SynFlow of two layers: R = sum over all paths i -> j -> k of |a_ji| |b_kj|."""
    a, b = first.abs(), second.abs()
    scores = torch.zeros_like(a), torch.zeros_like(b)
    for j in range(a.shape[0]):
        for i in range(a.shape[1]):
            for k in range(b.shape[0]):
                path = a[j, i] * b[k, j]
                scores[0][j, i] += path
                scores[1][k, j] += path
    return scores


def two_layers(first, second):
    model = nn.Sequential(
        nn.Linear(first.shape[1], first.shape[0]), nn.ReLU(), nn.Linear(second.shape[1], second.shape[0])
    )
    model[0].weight.data.copy_(first)
    model[2].weight.data.copy_(second)
    return model


def flow_loss(inputs):
    return lambda model: model(torch.rand(3, inputs)).sum()


def test_synflow_of_three_weights_and_its_conservation():
    # W1 = [1, -2], W2 = [3; -1]: R = 12, S(W1) = (4, 8), S(W2) = (9, 3), and both layers sum to R.
    first, second = flow_scores(torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0], [-1.0]]))
    assert first.tolist() == [[4, 8]]
    assert second.tolist() == [[9], [3]]
    model = two_layers(torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0], [-1.0]]))
    masks = first_masks(network_of(model, 0.5), "synflow", flow_loss(2), {"rounds": 1})
    assert masks["0"].tolist() == [[False, True]]
    assert masks["2"].tolist() == [[True], [False]]


@pytest.mark.parametrize("rounds", [1, 7, 100])
def test_synflow_rescores_in_every_round(rounds):
    generator = torch.Generator().manual_seed(3)
    first, second = torch.randn(6, 8, generator=generator), torch.randn(5, 6, generator=generator)
    model = two_layers(first, second)
    masks = first_masks(network_of(model, 0.9), "synflow", flow_loss(8), {"rounds": rounds})
    literal = [torch.ones(6, 8), torch.ones(5, 6)]
    for k in range(1, rounds + 1):
        keep = round(78 * 0.1 ** (k / rounds))
        scores = flow_scores(first.double() * literal[0], second.double() * literal[1])
        named = {
            str(n): score - 1e9 * (1 - mask)
            for n, (score, mask) in enumerate(zip(scores, literal, strict=True))
        }
        kept = chosen_by(named, keep)
        literal = [torch.zeros(6, 8), torch.zeros(5, 6)]
        for name, index in kept:
            literal[int(name)].view(-1)[index] = 1
    assert torch.equal(masks["0"].float(), literal[0])
    assert torch.equal(masks["2"].float(), literal[1])


@pytest.mark.parametrize(("k", "density"), [(1, 0.970487), (50, 0.223607), (100, 0.05)])
def test_synflow_density_after_a_round(k, density):
    assert 1 - 0.95 * round_progress(0.95, k, 100) == pytest.approx(density, abs=1e-6)


def test_synflow_reads_neither_biases_nor_batch_statistics_and_survives_depth():
    torch.manual_seed(0)
    blocks = [part for _ in range(40) for part in (nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU())]
    model = nn.Sequential(*blocks, nn.Linear(64, 4))
    before = copy.deepcopy(model.state_dict())
    masks = first_masks(network_of(model, 0.98), "synflow", flow_loss(64), {"rounds": 20})
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.fill_(1e3)
    again = first_masks(network_of(model, 0.98), "synflow", flow_loss(64), {"rounds": 20})
    assert all(torch.equal(masks[name], again[name]) for name in masks)
    # Layer collapse is what the rounds prevent: every layer keeps some weight.
    assert all(mask.any() for mask in masks.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "grasp"}, "grasp scores the weights before the first step: give loss="),
        ({"method": "synflow"}, "synflow scores the weights before the first step: give loss="),
        ({"method": "static", "distribution": "from:snip"}, "snip scores the weights before"),
        ({"method": "snip_ratios"}, "snip scores the weights before"),
        ({"method": "omp_ratios"}, r"'from:omp' reads a trained dense network: give parent="),
        ({"method": "synflow", "loss": lambda model: torch.zeros(())}, "a loss that calls the model"),
        (
            {"method": "synflow", "hyperparameters": {"rounds": 2.5}},
            "rounds of synflow is 2.5, it must be a whole",
        ),
    ],
)
def test_mistakes_are_explained(options, message, mlp):
    with pytest.raises(MethodError, match=message):
        Sparsifier(mlp, sgd(mlp), **{"sparsity": 0.9, "total_steps": 10} | options)
    assert not [name for name in mlp.state_dict() if "mask" in name]


def test_ratios_of_snip_are_those_of_its_mask_at_other_positions(mlp):
    def loss(model):
        generator = torch.Generator().manual_seed(0)
        return nn.functional.cross_entropy(
            model(torch.rand(32, 64, generator=generator)), torch.arange(32) % 10
        )

    true, ratios = copy.deepcopy(mlp), copy.deepcopy(mlp)
    options = {"sparsity": 0.9, "total_steps": 10, "loss": loss}
    of_true = Sparsifier(true, sgd(true), method="snip", **options)
    of_ratios = Sparsifier(ratios, sgd(ratios), method="snip_ratios", **options)
    assert of_true.report() == of_ratios.report()
    assert not torch.equal(true[0].weight_mask, ratios[0].weight_mask)
    moving = Sparsifier(mlp, sgd(mlp), method="rigl", distribution="from:snip", **options)
    assert moving.report() == of_true.report()


def test_positions_by_ones_own_criterion_in_the_ratios_of_another(mlp):
    def loss(model):
        return nn.functional.cross_entropy(model(torch.eye(64)), torch.arange(64) % 10)

    other = copy.deepcopy(mlp)
    options = {"sparsity": 0.8, "total_steps": 10, "loss": loss, "init": "dense"}
    expected = Sparsifier(other, sgd(other), method="synflow", **options).report()
    dense = mlp[0].weight.detach().clone()
    gradients = torch.autograd.grad(loss(mlp), mlp[0].weight)[0]
    found = Sparsifier(mlp, sgd(mlp), method="snip", distribution="from:synflow", **options)
    assert found.report() == expected
    scores, mask = (dense * gradients).abs(), mlp[0].weight_mask
    assert scores[mask].min() >= scores[~mask].max()


def test_ratios_of_omp_leave_the_weights_as_they_were(mlp):
    before = mlp[2].weight.detach().clone()
    generator = torch.Generator().manual_seed(4)
    trained = {
        name: torch.randn(value.shape, generator=generator) for name, value in mlp.state_dict().items()
    }
    parent = Parent(trained=trained)
    network = network_of(mlp, 0.75)
    budget = ratio_budget(network, "from:omp", None, parent)
    flat = torch.cat([trained[f"{index}.weight"].abs().flatten() for index in (0, 2, 4)])
    threshold = flat.sort(descending=True).values[round(0.25 * len(flat)) - 1]
    literal = {str(index): trained[f"{index}.weight"].abs() >= threshold for index in (0, 2, 4)}
    assert budget.densities() == pytest.approx(layer_densities(literal))
    sparsifier = Sparsifier(
        mlp, sgd(mlp), method="omp_ratios", sparsity=0.75, total_steps=10, parent=parent, init="dense"
    )
    assert [row.non_zeros for row in sparsifier.report()] == [int(mask.sum()) for mask in literal.values()]
    assert torch.equal(mlp[2].weight, before * mlp[2].weight_mask)


def test_ratios_travel_in_the_checkpoint(mlp, digits):
    def loss(rows):
        return lambda model: nn.functional.cross_entropy(model(digits[0][rows]), digits[1][rows])

    other = copy.deepcopy(mlp)
    options = {"method": "gmp", "sparsity": 0.9, "total_steps": 10, "distribution": "from:snip"}
    first = Sparsifier(mlp, sgd(mlp), loss=loss(slice(0, 8)), **options)
    second = Sparsifier(other, (optimizer := sgd(other)), loss=loss(slice(8, 500)), **options)
    second.load_state_dict(first.state_dict())
    for _ in range(10):
        optimizer.zero_grad()
        loss(slice(0, 64))(other).backward()
        optimizer.step()
    expected = first.state_dict()["densities"]
    assert second.layer_densities() == pytest.approx(expected, abs=1e-9)
    assert math.isclose(sum(expected.values()), sum(second.layer_densities().values()))


@pytest.mark.parametrize("gradients", [loss_gradients, hessian_gradients])
def test_a_layer_on_which_the_loss_does_not_depend_is_named(gradients):
    class Unused(nn.Sequential):
        def forward(self, x):
            return self[0](x)

    network = network_of(Unused(nn.Linear(5, 3), nn.Linear(3, 3)).double(), 0.5)
    with pytest.raises(MethodError, match="layers 1 have no gradient"):
        gradients(network, small_loss, {"temperature": 1.0})


def test_synflow_is_refused_where_the_first_argument_is_no_tensor():
    class Pair(nn.Sequential):
        def forward(self, factor, x):
            return self[0](factor["by"] * x)

    network = network_of(Pair(nn.Linear(5, 3)).double(), 0.5)
    with pytest.raises(MethodError, match="first argument is a tensor"):
        first_masks(
            network,
            "synflow",
            lambda model: model({"by": 2.0}, torch.ones(1, 5).double()).sum(),
            {"rounds": 2},
        )
