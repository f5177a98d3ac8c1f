"""The steps that ask a model what neurons respond to, and whether they are monosemantic."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd

from rosetta.activations.captured import read_held
from rosetta.analysis.image_tables import read_image_table
from rosetta.config import Config, Judge, group_name
from rosetta.config.image_stores import has_factors
from rosetta.config.judge import JudgeEndpoint, judged_stores
from rosetta.config.names import model_of_store
from rosetta.errors import ConfigError
from rosetta.judging.agreement import exact_agreement, judges_agreement
from rosetta.judging.annotate import annotate_neurons
from rosetta.judging.budget import Calls, Purse, check_cost
from rosetta.judging.candidates import candidates_of
from rosetta.judging.endpoint import Endpoint
from rosetta.judging.exhibits import Exhibit
from rosetta.judging.prompt import annotation_messages
from rosetta.judging.questions import Prediction, Verdict
from rosetta.judging.replies import Inquiry
from rosetta.judging.run_exhibits import contexts_of, image_exhibits, read_texts, text_exhibits
from rosetta.judging.trials import StoreTrials, draw_store
from rosetta.judging.validation import Validation, validate_judge, validation_scores
from rosetta.judging.verdicts import judge_neurons, monosemantic_fractions
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.storage.digests import read_bytes
from rosetta.storage.tables import write_csv, write_parquet


def annotate_step(config: Config, paths: Paths) -> None:
    """Annotate the best Rosetta Neurons of every group, and their partners."""
    settings = config.annotation
    if settings is None:
        raise ConfigError("annotation: is not configured. Give base_url and model.")
    endpoint = Endpoint(settings)
    texts = read_texts(config, paths)
    questions = {}
    for name, neurons in _neurons(config, paths).groupby("model", sort=False):
        model = str(name)
        for neuron, contexts in contexts_of(paths, model, neurons).items():
            shown = contexts.head(settings.n_contexts)
            messages = annotation_messages(shown, texts, settings.context_bytes)
            questions[model, neuron.layer, neuron.unit] = messages
    found = annotate_neurons(questions, endpoint.ask, paths.answers, settings)
    say(f"annotations: {found['status'].value_counts().to_dict()}")
    write_parquet(paths.annotations, found, {"model": settings.model})


def _neurons(config: Config, paths: Paths) -> pd.DataFrame:
    """Return the neurons to annotate: those of the Rosetta Neurons that the viewer shows first,
    each once.
    """
    assert config.annotation is not None
    rows = []
    for group in config.groups("text"):
        shown = json.loads(read_bytes(paths.excerpts(group_name(group))))
        for neuron in shown["neurons"][: config.annotation.n_neurons]:
            rows += [
                (model, p["layer"], p["unit"])
                for model, p in zip(group, neuron["partners"], strict=True)
            ]
    return pd.DataFrame(rows, columns=["model", "layer", "unit"]).drop_duplicates()


def judge_step(config: Config, paths: Paths) -> None:
    """Ask a judge whether Rosetta Neurons and others are monosemantic, and whether it is right.

    Raises
    ------
    ConfigError
        If no judge is configured, a key is missing, or the calls cost more than is allowed.
    EndpointError
        If the endpoint fails; the replies before are kept.
    """
    settings = config.judge
    if settings is None:
        raise ConfigError("judge: is not configured. Give base_url and model.")
    first, *others = _judges(settings, paths)
    predicting = Inquiry(first.ask, settings, first.answers, Prediction, True, verb="validated")
    drawn = _draw(config, paths, settings)
    _check_calls(drawn, settings)
    on_images = image_exhibits(config, paths, drawn)
    exhibits: dict[str, Exhibit] = {**on_images, **text_exhibits(config, paths, drawn)}
    trials = pd.concat([one.judged.trials for one in drawn], ignore_index=True)
    verdicts = [judge_neurons(trials, exhibits, first, top_k) for top_k in settings.all_top_k]
    second = [judge_neurons(trials, exhibits, other, settings.top_k) for other in others]
    tested = pd.concat([one.validated.trials for one in drawn], ignore_index=True)
    predictions = validate_judge(tested, on_images, Validation(first, predicting, settings.top_k))
    whole = pd.concat([*verdicts, *second], ignore_index=True)
    tables = {
        "judge": monosemantic_fractions(whole),
        "judge_trials": pd.DataFrame([one.facts for one in drawn]),
        "judge_validation": validation_scores(predictions),
        "judge_agreement": _agreement(verdicts[0], second, _explained(config, paths)),
    }
    for name, table in tables.items():
        write_csv(paths.table(name), table)
    write_parquet(paths.predictions, predictions, {"model": settings.model})
    write_parquet(paths.verdicts, whole, {"model": settings.model})


def _judges(settings: Judge, paths: Paths) -> list[Inquiry[Verdict]]:
    """Return how the judge is asked, and the second one if there is one; one purse pays both."""
    purse = Purse(settings.max_cost)

    def judge(of: JudgeEndpoint) -> Inquiry[Verdict]:
        ask = purse.paying(Endpoint(of).ask, of.price_per_call)
        return Inquiry(ask, of, paths.judge_replies, Verdict, enforced=True, verb="judged")

    return [judge(settings), *([judge(settings.second)] if settings.second else [])]


def _draw(config: Config, paths: Paths, settings: Judge) -> list[StoreTrials]:
    """Draw the neurons of all stores that are judged."""
    drawn = []
    for store in judged_stores(config):
        n_images = None
        if config.modality_of(store) == "images":
            n_images = read_held(paths.captured(model_of_store(store)), store).n_images
        drawn.append(draw_store(candidates_of(config, paths, store), settings, n_images))
    return drawn


def _check_calls(drawn: Sequence[StoreTrials], settings: Judge) -> None:
    """Tell what is asked and what that costs, and check that it may cost so much."""
    n_judged = sum(len(one.judged.trials) for one in drawn)
    n_validated = sum(len(one.validated.trials) for one in drawn)
    second = n_judged if settings.second else 0
    calls = Calls(n_judged * len(settings.all_top_k), 2 * n_validated, second)
    for note in [note for one in drawn for note in one.notes]:
        say(f"judge: {note}")
    say(f"judge: {calls.told(settings)}")
    check_cost(settings, calls)


def _agreement(
    verdicts: pd.DataFrame, second: Sequence[pd.DataFrame], explained: pd.DataFrame
) -> pd.DataFrame:
    """Return how far the judge agrees with a second one, and with the exact judge."""
    parts = [judges_agreement(verdicts, other) for other in second]
    parts.append(exact_agreement(verdicts, explained))
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)


def _explained(config: Config, paths: Paths) -> pd.DataFrame:
    """Return which neurons the exact judge explains, of all judged stores of drawn images."""
    stores = [store for store in judged_stores(config) if config.modality_of(store) == "images"]
    parts = [
        read_image_table(paths, "factors", store).assign(store=store)
        for store in stores
        if has_factors(config, store)
    ]
    empty = pd.DataFrame(columns=["store", "layer", "unit", "is_explained"])
    return pd.concat(parts, ignore_index=True)[list(empty)] if parts else empty
