"""Loops of users: accumulation, clipping, mixed precision, several processes, compiled models, the end."""

import copy
import time

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import distributed, nn
from torch import multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from hsl.errors import MethodError
from hsl.sparsity import Layers, Sparsifier, prunable_layers

STEPS = 12


def sgd(model, **options):
    return torch.optim.SGD(model.parameters(), **{"lr": 0.1, "momentum": 0.9} | options)


def loss_of(model, digits, rows):
    return nn.functional.cross_entropy(model(digits[0][rows]), digits[1][rows])


def make(model, optimizer, method="rigl", **options):
    return Sparsifier(
        model,
        optimizer,
        method=method,
        sparsity=0.8,
        total_steps=STEPS,
        **{"hyperparameters": {"interval": 0.2}} | options,
    )


def assert_same(first, second):
    assert all(
        torch.allclose(value.float(), second[name].float(), atol=1e-6) for name, value in first.items()
    )
    assert all(torch.equal(value, second[name]) for name, value in first.items() if "mask" in name)


@pytest.mark.parametrize("method", ["rigl", "snfs", "topkast"])
def test_accumulated_gradients_are_those_of_the_large_batch(method, mlp, digits):
    whole, parts = mlp, copy.deepcopy(mlp)
    optimizers = [sgd(whole), sgd(parts)]
    for model, optimizer in zip((whole, parts), optimizers, strict=True):
        make(model, optimizer, method)
    for step in range(STEPS):
        for optimizer in optimizers:
            optimizer.zero_grad()
        start = 32 * step
        loss_of(whole, digits, slice(start, start + 32)).backward()
        for part in range(4):
            rows = slice(start + 8 * part, start + 8 * part + 8)
            (loss_of(parts, digits, rows) / 4).backward()
        for optimizer in optimizers:
            optimizer.step()
    assert_same(whole.state_dict(), parts.state_dict())


def test_clipping_counts_active_weights_only(mlp, digits):
    optimizer = sgd(mlp)
    sparsifier = make(mlp, optimizer, "static", hyperparameters={})
    layers = prunable_layers(mlp)
    for step in range(3):
        optimizer.zero_grad()
        loss_of(mlp, digits, slice(32 * step, 32 * step + 32)).backward()
        active = sum((layer.weight.grad * layer.weight_mask).square().sum() for layer in layers.values())
        biases = sum(p.grad.square().sum() for name, p in mlp.named_parameters() if name.endswith("bias"))
        sparsifier.mask_gradients()
        norm = nn.utils.clip_grad_norm_(mlp.parameters(), 0.1)
        assert norm == pytest.approx(float((active + biases).sqrt()), rel=1e-5)
        optimizer.step()


@pytest.mark.parametrize("method", ["rigl", "gmp", "snfs", "acdc", "topkast"])
def test_scaled_losses_give_the_masks_of_unscaled_ones(method, mlp, digits):
    plain, scaled = mlp, copy.deepcopy(mlp)
    optimizers = [sgd(plain), sgd(scaled)]
    options = {} if method != "rigl" else {"hyperparameters": {"interval": 0.2}}
    for model, optimizer in zip((plain, scaled), optimizers, strict=True):
        make(model, optimizer, method, **{"hyperparameters": {}} | options)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    for step in range(STEPS):
        rows = slice(32 * step, 32 * step + 32)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss_of(plain, digits, rows).backward()
        optimizers[0].step()
        scaler.scale(loss_of(scaled, digits, rows)).backward()
        scaler.step(optimizers[1])
        scaler.update()
    assert_same(plain.state_dict(), scaled.state_dict())


@pytest.mark.parametrize("method", ["rigl", "gmp", "snfs", "acdc", "topkast", "granet"])
def test_a_step_that_the_scaler_skips_changes_nothing(method, mlp, digits):
    optimizer = sgd(mlp)
    sparsifier = make(mlp, optimizer, method, hyperparameters={})
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for step in range(STEPS):
        optimizer.zero_grad()
        scaler.scale(loss_of(mlp, digits, slice(32 * step, 32 * step + 32))).backward()
        overflow = step % 3 == 1
        if overflow:
            mlp[0].weight.grad[0, 0] = torch.inf
            before, count = copy.deepcopy(mlp.state_dict()), sparsifier.step_count
            driver = copy.deepcopy(sparsifier.state_dict()["driver"])
        scaler.step(optimizer)
        scaler.update()
        if overflow:
            assert sparsifier.step_count == count
            assert all(torch.equal(value, before[name]) for name, value in mlp.state_dict().items())
            for group, tensors in sparsifier.state_dict()["driver"].items():
                same = tensors == driver[group] if group == "pending" else None
                assert same or all(torch.equal(value, driver[group][name]) for name, value in tensors.items())
    assert sparsifier.step_count == STEPS - 4


def one_process(rank, method, folder):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.manual_seed(rank)  # DistributedDataParallel makes the initial weights equal
    network = nn.Sequential(nn.Linear(20, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 5))
    model = DistributedDataParallel(network)
    optimizer = sgd(model)
    inputs, classes = torch.randn(50, 16, 20), torch.randint(5, (50, 16))
    sparsifier = Sparsifier(
        model,
        optimizer,
        method=method,
        sparsity=0.8,
        total_steps=50,
        loss=lambda net: nn.functional.cross_entropy(net(inputs[0]), classes[0]),
    )
    for step in range(50):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs[step]), classes[step]).backward()
        optimizer.step()
    assert sparsifier.target_reached
    save_file(network.state_dict(), f"{folder}/{rank}.safetensors")
    distributed.destroy_process_group()


@pytest.mark.parametrize("method", ["rigl", "snip", "grasp", "set"])
@pytest.mark.slow
def test_two_processes_have_the_same_masks(method, tmp_path):
    context = mp.spawn(one_process, args=(method, str(tmp_path)), nprocs=2, join=False)
    deadline = time.monotonic() + 1200
    while not context.join(timeout=5):  # False as long as one of them runs
        assert time.monotonic() < deadline, "the processes hang"
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1))
    masks = [name for name in first if name.endswith("weight_mask")]
    assert len(masks) == 2
    assert all(torch.equal(first[name], second[name]) for name in masks)
    assert all(torch.equal(first[name], second[name]) for name in first if name.endswith("weight"))
    assert sum(int(first[name].sum()) for name in masks) == round(0.2 * 800)


@pytest.mark.slow
def test_a_compiled_model_is_compiled_once(mlp, digits):
    from torch._dynamo.testing import CompileCounter  # noqa: PLC0415  loads the compiler

    counter = CompileCounter()
    plain = copy.deepcopy(mlp)
    compiled = torch.compile(mlp, backend=counter)
    optimizers = [sgd(mlp), sgd(plain)]
    make(mlp, optimizers[0])
    make(plain, optimizers[1])
    for step in range(STEPS):
        for model, optimizer in zip((compiled, plain), optimizers, strict=True):
            optimizer.zero_grad()
            loss_of(model, digits, slice(32 * step, 32 * step + 32)).backward()
            optimizer.step()
    assert counter.frame_count == 1
    assert_same(mlp.state_dict(), plain.state_dict())


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("format", ["dense", "csr"])
def test_a_finished_model_computes_the_same_without_masks(format, cnn, digits):
    optimizer = sgd(cnn)
    sparsifier = make(cnn, optimizer)
    for step in range(STEPS):
        optimizer.zero_grad()
        loss_of(cnn, digits, slice(32 * step, 32 * step + 32)).backward()
        optimizer.step()
    cnn.eval()
    with torch.no_grad():
        expected = cnn(digits[0][:50])
        counts = [row.non_zeros for row in sparsifier.report()]
        finished = sparsifier.finalize(format)
        assert torch.allclose(finished(digits[0][:50]), expected, atol=1e-5)
    assert finished is cnn
    assert not [name for name in finished.state_dict() if "mask" in name]
    linear = [layer for layer in finished if isinstance(layer, nn.Linear)]
    assert all((layer.weight.layout == torch.sparse_csr) == (format == "csr") for layer in linear)
    stored = [layer.weight.values() if format == "csr" else layer.weight for layer in linear]
    assert [int(values.count_nonzero()) for values in stored] <= counts[2:]
    before = sparsifier.step_count
    optimizer.step()
    assert sparsifier.step_count == before


def test_an_unknown_format_is_refused(mlp):
    with pytest.raises(MethodError, match="format is 'coo', it must be 'dense', 'csr' or '2:4'"):
        make(mlp, sgd(mlp)).finalize("coo")


def test_an_earlier_state_of_the_model_is_not_at_the_target(mlp, digits, caplog):
    """As of the best epoch; the schedule has passed, the masks have not."""
    optimizer = sgd(mlp)
    sparsifier = make(mlp, optimizer, "gmp", hyperparameters={})
    early = copy.deepcopy(mlp.state_dict())
    for step in range(STEPS):
        optimizer.zero_grad()
        loss_of(mlp, digits, slice(32 * step, 32 * step + 32)).backward()
        optimizer.step()
    assert sparsifier.target_reached
    assert sparsifier.excess == 0
    mlp.load_state_dict(early)
    assert not sparsifier.target_reached
    assert sparsifier.excess > 0
    with caplog.at_level("WARNING"):
        sparsifier.finalize()
    assert "the network is 0 % sparse, not 80 %" in caplog.text
    assert "with an earlier state of the model belongs that of its Sparsifier" in caplog.text


@pytest.mark.parametrize("method", ["snfs", "rigl", "set", "mest"])
def test_every_layer_keeps_its_fewest_weights_through_all_updates(method):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 5))
    optimizer = sgd(model)
    layers = Layers(at_least=10)
    sparsifier = Sparsifier(
        model, optimizer, method=method, sparsity=0.985, total_steps=100, layers=layers,
        hyperparameters={"interval": 0.05, "drop_fraction": 0.9},
    )  # fmt: skip
    images, labels = torch.randn(64, 20), torch.randint(5, (64,))
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        counts = [row.non_zeros for row in sparsifier.report()]
        assert min(counts) >= 10
        assert sum(counts) == round(0.015 * 2600)


def test_a_state_of_other_layers_is_refused(mlp):
    other, last = copy.deepcopy(mlp), copy.deepcopy(mlp)
    state = make(mlp, sgd(mlp), layers=Layers(last_dense=True)).state_dict()
    with pytest.raises(MethodError, match="was written with keep_dense"):
        make(other, sgd(other)).load_state_dict(state)
    del state["keep_dense"], state["at_least"]  # as of version 0.1
    make(last, sgd(last), layers=Layers(last_dense=True)).load_state_dict(state)
