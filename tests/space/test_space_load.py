"""Search spaces: every mistake is named with its line, what was given and what is allowed, all at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hsl.errors import SpaceError
from hsl.space.domain import Domain
from hsl.space.load import load_space, make_space
from hsl.space.schema import SearchSpace

DIGITS = Path(__file__).parents[2] / "search_spaces" / "digits.yaml"

TEXT = """\
name: small
dataset: digits
model: {name: mlp, widths: [32]}
training: {epochs: 5}
regimes:
  clean: {}
  noisy: {corruption: {name: gaussian_noise, severity: 3}}
factors:
  regime: [clean, noisy]
  sparsity: [0.5, 0.9]
search:
  method: {choice: [static, rigl]}
  training.lr: {loguniform: [0.01, 0.1]}
  method.drop_fraction: {uniform: [0.1, 0.5]}
"""


def load(folder: Path, text: str = TEXT, *overrides: str) -> SearchSpace:
    file = folder / "space.yaml"
    file.write_text(text)
    return load_space(file, overrides)


def problems(folder: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(SpaceError) as caught:
        load(folder, text, *overrides)
    assert "nothing was started" in str(caught.value)
    return [str(problem) for problem in caught.value.problems]


def test_the_space_that_ships_is_valid() -> None:
    space = load_space(DIGITS)
    assert space.name == "digits"
    assert list(space.factors) == ["regime", "sparsity"]
    assert space.regimes["pgd"].attack is not None
    assert space.regimes["pgd"].attack.eps == 16 / 255


MISTAKES = [
    ("choice: [static, rigl]", "choice: [static, rgl]", 12, "'rgl'", "did you mean 'rigl'"),
    ("sparsity: [0.5, 0.9]", "sparsity: [0.5, 1.0]", 10, "1.0", "a number in [0, 1); for 90 % write 0.9"),
    ("sparsity: [0.5, 0.9]", "sparsity: [-0.1]", 10, "-0.1", "a number in [0, 1)"),
    ("sparsity: [0.5, 0.9]", "sparsity: ['90%']", 10, "'90%'", "for 90 % write 0.9"),
    ("sparsity: [0.5, 0.9]", "sparsity: []", 10, "sparsity", "empty; give at least one"),
    ("sparsity: [0.5, 0.9]", "sparsity: [0.5, 0.5]", 10, "sparsity", "a value is listed twice"),
    ("severity: 3", "severity: 6", 7, "6", "allowed is 1-5"),
    ("gaussian_noise", "gausian_noise", 7, "'gausian_noise'", "did you mean 'gaussian_noise'"),
    ("epochs: 5", "epoch: 5", 4, "training.epoch", "unknown key (did you mean 'epochs'?)"),
    ("epochs: 5", "epochs: many", 4, "'many'", "valid integer"),
    ("dataset: digits", "dataset: digit", 2, "'digit'", "did you mean 'digits'"),
    ("name: mlp", "name: mpl", 3, "'mpl'", "did you mean 'mlp'"),
    ("name: small", "nam: small", 1, "nam", "did you mean 'name'"),
    ("regime: [clean, noisy]", "regime: [clean, nosy]", 9, "'nosy'", "did you mean 'noisy'"),
    ("regime: [clean, noisy]", "regimes: [clean]", 9, "factors.regimes", "did you mean 'regime'"),
    ("training.lr: {log", "training.lrr: {log", 13, "training.lrr", "did you mean 'training.lr'"),
    ("loguniform: [0.01, 0.1]", "loguniform: [0, 0.1]", 13, "training.lr", "greater than 0"),
    ("loguniform: [0.01, 0.1]", "loguniform: [0.2, 0.1]", 13, "0.2", "must be below the upper bound 0.1"),
    ("loguniform: [0.01, 0.1]", "logunifrm: [0.01, 0.1]", 13, "logunifrm", "did you mean 'loguniform'"),
    ("uniform: [0.1, 0.5]", "uniform: [0.1, 1.5]", 14, "1.5", "it must be in [0, 1]"),
    ("[static, rigl]", "[dense, rigl]", 12, "'dense'", "set baseline: dense"),
    (
        "noisy: {corruption",
        "clean2: {}\n  noisy: {corruption",
        7,
        "regimes.clean2",
        "the same as regime 'clean'",
    ),
    ("search:\n", "search:\n  sparsity: {choice: [0.1]}\n", 12, "search.sparsity", "never tuned"),
    ("search:\n", "search:\n  training.batch_size: {uniform: [8, 64]}\n", 12, "batch_size", "valid integer"),
]


@pytest.mark.parametrize(("old", "new", "line", "what", "advice"), MISTAKES)
def test_a_mistake_is_named_with_its_line(
    old: str, new: str, line: int, what: str, advice: str, tmp_path: Path
) -> None:
    assert old in TEXT
    found = problems(tmp_path, TEXT.replace(old, new))
    assert any(p.startswith(f"line {line}: ") and what in p and advice in p for p in found), found


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    text = TEXT
    for old, new in (
        ("epochs: 5", "epoch: 5"),
        ("static", "statc"),
        ("0.9]", "1.0]"),
        ("severity: 3", "severity: 6"),
    ):
        text = text.replace(old, new)
    found = problems(tmp_path, text)
    assert {p.split(":")[0] for p in found} == {"line 4", "line 7", "line 10", "line 12"}
    assert len(found) == 4


def test_more_seeds_than_allowed_are_refused(tmp_path: Path) -> None:
    assert problems(tmp_path, TEXT + "confirm: {seeds: 31}\n") == [
        "line 15: confirm.seeds: 31: Input should be less than or equal to 30"
    ]


def test_graphs_of_a_gpu_need_one(tmp_path: Path) -> None:
    text = TEXT.replace("{epochs: 5}", "{epochs: 5, cuda_graphs: true}")
    assert problems(tmp_path, text) == [
        "line 4: training.cuda_graphs: needs a GPU, and resources.gpu is 0; "
        "set it, for example resources: {gpu: 0.25}, or leave this out"
    ]
    assert load(tmp_path, text + "resources: {gpu: 0.25}\n").training.cuda_graphs


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    found = problems(tmp_path, "name: x\n")
    assert [p.split(": ")[-2:] for p in found] == [
        ["dataset", "missing, and it has no default"],
        ["model", "missing, and it has no default"],
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [x\ndataset: digits\n", "line 2: not valid YAML"),
        ("a: b: c\n", "line 1: not valid YAML"),
        ("- 1\n", "a search space is a mapping of keys to values"),
        ("", "a search space is a mapping of keys to values"),
        ("name: x\n\tdataset: y\n", "line 2: not valid YAML"),
    ],
)
def test_text_that_is_no_space_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (found,) = problems(tmp_path, text)
    assert message in found


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"gone\.yaml: 1 problem.*\n.*cannot read the file: No such file"):
        load_space(tmp_path / "gone.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpaceError, match="cannot read the file"):
        load_space(tmp_path / "binary.yaml")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(
        ["regimes", "factors", "search", "training", "model", "budget", "confirm", "early_stopping"]
    ),
)
def test_whatever_stands_under_a_key_is_valid_or_refused(content: Any, key: str) -> None:
    raw = {**yaml.safe_load(TEXT), key: content}
    try:
        assert isinstance(make_space(raw), SearchSpace)
    except SpaceError as error:
        assert error.problems


class TestOverrides:
    """Dotted ``key=value`` pairs on the command line."""

    @pytest.mark.parametrize(
        ("override", "path", "value"),
        [
            ("training.epochs=9", "training.epochs", 9),
            ("training.milestones=[0.2, 0.4]", "training.milestones", (0.2, 0.4)),
            ("budget.configurations_per_cell=3", "budget.configurations_per_cell", 3),
            ("early_stopping.grace=2", "early_stopping.grace", 2),
            ("early_stopping=none", "early_stopping", None),
            ("early_stopping=null", "early_stopping", None),
            ("model.widths=[8, 8]", "model.options.widths", [8, 8]),
            ("name=other", "name", "other"),
            ("baseline=null", "baseline", None),
            ("split={limit: 50}", "split.limit", 50),
            ("training.augment=true", "training.augment", True),
            ("training.optimizer=adamw", "training.optimizer", "adamw"),
        ],
    )
    def test_values_are_replaced_or_added(self, override: str, path: str, value: Any, tmp_path: Path) -> None:
        found: Any = load(tmp_path, TEXT, override)
        for part in path.split("."):
            found = found[part] if isinstance(found, dict) else getattr(found, part)
        assert found == value

    def test_a_model_given_by_name_takes_options(self, tmp_path: Path) -> None:
        text = TEXT.replace("{name: mlp, widths: [32]}", "mlp")
        assert load(tmp_path, text, "model.widths=[8]").model.options == {"widths": [8]}

    def test_a_regime_is_changed_in_place(self, tmp_path: Path) -> None:
        space = load(tmp_path, TEXT, "regimes.noisy.corruption.severity=1")
        corruption = space.regimes["noisy"].corruption
        assert corruption is not None
        assert corruption.severity == 1

    def test_a_factor_is_pinned(self, tmp_path: Path) -> None:
        space = load(tmp_path, TEXT, "sparsity=0.8", "regime=noisy")
        assert space.factors == {"regime": ("noisy",), "sparsity": (0.8,)}

    def test_a_tuned_axis_is_pinned(self, tmp_path: Path) -> None:
        space = load(tmp_path, TEXT, "method=rigl", "training.lr=0.07")
        assert set(space.search) == {"method.drop_fraction"}
        assert (space.method, space.training.lr) == ("rigl", 0.07)

    def test_a_hyperparameter_is_pinned(self, tmp_path: Path) -> None:
        assert load(tmp_path, TEXT, "method.drop_fraction=0.2").search["method.drop_fraction"].choice == (
            0.2,
        )

    def test_a_hyperparameter_is_pinned_where_nothing_is_tuned(self, tmp_path: Path) -> None:
        text = TEXT.split("search:", maxsplit=1)[0] + "method: rigl\nsearch:\n"
        assert load(tmp_path, text, "method.drop_fraction=0.2").search["method.drop_fraction"].size == 1

    def test_a_domain_is_replaced(self, tmp_path: Path) -> None:
        space = load(tmp_path, TEXT, "search.training.lr={choice: [0.1, 0.2]}")
        assert space.search["training.lr"] == Domain(choice=(0.1, 0.2))

    def test_the_values_of_a_domain_are_replaced(self, tmp_path: Path) -> None:
        space = load(tmp_path, TEXT, "search.training.lr.loguniform=[0.3, 0.4]")
        assert space.search["training.lr"].loguniform == (0.3, 0.4)

    def test_a_new_domain_and_a_new_factor_are_added(self, tmp_path: Path) -> None:
        space = load(
            tmp_path, TEXT, "search.training.momentum.uniform=[0.5, 0.9]", "factors.training.epochs=[3, 4]"
        )
        assert space.search["training.momentum"].uniform == (0.5, 0.9)
        assert space.factors["training.epochs"] == (3, 4)

    def test_a_short_form_becomes_what_it_stands_for(self, tmp_path: Path) -> None:
        text = TEXT + "evaluation: {corruptions: [fog, contrast], attacks: pgd20, deciles: grand}\n"
        changes = ("corruptions.severities=[2]", "attacks.norm=l2", "deciles.models=3")
        found = load(tmp_path, text, *(f"evaluation.{change}" for change in changes)).evaluation
        assert (found.corruptions.names, found.corruptions.severities) == (("fog", "contrast"), (2,))
        assert (found.attacks.names, found.attacks.norm, found.attacks.eps) == (("pgd20",), "l2", 0.5)
        assert (found.deciles.by, found.deciles.models) == ("grand", 3)

    @pytest.mark.parametrize("override", ["training.epochs", "=3", ""])
    def test_what_is_no_pair_is_refused(self, override: str, tmp_path: Path) -> None:
        with pytest.raises(SpaceError, match=r"write key=value, for example training.epochs=10"):
            load(tmp_path, TEXT, override)

    def test_what_is_no_value_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SpaceError, match=r"training\.epochs: not a YAML value: '\[3'"):
            load(tmp_path, TEXT, "training.epochs=[3")

    @pytest.mark.parametrize(
        ("override", "message"),
        [
            ("training.epoch=3", "did you mean 'epochs'"),
            ("trainig.epochs=3", "did you mean 'training'"),
            ("sparsity=1.5", "a number in [0, 1)"),
            ("method=rgl", "did you mean 'rigl'"),
            ("search.training.lr={loguniform: [1]}", "training.lr"),
        ],
    )
    def test_an_override_is_checked_as_the_file_is(self, override: str, message: str, tmp_path: Path) -> None:
        assert any(message in problem for problem in problems(tmp_path, TEXT, override))


@pytest.mark.parametrize(
    ("content", "size"),
    [
        ({"choice": (1, "a", 0.5)}, 3),
        ({"int": (2, 5)}, 4),
        ({"uniform": (0.0, 1.0)}, float("inf")),
        ({"loguniform": (0.1, 1.0)}, float("inf")),
    ],
)
def test_a_domain_knows_its_size(content: Any, size: float) -> None:
    assert Domain(**content).size == size


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"choice": []},
        {"choice": [1], "int": [1, 2]},
        {"int": [3, 3]},
        {"choice": [1, 1]},
        {"choice": [1, 1.0]},
        {"uniform": [1]},
    ],
)
def test_a_domain_is_exactly_one_thing(content: Any) -> None:
    with pytest.raises(ValueError, match="Domain"):
        Domain(**content)


@pytest.mark.parametrize("given", [7, ["median"]])
def test_a_problem_of_early_stopping_as_a_whole_stands_at_its_key(given: object) -> None:
    with pytest.raises(SpaceError) as caught:
        make_space({**yaml.safe_load(TEXT), "early_stopping": given})
    assert [problem.where for problem in caught.value.problems] == ["early_stopping"]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("budget", "7: keys with values are needed; known: configurations_per_cell, cost, enough, epochs, "),
        ("regimes", "7: keys with values are needed"),
    ],
)
def test_a_value_in_place_of_keys_is_told_which_keys_there_are(section: str, message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        make_space({**yaml.safe_load(TEXT), section: 7})
    (problem,) = [problem for problem in caught.value.problems if problem.where == section]
    assert problem.message.startswith(message)
    assert problem.message.endswith(message) == (section == "regimes")


def test_a_problem_of_a_section_has_the_line_of_its_key(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("name: a\ndataset: digits\nmodel: mlp\n\ntrainng:\n  epochs: 2\n")
    with pytest.raises(SpaceError) as caught:
        load_space(file)
    assert [(problem.where, problem.line) for problem in caught.value.problems] == [("trainng", 5)]


def test_a_key_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(
        "name: a\ndataset: digits\ntraining:\n  lr: 0.1\n  lr: 0.2\ndataset: mnist\nbudget: {epochs: 1, epochs: 2}\n"
    )
    with pytest.raises(SpaceError) as caught:
        load_space(file)
    found = [(problem.where, problem.line, problem.message) for problem in caught.value.problems]
    assert found == [
        ("training.lr", 5, "given twice, first in line 4; remove one"),
        ("dataset", 6, "given twice, first in line 2; remove one"),
        ("budget.epochs", 7, "given twice, first in line 7; remove one"),
    ]


def test_a_key_that_overrides_a_merged_one_is_given_once(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    text = """name: merging
dataset: digits
model: mlp
regimes:
  noisy: &noisy {label_noise: {rate: 0.2}, keep: {fraction: 0.5}}
  noisier: {<<: *noisy, label_noise: {rate: 0.4}}
regime: noisier
"""
    file.write_text(text)
    regimes = load_space(file).regimes
    assert [regimes[name].label_noise.rate for name in ("noisy", "noisier")] == [0.2, 0.4]
    assert regimes["noisier"].keep == regimes["noisy"].keep
    file.write_text(text.replace("<<: *noisy,", "<<: *noisy, <<: *noisy,"))
    with pytest.raises(SpaceError, match=r"line 6: regimes.noisier.<<: given twice"):
        load_space(file)
    file.write_text(text.replace("rate: 0.2", "rate: 2"))
    with pytest.raises(SpaceError, match=r"line 5: regimes.noisy.label_noise.rate: 2"):
        load_space(file)


def test_a_section_that_may_be_left_out_says_its_keys(tmp_path: Path) -> None:
    found = problems(tmp_path, f"{TEXT}\nwarm_start: {{configuration: 3}}\n")
    assert "unknown key (did you mean 'configurations'?)" in "\n".join(found)
