"""Everything that determines a trial's result: the configuration, its validation and its identity.

Torch-free, so that spaces can be checked and planned without importing torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from hsl.errors import MethodError
from hsl.hardness.schema.fields import Typed, check_known, known
from hsl.hardness.schema.regimes import Regime
from hsl.sparsity.distributions.allocate import DISTRIBUTIONS
from hsl.sparsity.methods import METHODS, check_hyperparameters, feasible, scored_source
from hsl.sparsity.methods.weight_scores import Init
from hsl.training.available import (
    CONTENT_DIGITS,
    DATASETS,
    MODELS,
    content_name,
    kind_and_path,
    model_kind,
    named_content,
)
from hsl.training.identity import canonical, filled, value_at


class Strict(Typed):
    """Base of every schema: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def checked(schema: type[Any], given: dict[str, Any]) -> Any:
    """Validate the settings of a plug-in; ValueError lists its problems in words."""
    try:
        return schema.model_validate(given)
    except ValidationError as error:
        found = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise ValueError("; ".join(found)) from error


def dataset_name(name: str) -> str:
    """`name`, if it is a data set: ``digits``, ``parquet:PATH``, ``package.module:attr``, ..."""
    if named_content(name):
        kind, path = name.rpartition("@")[0], name
    else:
        kind, path = kind_and_path(name)
    check_known(kind, DATASETS)
    if DATASETS.facts(kind).needs_path and not path:
        raise ValueError(f"{name!r} needs a path, for example {kind}:data/{kind}")
    return name


MethodName = Annotated[str, known(METHODS)]
DistributionName = Annotated[str, known(DISTRIBUTIONS)]
DatasetName = Annotated[str, AfterValidator(dataset_name)]
Digest = Annotated[str, Field(pattern=rf"^[0-9a-f]{{{CONTENT_DIGITS}}}$")]


def sparsity_value(value: object) -> float:
    """`value`, if it is a sparsity."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(
            "sparsity is the fraction of zeros among prunable weights, a number in [0, 1); for 90 % write 0.9"
        )
    return float(value)


Sparsity = Annotated[float, BeforeValidator(sparsity_value)]


class Training(Strict):
    """Optimisation of one network.

    Attributes:
        epochs: Passes over the training samples, at least 1.
        batch_size: Samples per step; the last batch of an epoch may be smaller.
        optimizer: ``sgd`` or ``adamw``.
        lr: Peak learning rate.
        momentum: SGD momentum, in [0, 1).
        nesterov: SGD with Nesterov momentum.
        weight_decay: L2 penalty (SGD) or decoupled decay (AdamW).
        schedule: Learning rate over the run, per step; milestones are fractions of the run.
        milestones: Fractions of the run at which ``multistep`` multiplies the rate; ``step`` repeats the first.
        gamma: Factor of the rate at each milestone.
        warmup: Fraction of the run over which the rate rises linearly; of ``one_cycle`` it is 0.3 where none is given.
        augment: Random crop (padding 4) and horizontal flip; by default where images are at least 32 px.
        amp: Forward and loss in bfloat16 autocast.
        channels_last: NHWC memory format for convolutional networks.
        compile: Forward and backward passes of training through torch.compile.
        cuda_graphs: Replay these passes as CUDA graphs; on NVIDIA GPUs alone.
        evaluate_every: Epochs between evaluations; the last epoch is always evaluated.
        checkpoint_every: Epochs between checkpoints.
    """

    epochs: Annotated[int, Field(ge=1)] = 30
    batch_size: Annotated[int, Field(ge=1)] = 128
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: Annotated[float, Field(gt=0)] = 0.1
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    schedule: Literal["constant", "cosine", "step", "multistep", "one_cycle"] = "cosine"
    milestones: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1)] = (0.5, 0.75)
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    augment: bool | None = None
    amp: bool = False
    channels_last: bool = False
    compile: bool = False
    cuda_graphs: bool = False
    evaluate_every: Annotated[int, Field(ge=1)] = 1
    checkpoint_every: Annotated[int, Field(ge=1)] = 10


READ_BY = {
    "momentum": ("optimizer", frozenset({"sgd"})),
    "nesterov": ("optimizer", frozenset({"sgd"})),
    "gamma": ("schedule", frozenset({"step", "multistep"})),
    "milestones": ("schedule", frozenset({"step", "multistep"})),
}
"""Fields of `Training` that only some optimizers or schedules read -> the field that names those, and which ones."""


class Split(Strict):
    """Division of the samples: stratified by class, seeded, disjoint; the same for every trial of a cell.

    Attributes:
        validation: Fraction of the non-test samples held out for the search, in (0, 1).
        test: Fraction held out for reporting, in (0, 1), where the data set has no test set of its own.
        seed: Seed of the division, at most 2**32 - 3; as a factor, ``split.seed``, its levels are different divisions.
        limit: Use at most this many training samples, stratified (for small studies); all by default.
    """

    validation: Annotated[float, Field(gt=0, lt=1)] = 0.15
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    seed: Annotated[int, Field(ge=0, le=2**32 - 3)] = 0
    limit: Annotated[int, Field(ge=1)] | None = None


class ModelSpec(Strict):
    """A model by name, with options of its builder (for example ``widths`` of the mlp)."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str) -> str:
        check_known(model_kind(name)[0], MODELS)
        return name

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of the builder."""
        return dict(self.model_extra or {})


def _quoted(value: object) -> object:
    if isinstance(value, int):  # YAML reads 2:4 as a number in base 60
        raise ValueError('write it in quotes: "2:4"')
    return value


Structure = Annotated[str, BeforeValidator(_quoted), Field(pattern=r"^[1-9][0-9]*:[1-9][0-9]*$")]


class Layers(Strict):
    """Selection of the layers to prune, named as in the network, for example ``conv1`` or ``layer4.*``.

    Attributes:
        include: Globs of layers to prune.
        exclude: Globs of layers to leave out: dense, and not counted.
        keep_dense: Globs of layers to keep dense although they count; the others make up for them.
        first_dense: Keep the first layer dense, as by `keep_dense`.
        last_dense: Keep the last layer dense, as by `keep_dense`.
        structure: ``"N:M"`` keeps N of every M inputs, for methods that make a mask by one choice.
        at_least: Fewest weights that any layer keeps; by default a distribution that leaves a layer none is refused.
        ties: Choice among weights that score the same: ``random``, or ``index``, the first, as version 0.1 did.
    """

    include: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    exclude: tuple[str, ...] = ()
    keep_dense: tuple[str, ...] = ()
    first_dense: bool = False
    last_dense: bool = False
    structure: Structure | None = None
    at_least: Annotated[int, Field(ge=0)] | None = None
    ties: Literal["random", "index"] = "random"


class Configuration(Strict):
    """Everything that determines a result except the seed.

    Attributes:
        dataset: Data set by name, for example ``digits`` or ``parquet:PATH``.
        model: Network and its options.
        regime: Difficulty of the training data.
        method: Sparse training method, which finds and changes the mask.
        hyperparameters: Of the method; only those that differ from its defaults are kept.
        distribution: Division of the non-zeros over layers; by default the method's first; None for dense.
        sparsity: Fraction of zeros among prunable weights, in [0, 1); 0 for dense, and for dense alone.
        init: Scaling of initial weights for the first mask: ``sparse`` for the live fan-in, ``energy`` to the norm of
            the dense unit, ``dense`` none; by default what is best for the masks of the method, which is filled in.
        layers: Layers to prune; all by default, and for dense.
        ratios: Hyperparameters of the method whose scores give the distribution, of ``from:METHOD``; only those that
            differ from its defaults are kept.
        content: Digest of the samples of the data set; None of those that are named without a path, and in stores of
            version 0.1. Where it is given it is the identity of the data set, and `dataset` only its place.
        code: Digests of the code of plug-ins (reference -> digest); those that do not occur in it are left out.
    """

    dataset: DatasetName
    model: ModelSpec
    split: Split = Split()
    training: Training = Training()
    regime: Regime = Regime()
    method: MethodName = "dense"
    hyperparameters: dict[str, float] = {}
    distribution: DistributionName | None = None
    sparsity: Sparsity = 0.0
    init: Init | None = None
    layers: Layers = Layers()
    ratios: dict[str, float] = {}
    content: Digest | None = None
    code: dict[str, Digest] = {}

    @model_validator(mode="after")
    def _fits_together(self) -> Configuration:
        method = METHODS[self.method]
        if self.distribution is None and method.distributions:
            default = "uniform" if self.layers.structure else method.distributions[0]
            object.__setattr__(self, "distribution", default)
        object.__setattr__(self, "init", self.init or method.init)
        if not method.distributions and self.layers != Layers():
            raise ValueError(f"{self.method} prunes nothing, so it takes no layers")
        if reason := feasible(self.method, self.distribution, self.sparsity):
            raise ValueError(reason)
        object.__setattr__(self, "hyperparameters", _differing(self.method, self.hyperparameters))
        source = scored_source(self.distribution)
        if source is None and self.ratios:
            raise ValueError(f"ratios are of distributions from:METHOD by scores, not of {self.distribution}")
        object.__setattr__(self, "ratios", _differing(source, self.ratios) if source else {})
        object.__setattr__(self, "code", self._used_code())
        return self

    def _used_code(self) -> dict[str, str]:
        """The plug-ins that occur in this configuration, of those whose code is known."""
        text = self.model_dump_json(exclude={"code", "dataset"}) if self.code else ""
        return {name: digest for name, digest in self.code.items() if f'"{name}' in text}

    @property
    def id(self) -> str:
        """Ten hexadecimal digits: hash of what is stored, so that new options and new defaults keep old ids.

        ``layers.at_least`` 0 has the name of the default, which either trains the same or is refused.
        """
        stored = self.stored()
        if self.layers.at_least == 0:
            stored["layers"] = {name: value for name, value in stored["layers"].items() if name != "at_least"}
        return digest({name: value for name, value in stored.items() if value != {}})

    def stored(self) -> dict[str, Any]:
        """JSON-able form in which the configuration is stored, see `hsl.training.identity`."""
        given = self.model_dump(mode="json", exclude_defaults=True, exclude={"content"})
        return canonical(given | {"dataset": self.named_data}, self.method, self._value)

    @property
    def named_data(self) -> str:
        """Name of the data set, independent of its place where its content is known."""
        return content_name(self.dataset, self.content) if self.content else self.dataset

    def located(self, dataset: str, content: str | None) -> Configuration:
        """The same configuration with the place of its data set, if this is the one with that content."""
        if content is None or named_content(self.dataset) != content:
            return self
        return self.model_copy(update={"dataset": dataset, "content": content})

    def _value(self, path: str) -> Any:
        """JSON of the value at a path, defaults of the method included."""
        values = self.model_dump(mode="json")
        values["hyperparameters"] = check_hyperparameters(self.method, self.hyperparameters)
        values["ratios"] = self.all_ratios
        return value_at(values, path)

    @property
    def all_ratios(self) -> dict[str, float]:
        """All hyperparameters of the method whose scores give the distribution."""
        source = scored_source(self.distribution)
        return check_hyperparameters(source, self.ratios) if source else {}

    @classmethod
    def from_stored(cls, stored: str | Mapping[str, Any]) -> Configuration:
        """Read what `stored` has written, in this version or an earlier one, as JSON or parsed."""
        return cls.model_validate(filled(json.loads(stored) if isinstance(stored, str) else dict(stored)))

    def dense_counterpart(self, training: Training, regime: Regime) -> Configuration:
        """The dense network on the same data set and split, trained as given."""
        return Configuration(
            dataset=self.dataset,
            content=self.content,
            model=self.model,
            split=self.split,
            training=training,
            regime=regime,
            code=self.code,
        )

    def trial_id(self, seed: int) -> str:
        """Identity of this configuration trained with `seed`."""
        return f"{self.id}-{seed}"


def _differing(method: str, given: Mapping[str, float]) -> dict[str, float]:
    """Those hyperparameters of a method that differ from its defaults; ValueError if it does not take them."""
    try:
        full = check_hyperparameters(method, given)
    except MethodError as error:
        raise ValueError(str(error)) from error
    defaults = check_hyperparameters(method, {})
    return {name: value for name, value in full.items() if value != defaults[name]}


def digest(value: Any) -> str:
    """Ten hexadecimal digits that identify a JSON-able value, independent of the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()


def model_spec(value: str | dict[str, Any] | ModelSpec) -> ModelSpec:
    """A model given by name alone or with options."""
    if isinstance(value, ModelSpec):
        return value
    return ModelSpec.model_validate({"name": value} if isinstance(value, str) else value)
