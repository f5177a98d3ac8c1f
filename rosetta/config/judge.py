"""The section `judge`: who is asked which neurons are monosemantic, and what that may cost."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from rosetta.config.base import Distinct, Seed
from rosetta.config.endpoints import ChatEndpoint

TopK = Annotated[int, Field(ge=2, le=50)]


class JudgeEndpoint(ChatEndpoint):
    """A judge's endpoint, which takes images if neurons of models that see images are judged."""

    price_per_call: float | None = Field(
        None, ge=0, description="what one call costs, in any currency; null: not known"
    )


class SecondJudge(JudgeEndpoint):
    """Another judge, asked the same questions to see whether both agree."""

    key: ClassVar[str] = "judge.second"


class Judge(JudgeEndpoint):
    """A model that is asked whether neurons are monosemantic, behind an OpenAI-compatible endpoint
    (method, section 8).
    """

    key: ClassVar[str] = "judge"
    models: Distinct[str] | None = Field(
        None, description="models whose neurons are judged; null: all that ladders name"
    )
    top_k: TopK = Field(
        20,
        description="images on which a neuron is most active, or contexts of text, that the judge "
        "sees",
    )
    top_k_sweep: Distinct[TopK] = Field(
        [], description="other numbers of them, for which the same neurons are judged again"
    )
    context_bytes: int = Field(200, ge=8, description="text on each side of the token")
    n_trials: int = Field(5, ge=2, le=1000, description="disjoint draws of neurons, per model")
    n_per_trial: int = Field(
        100, ge=1, description="Rosetta Neurons in a draw, and as many other neurons"
    )
    layer_matched: bool = Field(
        True,
        description="the other neurons of a draw are of the same layers as its Rosetta Neurons; "
        "false: of any layer, as in the study",
    )
    n_validated: int = Field(
        0,
        ge=0,
        description="neurons of any kind per draw on which it is tested whether the judge is "
        "right, models that see images only; 0: no test; the study: 100",
    )
    seed: Seed = Field(0, description="seed of the draws")
    max_cost: float | None = Field(
        None,
        ge=0,
        description="the judge does not start if its calls may cost more; needs `price_per_call`; "
        "null: no limit",
    )
    second: SecondJudge | None = Field(None, description="null: there is one judge")

    @property
    def all_top_k(self) -> list[int]:
        """All numbers of images or contexts for which neurons are judged, the main one first."""
        return list(dict.fromkeys([self.top_k, *self.top_k_sweep]))


def judged_stores(config: Any) -> list[str]:
    """Return the names of the stores whose neurons a `rosetta.config.root.Config` has judged.

    They are in the order of their models. A model of images that is compared on several sets of
    images has neurons to judge on each.
    """
    models = config.judge.models or config.used_models()
    return [store for model in models for store in config.stores_of_model(model)]


def judge_problems(config: Any) -> list[str]:
    """Return what is wrong with the section in a `rosetta.config.root.Config`, valid otherwise."""
    judge: Judge | None = config.judge
    if judge is None:
        return []
    used = config.used_models()
    unknown = [name for name in judge.models or [] if name not in used]
    if unknown:
        return [
            f"judge.models: {name!r} is in no ladder; name some of {', '.join(used)}"
            for name in unknown
        ]
    modalities = set(map(config.modality_of, judge.models or used))
    return [
        *_price_problems(judge),
        *_shown_problems(config, judge),
        *_name_problems(judge),
        *(_validation_problems(judge) if "images" not in modalities else []),
    ]


def _price_problems(judge: Judge) -> list[str]:
    if judge.max_cost is None:
        return []
    asked = [judge, *([judge.second] if judge.second else [])]
    return [
        f"judge.max_cost: says nothing without {one.key}.price_per_call; add that, or remove it"
        for one in asked
        if one.price_per_call is None
    ]


def _shown_problems(config: Any, judge: Judge) -> list[str]:
    found, most = config.specialization.n_contexts, max(judge.all_top_k)
    if most <= found:
        return []
    key = "judge.top_k" if most == judge.top_k else "judge.top_k_sweep"
    return [
        f"{key}: {most} is above specialization.n_contexts ({found}), the images or contexts that "
        "are found of a neuron; lower it, or raise that"
    ]


def _name_problems(judge: Judge) -> list[str]:
    if judge.second is None or judge.second.model != judge.model:
        return []
    return [
        f"judge.second.model: {judge.model!r} is the first judge's too, so that their verdicts "
        "could not be told apart; name another model"
    ]


def _validation_problems(judge: Judge) -> list[str]:
    if not judge.n_validated:
        return []
    return [
        f"judge.n_validated: no judged model sees images, and texts are not predicted; set it to 0 "
        f"(got {judge.n_validated})"
    ]
