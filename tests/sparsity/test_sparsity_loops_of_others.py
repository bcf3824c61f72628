"""Optimizers and loops that others wrote: a sparse network stays sparse, or its training is refused with the reason.

The reference is a dense network whose forward pass multiplies weights by their masks, trained by the optimizer alone:
the chain rule gives pruned weights no gradient there, so nothing can be learned from them.
"""

import copy
import gc
import pickle
import time

import pytest
import torch
from torch import distributed, nn
from torch import multiprocessing as mp
from torch.func import functional_call
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hsl.errors import MethodError
from hsl.sparsity import Sparsifier, apply_masks, iterative_magnitude_pruning, prunable_layers, steps

STEPS = 12


def sgd(parameters, **options):
    return torch.optim.SGD(parameters, **{"lr": 0.05, "momentum": 0.9} | options)


def make(model, optimizer, method="rigl", **options):
    loss = options.pop("loss", None)
    values = {"interval": 0.2} if method in ("rigl", "set", "mest", "snfs", "mest_soft") else {}
    options = {"sparsity": 0.8, "total_steps": STEPS, "hyperparameters": values} | options
    return Sparsifier(model, optimizer, method=method, loss=loss, **options)


def loss_of(model, digits, step):
    rows = slice(32 * step, 32 * step + 32)
    return nn.functional.cross_entropy(model(digits[0][rows]), digits[1][rows])


def take_step(model, optimizer, digits, step):
    optimizer.zero_grad()
    loss_of(model, digits, step).backward()
    optimizer.step()


def pruned_non_zeros(model):
    return sum(
        int(layer.weight[~layer.weight_mask].count_nonzero()) for layer in prunable_layers(model).values()
    )


class SAM(torch.optim.Optimizer):
    """Sharpness-aware minimisation (Foret et al. 2020, arXiv:2010.01412), in the form of its public versions.

    They take a first step uphill, evaluate again there, and step from where they began; the user has called backward
    before ``step(closure)``, or calls both half steps.
    """

    def __init__(self, parameters, base, rho=0.05, **options):
        super().__init__(parameters, {"rho": rho, **options})
        self.base_optimizer = base(self.param_groups, **options)
        self.param_groups = self.base_optimizer.param_groups

    @torch.no_grad()
    def first_step(self, zero_grad=False):
        given = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.stack([p.grad.norm() for p in given]).norm() + 1e-12
        for p in given:
            self.state[p]["old_p"] = p.data.clone()
            p.add_(p.grad * (self.defaults["rho"] / norm))
        if zero_grad:
            self.zero_grad()

    @torch.no_grad()
    def second_step(self, zero_grad=False):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.data = self.state[p]["old_p"]
        self.base_optimizer.step()
        if zero_grad:
            self.zero_grad()

    @torch.no_grad()
    def step(self, closure=None):
        self.first_step(zero_grad=True)
        torch.enable_grad()(closure)()
        self.second_step()


def masked_forward(model, masks):
    """The network as a function of its inputs, with weights times masks."""

    def forward(inputs):
        weights = {name: w * masks[name] if name in masks else w for name, w in model.named_parameters()}
        return functional_call(model, weights, inputs)

    return forward


def reference_of(model):
    """A copy of a sparse network without masks, and its masks by parameter."""
    masks = {name[:-5]: mask.clone() for name, mask in model.named_buffers() if name.endswith("_mask")}
    plain = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))
    plain.load_state_dict(
        {name: w for name, w in model.state_dict().items() if name not in masks and "_mask" not in name}
        | {name: model.state_dict()[name] for name in masks}
    )
    return plain, masks


def project_(model, optimizers, masks):
    """Zero pruned weights and their state, slowly and by name."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name in masks:
                tensors = [weight, *(v for o in optimizers for v in o.state.get(weight, {}).values())]
                for tensor in tensors:
                    if isinstance(tensor, torch.Tensor) and tensor.shape == weight.shape:
                        tensor[~masks[name]] = 0


OPTIMIZERS = {
    "SGD": {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-2},
    "SGD ": {"lr": 0.05, "momentum": 0.9, "foreach": True},
    "SGD  ": {"lr": 0.05, "momentum": 0.9, "fused": True},
    "Adam": {"lr": 1e-2, "amsgrad": True},
    "Adam ": {"lr": 1e-2, "fused": True},
    "AdamW": {"lr": 1e-2, "foreach": True},
    "Adamax": {"lr": 1e-2},
    "NAdam": {"lr": 1e-2},
    "RAdam": {"lr": 1e-2},
    "RMSprop": {"lr": 1e-3, "momentum": 0.9, "centered": True},
    "Adagrad": {"lr": 1e-2},
    "Adadelta": {"lr": 1.0},
    "ASGD": {"lr": 1e-2},
    "Adafactor": {"lr": 1e-2},
    "Muon": {"lr": 1e-2},
}


def optimizer_of(name, model):
    kind = getattr(torch.optim, name.strip())
    parameters = [p for p in model.parameters() if p.dim() == 2 or kind is not torch.optim.Muon]
    return kind(parameters, **OPTIMIZERS[name])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_pruned_weights_do_not_influence_active_ones(name, mlp, digits):
    optimizer = optimizer_of(name, mlp)
    make(mlp, optimizer, "static")
    plain, masks = reference_of(mlp)
    alone = optimizer_of(name, plain)
    forward = masked_forward(plain, masks)
    for step in range(STEPS):
        take_step(mlp, optimizer, digits, step)
        alone.zero_grad()
        loss_of(forward, digits, step).backward()
        alone.step()
        project_(plain, [alone], masks)
    assert pruned_non_zeros(mlp) == 0
    for weight, expected in zip(mlp.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(weight, expected, atol=1e-6)


def test_every_optimizer_of_torch_is_trained_with_or_refused(mlp):
    known = {name.strip() for name in OPTIMIZERS} | {"LBFGS", "Rprop", "SparseAdam", "Optimizer"}
    assert {name for name in dir(torch.optim) if name[0].isupper()} <= known


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        (torch.optim.LBFGS, {}, "keeps no state per weight"),
        (torch.optim.SparseAdam, {}, "keeps no state per weight"),
        (torch.optim.Rprop, {}, "does not start at zero"),
        (torch.optim.Adagrad, {"initial_accumulator_value": 0.1}, "does not start at zero"),
    ],
)
def test_optimizers_that_cannot_train_single_weights_are_refused(kind, options, reason, mlp):
    with pytest.raises(MethodError, match=reason):
        make(mlp, kind(mlp.parameters(), **options))
    assert "0.weight_mask" not in mlp.state_dict()


def test_what_is_no_optimizer_of_torch_is_refused(mlp):
    class Wrapped:
        param_groups = ()

    with pytest.raises(MethodError, match="no hooks around its step"):
        make(mlp, Wrapped())


def sam_reference(plain, masks, digits):
    """SAM as its authors define it, on the network whose weights are multiplied by masks."""
    alone = sgd(plain.parameters())
    forward = masked_forward(plain, masks)
    for step in range(STEPS):
        begun = [p.detach().clone() for p in plain.parameters()]
        gradients = torch.autograd.grad(loss_of(forward, digits, step), list(plain.parameters()))
        norm = torch.stack([g.norm() for g in gradients]).norm() + 1e-12
        with torch.no_grad():
            for p, g in zip(plain.parameters(), gradients, strict=True):
                p.add_(g * (0.05 / norm))
        alone.zero_grad()
        loss_of(forward, digits, step).backward()
        with torch.no_grad():
            for p, old in zip(plain.parameters(), begun, strict=True):
                p.copy_(old)
        alone.step()
        project_(plain, [alone], masks)


@pytest.mark.parametrize("form", ["closure", "two calls"])
def test_sam_trains_as_on_a_network_of_active_weights_only(form, mlp, digits):
    optimizer = SAM(mlp.parameters(), torch.optim.SGD, lr=0.05, momentum=0.9)
    sparsifier = make(mlp, optimizer if form == "closure" else optimizer.base_optimizer, "static")
    plain, masks = reference_of(mlp)
    sam_reference(plain, masks, digits)
    for step in range(STEPS):

        def backward(step=step):
            loss = loss_of(mlp, digits, step)
            loss.backward()
            return loss

        backward()
        if form == "closure":
            optimizer.step(backward)
        else:
            sparsifier.mask_gradients()
            optimizer.first_step(zero_grad=True)
            backward()
            optimizer.second_step()
        optimizer.zero_grad()
    assert sparsifier.step_count == STEPS
    assert sparsifier.sparsity() == pytest.approx(0.8, abs=1e-3)
    for weight, expected in zip(mlp.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(weight, expected, atol=1e-5)


@pytest.mark.parametrize("method", ["rigl", "set", "gmp", "acdc"])
def test_sam_keeps_every_method_sparse_and_learns(method, mlp, digits):
    optimizer = SAM(mlp.parameters(), torch.optim.SGD, lr=0.2, momentum=0.9)
    sparsifier = make(mlp, optimizer, method, total_steps=100)
    for step in range(100):
        rows = torch.arange(32 * step, 32 * step + 32) % 1500
        backward = lambda: nn.functional.cross_entropy(mlp(digits[0][rows]), digits[1][rows]).backward()  # noqa: B023, E731
        optimizer.zero_grad()
        backward()
        optimizer.step(backward)
        assert pruned_non_zeros(mlp) == 0
        momenta = [optimizer.base_optimizer.state[layer.weight] for layer in prunable_layers(mlp).values()]
        for layer, state in zip(prunable_layers(mlp).values(), momenta, strict=True):
            if state.get("momentum_buffer") is not None:
                assert state["momentum_buffer"][~layer.weight_mask].count_nonzero() == 0
    assert sparsifier.target_reached
    accuracy = (mlp(digits[0][1500:]).argmax(1) == digits[1][1500:]).float().mean()
    assert accuracy > 0.5


def test_sam_and_weights_in_reserve_exclude_each_other(mlp, digits):
    optimizer = SAM(mlp.parameters(), torch.optim.SGD, lr=0.05)
    make(mlp, optimizer, "topkast")
    loss_of(mlp, digits, 0).backward()
    with pytest.raises(MethodError, match="loss cannot be evaluated inside a step"):
        optimizer.step(lambda: loss_of(mlp, digits, 0).backward())


def test_half_steps_that_pass_the_sparsifier_by_are_refused_before_they_harm(mlp, digits):
    optimizer = SAM(mlp.parameters(), torch.optim.SGD, lr=0.05)
    sparsifier = make(mlp, optimizer)
    loss_of(mlp, digits, 0).backward()
    sparsifier.mask_gradients()
    optimizer.first_step()
    with pytest.raises(
        MethodError, match=r"a step of SGD .* follows another optimizer, SAM.*sam\.base_optimizer"
    ):
        optimizer.second_step()
    assert sparsifier.sparsity() == pytest.approx(0.8, abs=1e-3)


def test_a_second_optimizer_over_the_weights_is_refused(mlp, digits):
    sparsifier = make(mlp, sgd(mlp.parameters()))
    loss_of(mlp, digits, 0).backward()
    before = copy.deepcopy(mlp.state_dict())
    with pytest.raises(MethodError, match="a step of Adam would train the weights of layer '0'"):
        torch.optim.Adam(mlp.parameters()).step()
    assert all(torch.equal(value, before[name]) for name, value in mlp.state_dict().items())
    torch.optim.Adam([mlp[0].bias]).step()
    sparsifier.remove()
    torch.optim.Adam(mlp.parameters()).step()


def test_a_step_that_failed_does_not_hide_the_next_one_of_another(mlp, digits):
    optimizer = sgd(mlp.parameters())
    make(mlp, optimizer)
    take_step(mlp, optimizer, digits, 0)
    with pytest.raises(ZeroDivisionError):
        optimizer.step(lambda: 1 / 0)
    with pytest.raises(MethodError, match="a step of Adam would train"):
        torch.optim.Adam(mlp.parameters()).step()


def test_optimizers_that_step_within_the_backward_pass_are_refused(mlp, digits):
    _kept = make(mlp, sgd(mlp.parameters()))
    own = sgd([mlp[0].weight])

    def update(_):
        own.step()

    mlp[0].weight.register_post_accumulate_grad_hook(update)
    with pytest.raises(MethodError, match="a step of SGD would train the weights of layer '0' past"):
        loss_of(mlp, digits, 0).backward()


def test_a_step_inside_a_cuda_graph_is_refused_where_masks_move(monkeypatch, mlp, digits):
    optimizer = sgd(mlp.parameters())
    make(mlp, optimizer)
    monkeypatch.setattr(steps, "_is_captured", lambda _: True)
    with pytest.raises(MethodError, match="captured into a CUDA graph"):
        take_step(mlp, optimizer, digits, 0)
    other = nn.Sequential(nn.Linear(64, 10))
    optimizer = sgd(other.parameters())
    make(other, optimizer, "static")
    take_step(other, optimizer, digits, 0)


class Lookahead(torch.optim.Optimizer):
    """Weights that follow those of another optimizer from afar (Zhang et al. 2019, arXiv:1907.08610)."""

    def __init__(self, base):
        super().__init__(base.param_groups, {})
        self.base, self.steps = base, 0
        self.slow = [p.detach().clone() for group in self.param_groups for p in group["params"]]

    def step(self, closure=None):
        loss = self.base.step(closure)
        self.steps += 1
        if self.steps % 2 == 0:
            with torch.no_grad():
                for p, slow in zip(self.param_groups[0]["params"], self.slow, strict=True):
                    p.copy_(slow.lerp_(p, 0.5))
        return loss


@pytest.mark.parametrize("closes", [True, False])
def test_an_optimizer_around_another_is_followed_into_it(closes, mlp, digits):
    base = torch.optim.Adam(mlp.parameters(), lr=0.01)
    optimizer = Lookahead(base)
    sparsifier = make(mlp, optimizer, "set")
    calls = []
    for step in range(STEPS):

        def closure(step=step):
            calls.append(step)
            optimizer.zero_grad()
            loss = loss_of(mlp, digits, step)
            loss.backward()
            return loss

        if closes:
            assert optimizer.step(closure) > 0
        else:
            closure()
            optimizer.step()
        for layer in prunable_layers(mlp).values():
            assert base.state.get(layer.weight, {"exp_avg": torch.zeros(1)})["exp_avg"].count_nonzero() <= (
                layer.weight_mask.sum()
            )
    assert calls == list(range(STEPS))
    assert sparsifier.sparsity() == pytest.approx(0.8, abs=1e-3)


def test_another_optimizer_takes_over(mlp, digits):
    first, second = sgd(mlp.parameters()), torch.optim.Adam(mlp.parameters(), lr=0.01)
    sparsifier = make(mlp, first)
    take_step(mlp, first, digits, 0)
    sparsifier.follow(second)
    take_step(mlp, second, digits, 1)
    assert sparsifier.step_count == 2
    assert sparsifier.sparsity() == pytest.approx(0.8, abs=1e-3)
    with pytest.raises(MethodError, match="a step of SGD would train"):
        take_step(mlp, first, digits, 2)
    with pytest.raises(MethodError, match="does not train the weights of 0, 2, 4"):
        sparsifier.follow(sgd([mlp[0].bias]))


def test_an_update_by_hand_is_noticed_and_can_be_undone(mlp, digits):
    optimizer = sgd(mlp.parameters())
    sparsifier = make(mlp, optimizer, "static")
    take_step(mlp, optimizer, digits, 0)
    with torch.no_grad():
        mlp[0].weight.add_(1.0)
    for ask in (sparsifier.sparsity, sparsifier.layer_densities, sparsifier.state_dict, sparsifier.finalize):
        with pytest.raises(MethodError, match=r"163\d pruned weights of layers 0 are not zero"):
            ask()
    sparsifier.apply_masks()
    assert sparsifier.sparsity() == pytest.approx(0.8, abs=1e-3)
    assert mlp[0].weight.count_nonzero() == mlp[0].weight_mask.sum()


def whole(model, optimizer, sparsifier):
    return copy.deepcopy((model, optimizer, sparsifier))


def pickled(model, optimizer, sparsifier):
    return pickle.loads(pickle.dumps((model, optimizer, sparsifier)))


@pytest.mark.parametrize("method", ["rigl", "snip", "topkast", "acdc"])
@pytest.mark.parametrize("duplicate", [whole, pickled])
def test_a_copy_trains_as_the_original_does(duplicate, method, mlp, digits):
    optimizer = sgd(mlp.parameters())
    one = (
        mlp,
        optimizer,
        make(mlp, optimizer, method, loss=lambda net: loss_of(net, digits, 0), total_steps=8),
    )
    for step in range(4):
        take_step(*one[:2], digits, step)
    other = duplicate(*one)
    assert other[0] is not mlp
    for model, optimizer, sparsifier in (one, other):
        for step in range(4, 8):
            take_step(model, optimizer, digits, step)
        assert sparsifier.step_count == 8
        assert sparsifier.target_reached
    assert all(torch.equal(value, other[0].state_dict()[name]) for name, value in mlp.state_dict().items())
    finished = other[2].finalize()
    assert pruned_non_zeros(mlp) == 0
    assert sum(int((layer.weight == 0).sum()) for layer in prunable_layers(finished).values()) >= 0.79 * 3392


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_of_the_model_alone_is_not_trained_dense(duplicate, mlp, digits):
    optimizer = sgd(mlp.parameters())
    sparsifier = make(mlp, optimizer, "static")
    alone, average = duplicate(mlp), AveragedModel(mlp)
    unseen = sgd(alone.parameters())
    with pytest.raises(MethodError, match="SGD would train 3 weights that have masks and no Sparsifier"):
        take_step(alone, unseen, digits, 0)
    assert all(torch.equal(value, mlp.state_dict()[name]) for name, value in alone.state_dict().items())
    take_step(mlp, optimizer, digits, 0)  # copies, and averages that follow, are no concern of the original's
    average.update_parameters(mlp)
    take_step(mlp, optimizer, digits, 1)
    assert sparsifier.sparsity() == pytest.approx(0.8, abs=1e-3)
    dense = duplicate(sparsifier.finalize())
    take_step(dense, sgd(dense.parameters()), digits, 2)
    assert dense[4].weight.count_nonzero() > 0.4 * dense[4].weight.numel()


def test_an_optimizer_made_after_the_sparsifier_is_gone_is_refused(mlp, digits):
    optimizer = sgd(mlp.parameters())
    sparsifier = make(mlp, optimizer, "static")
    take_step(mlp, optimizer, digits, 0)
    del optimizer, sparsifier
    gc.collect()
    with pytest.raises(MethodError, match="Hand the new one over with follow"):
        take_step(mlp, sgd(mlp.parameters()), digits, 1)


def test_loading_ones_own_state_dict_changes_no_bit(mlp, digits):
    optimizer = sgd(mlp.parameters())
    make(mlp, optimizer, "static")
    take_step(mlp, optimizer, digits, 0)
    before = mlp[0].weight.detach().clone().view(torch.int32)
    assert (before == torch.tensor(-0.0).view(torch.int32)).any()
    mlp.load_state_dict(copy.deepcopy(mlp.state_dict()))
    assert torch.equal(mlp[0].weight.detach().view(torch.int32), before)


def test_a_dense_state_dict_is_masked_as_it_is_loaded(mlp, digits):
    dense = copy.deepcopy(mlp.state_dict())
    optimizer = sgd(mlp.parameters())
    sparsifier = make(mlp, optimizer, "static")
    mlp.load_state_dict(dense, strict=False)
    assert sparsifier.sparsity() == pytest.approx(0.8, abs=1e-3)
    mlp[0].load_state_dict({"weight": dense["0.weight"], "bias": dense["0.bias"]}, strict=False)
    assert pruned_non_zeros(mlp) == 0
    assert torch.equal(mlp[0].weight, dense["0.weight"] * mlp[0].weight_mask)
    mlp.load_state_dict({**mlp.state_dict(), **dense}, assign=True)
    with pytest.raises(MethodError, match=r"layer '0' was replaced after .*assign=True"):
        take_step(mlp, optimizer, digits, 0)
    plain = sparsifier.remove()
    mlp.load_state_dict(dense)
    assert plain is None
    assert torch.equal(mlp[0].weight, dense["0.weight"])


@pytest.mark.parametrize(
    "options", [{}, {"multi_avg_fn": get_ema_multi_avg_fn(0.9)}], ids=["average", "moving average"]
)
def test_averaged_weights_become_sparse_by_their_masks(options, mlp, digits):
    optimizer = sgd(mlp.parameters())
    sparsifier = make(mlp, optimizer, "set")
    average = AveragedModel(mlp, **options)
    for step in range(STEPS):
        take_step(mlp, optimizer, digits, step)
        average.update_parameters(mlp)
    assert pruned_non_zeros(average.module) > 0
    plain = copy.deepcopy(average.module)
    assert apply_masks(average) is average
    assert pruned_non_zeros(average.module) == 0
    assert torch.equal(average.module[0].weight, plain[0].weight * mlp[0].weight_mask)
    mlp.load_state_dict(plain.state_dict())
    assert sparsifier.sparsity() == pytest.approx(0.8, abs=1e-3)


class EveryBufferAveraged(nn.Module):
    """Averages the whole state dict, buffers included, as ModelEmaV2 of timm and others do."""

    def __init__(self, model):
        super().__init__()
        self.module = copy.deepcopy(model)

    def update_parameters(self, model):
        own = self.module.state_dict()
        for name, value in model.state_dict().items():
            if name in own:
                own[name].copy_(0.9 * own[name] + 0.1 * value)


@pytest.mark.parametrize("is_older", [False, True], ids=["masks averaged", "made before the masks"])
def test_an_average_without_masks_of_its_own_takes_those_of_the_network(is_older, mlp, digits):
    optimizer = sgd(mlp.parameters())
    average = EveryBufferAveraged(mlp)
    sparsifier = make(mlp, optimizer, "set")
    average = average if is_older else EveryBufferAveraged(mlp)
    for step in range(STEPS):
        take_step(mlp, optimizer, digits, step)
        average.update_parameters(mlp)
    if is_older:
        with pytest.raises(MethodError, match="no layer of the model has a mask"):
            apply_masks(average)
    plain = average.module[0].weight.clone()
    apply_masks(average, like=mlp)
    assert torch.equal(average.module[0].weight, plain * mlp[0].weight_mask)
    assert average.module[0].weight_mask.data_ptr() != mlp[0].weight_mask.data_ptr()
    zeros = sum(int((layer.weight == 0).sum()) for layer in prunable_layers(average).values())
    assert zeros >= sum(row.weights - row.non_zeros for row in sparsifier.report())


def test_averaged_masks_are_refused(mlp, digits):
    optimizer = sgd(mlp.parameters())
    make(mlp, optimizer, "set")
    average = AveragedModel(mlp, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    for step in range(STEPS):
        take_step(mlp, optimizer, digits, step)
        average.update_parameters(mlp)
    with pytest.raises(MethodError, match="masks have no average: give the network"):
        apply_masks(average)
    with pytest.raises(MethodError, match="like is another network"):
        apply_masks(average, like=nn.Linear(3, 3))
    apply_masks(average, like=mlp)
    assert pruned_non_zeros(average.module) == 0


def test_groups_and_schedulers_that_come_later_are_followed(mlp, digits):
    class WithHead(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = mlp, nn.Linear(10, 10)

        def forward(self, inputs):
            return self.head(self.body(inputs))

    model = WithHead()
    optimizer = sgd(mlp.parameters())
    sparsifier = make(mlp, optimizer, "static")
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    before = model.head.weight.detach().clone()
    optimizer.add_param_group({"params": model.head.parameters(), "initial_lr": 0.05})
    for step in range(STEPS - 1):
        take_step(model, optimizer, digits, step)
        scheduler.step()
    assert sparsifier.step_count == STEPS - 1
    assert pruned_non_zeros(mlp) == 0
    assert not torch.equal(model.head.weight, before)


@pytest.mark.parametrize("method", ["rigl", "snfs", "mest", "topkast", "gmp"])
def test_a_fused_optimizer_that_unscales_by_itself_trains_as_without_a_scale(method, mlp, digits):
    plain, scaled = mlp, copy.deepcopy(mlp)
    optimizers = [sgd(model.parameters(), fused=True) for model in (plain, scaled)]
    values = {"interval": 0.2} | ({"gradient_weight": 1.0} if method == "mest" else {})
    sparsifiers = [
        make(model, optimizer, method, hyperparameters=values)
        for model, optimizer in zip((plain, scaled), optimizers, strict=True)
    ]
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    for step in range(STEPS):
        if step == 5:  # an overflow: nothing may change, and the step does not count
            optimizers[1].zero_grad()
            scaler.scale(loss_of(scaled, digits, step)).backward()
            scaled[0].weight.grad[0, 0] = torch.inf
            before = copy.deepcopy(scaled.state_dict())
            scaler.step(optimizers[1])
            scaler.update()
            assert all(torch.equal(value, before[name]) for name, value in scaled.state_dict().items())
        take_step(plain, optimizers[0], digits, step)
        optimizers[1].zero_grad()
        scaler.scale(loss_of(scaled, digits, step)).backward()
        scaler.step(optimizers[1])
        scaler.update()
    assert [sparsifier.step_count for sparsifier in sparsifiers] == [STEPS, STEPS]
    for name, value in plain.state_dict().items():
        assert torch.allclose(value.float(), scaled.state_dict()[name].float(), atol=1e-6), name


def parametrised(model):
    nn.utils.parametrizations.weight_norm(model[0])


def test_a_layer_that_is_parametrised_later_is_refused(mlp, digits):
    optimizer = sgd(mlp.parameters())
    sparsifier = make(mlp, optimizer, "set")
    parametrised(mlp)
    with pytest.raises(MethodError, match="layer '0' was replaced after"):
        sparsifier.sparsity()
    with pytest.raises(MethodError, match="layer '0' was replaced after"):
        take_step(mlp, optimizer, digits, 0)


@pytest.mark.parametrize("method", ["set", "gmp", "static"])
def test_a_layer_that_is_frozen_later_is_not_pruned_any_more(method, mlp, digits):
    optimizer = sgd(mlp.parameters())
    sparsifier = make(mlp, optimizer, method)
    mlp[0].weight.requires_grad_(False)
    before = mlp[0].weight.clone()
    if method == "static":
        take_step(mlp, optimizer, digits, 0)
    else:
        with pytest.raises(MethodError, match="layers 0 were frozen after"):
            take_step(mlp, optimizer, digits, 0)
    assert torch.equal(mlp[0].weight, before)
    for weight in mlp.parameters():  # as for an evaluation
        weight.requires_grad_(False)
    assert sparsifier.sparsity() == pytest.approx(0.0 if method == "gmp" else 0.8, abs=1e-3)
    assert sparsifier.finalize() is mlp


def test_gradients_that_were_set_to_zero_do_not_decide(mlp, digits):
    """Not to None but to zero, then a closure: what it finds decides where weights grow."""
    plain = copy.deepcopy(mlp)
    optimizers = [sgd(mlp.parameters()), sgd(plain.parameters())]
    for model, optimizer in zip((mlp, plain), optimizers, strict=True):
        make(model, optimizer, "rigl")
    for step in range(STEPS):

        def closure(step=step):
            loss = loss_of(mlp, digits, step)
            loss.backward()
            return loss

        optimizers[0].zero_grad(set_to_none=False)
        optimizers[0].step(closure)
        take_step(plain, optimizers[1], digits, step)
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in mlp.state_dict().items())


def test_rounds_of_pruning_notice_what_passes_them_by(mlp, digits):
    def train(model, keep_sparse):
        optimizer = sgd(model.parameters())
        keep_sparse(optimizer)
        take_step(model, optimizer, digits, 0)
        with torch.no_grad():
            model[0].weight.add_(1.0)

    with pytest.raises(MethodError, match=r"pruned weights of layers .* are not zero"):
        iterative_magnitude_pruning(mlp, train, sparsity=0.5, rounds=1)


def one_process(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    model = nn.parallel.DistributedDataParallel(nn.Linear(20, 5))
    with pytest.raises(MethodError, match="have seeds 0, 1, so each would make masks of its own"):
        make(model, sgd(model.parameters()), seed=rank)
    make(model, sgd(model.parameters()), seed=7)
    distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_with_seeds_of_their_own_are_refused(tmp_path):
    context = mp.spawn(one_process, args=(str(tmp_path),), nprocs=2, join=False)
    deadline = time.monotonic() + 600
    while not context.join(timeout=5):
        assert time.monotonic() < deadline, "the processes hang"
