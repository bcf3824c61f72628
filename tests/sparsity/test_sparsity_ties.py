"""Equal scores: no place in a layer is favoured, nothing else moves, and old masks can be had again."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor, nn

from hsl.errors import MethodError
from hsl.sparsity import Layers, Sparsifier
from hsl.sparsity.criteria import Signals, signed_magnitude
from hsl.sparsity.masks import top_k, top_k_among, top_n_of_m
from hsl.sparsity.ties import Ties

FEW = st.lists(st.sampled_from([0.0, 0.25, 1.0, 2.0]), min_size=1, max_size=24)


def ties(seed: int = 0) -> Ties:
    return Ties(torch.Generator().manual_seed(seed))


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 9))
def test_as_many_are_chosen_as_are_wanted(total: int, wanted: int, seed: int) -> None:
    wanted = min(wanted, total)
    chosen = ties(seed).some(total, wanted)
    assert (len(chosen), int(chosen.sum())) == (total, wanted)
    assert torch.equal(chosen, ties(seed).some(total, wanted))


@pytest.mark.parametrize("wanted", [1, 3, 5, 9])
def test_every_choice_is_as_likely(wanted: int) -> None:
    decide, draws = ties(), 1500
    chosen = torch.stack([decide.some(10, wanted) for _ in range(draws)]).double()
    assert chisquare(chosen.sum(0)).pvalue > 1e-4
    together = chosen.T @ chosen / draws  # of a draw without replacement: n (n - 1) / (N (N - 1))
    expected = wanted * (wanted - 1) / 90
    assert float((together - torch.diag(together.diag())).sum() / 90) == pytest.approx(expected, abs=1e-9)
    assert float(together.fill_diagonal_(expected).sub(expected).abs().max()) < 0.07


@given(FEW, st.data())
def test_only_equal_scores_at_the_threshold_are_chosen_at_random(
    scores: list[float], data: st.DataObject
) -> None:
    k = data.draw(st.integers(0, len(scores)))
    given_, decide = torch.tensor(scores), ties(data.draw(st.integers(0, 9)))
    before = decide.generator.get_state()
    first, chosen = top_k(given_, k), top_k(given_, k, decide)
    assert int(chosen.sum()) == k
    assert sorted(given_[chosen].tolist()) == sorted(given_[first].tolist())
    ranked = sorted(scores, reverse=True)
    if k in (0, len(scores)) or ranked[k - 1] != ranked[k]:
        assert torch.equal(chosen, first)
        assert torch.equal(decide.generator.get_state(), before), "draws for nothing move all later ones"


def test_no_place_is_favoured() -> None:
    scores, mask, decide = torch.zeros(4, 8), torch.zeros(4, 8, dtype=torch.bool), ties()
    mask[:, 2:6] = True
    many = torch.stack([top_k_among(scores, 5, mask, decide) for _ in range(600)]).sum(0)
    assert chisquare(many[mask]).pvalue > 1e-4
    assert not many[~mask].any()
    runs = torch.stack([top_n_of_m(scores, 2, 4, decide) for _ in range(600)])
    assert bool((runs.view(600, 4, 2, 4).sum(-1) == 2).all())
    assert chisquare(runs.sum(0).flatten()).pvalue > 1e-4
    untied = torch.rand(4, 8)
    assert torch.equal(top_n_of_m(untied, 2, 4, decide), top_n_of_m(untied, 2, 4))


def test_weights_of_zero_lose_their_rank_at_random_and_the_shares_of_the_signs_stay() -> None:
    """SET: of 8 zeros and 4 negative weights a fourth is dropped: 2 of the one, 1 of the other."""
    weight = torch.cat([torch.zeros(8), torch.tensor([-4.0, -3.0, -2.0, -1.0])])
    decide = ties()
    lost = torch.zeros(12)
    for _ in range(600):
        dropped = ~top_k(signed_magnitude(Signals(weight, None, decide.generator, None, decide)), 9, decide)
        assert (int(dropped[:8].sum()), dropped[8:].tolist()) == (2, [False, False, False, True])
        lost += dropped
    assert chisquare(lost[:8]).pvalue > 1e-4
    by_index = signed_magnitude(Signals(weight, None, decide.generator))
    assert (~top_k(by_index, 9)).nonzero().flatten().tolist() == [0, 1, 11]


CONSTANT = 24


def kept_at_constant_inputs(layers: Layers, seed: int) -> Tensor:
    """Mask [16, CONSTANT] of the inputs that are constant, as the border of digits is, after an update of rigl."""
    torch.manual_seed(seed)
    model = nn.Linear(32, 16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = {"interval": 0.5, "drop_fraction": 1.0, "until": 1.0}
    Sparsifier(
        model,
        optimizer,
        method="rigl",
        sparsity=0.5,
        total_steps=4,
        seed=seed,
        layers=layers,
        hyperparameters=schedule,
    )
    for _ in range(3):
        images = torch.rand(8, 32, generator=torch.Generator().manual_seed(1))
        images[:, :CONSTANT] = 0.0
        optimizer.zero_grad()
        model(images).square().sum().backward()
        optimizer.step()
    return model.weight_mask[:, :CONSTANT]


def test_weights_without_gradients_are_grown_in_all_units_alike() -> None:
    by_index, at_random = (
        torch.stack([kept_at_constant_inputs(Layers(ties=each), seed) for seed in range(12)]).sum(0)
        for each in ("index", "random")
    )
    assert int(by_index.sum()) == int(at_random.sum())
    assert int(by_index[:8].sum()) > 1.5 * int(by_index[8:].sum())
    assert chisquare(at_random.sum(1)).pvalue > 1e-3
    assert chisquare(at_random.sum(0)).pvalue > 1e-3


def test_masks_of_a_seed_are_the_same_again_and_an_unknown_rule_is_refused() -> None:
    again = [kept_at_constant_inputs(Layers(), 3) for _ in range(2)]
    assert torch.equal(*again)
    model = nn.Linear(4, 4)
    with pytest.raises(MethodError, match="ties is 'first', it must be one of random, index"):
        Sparsifier(
            model,
            torch.optim.SGD(model.parameters(), lr=0.1),
            method="static",
            sparsity=0.5,
            layers=Layers(ties="first"),
        )
