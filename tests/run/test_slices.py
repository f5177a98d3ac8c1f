"""Each stage's slice of the configuration."""

from small_configs import ENDPOINT, GOOD, changed

from rosetta.config import parse_config
from rosetta.config.controls import NULLS
from rosetta.run.stages import STAGES, made_by


def test_a_slice_changes_with_its_part_of_the_configuration_only():
    names = {
        "tokenizer": "f",
        "train": "f-s",
        "train_steps": "f-s",
        "model": "f-s",
        "activations": "f-s",
        "twins": "f-s",
        "generate": "f-s",
        "image_twins": "f-s",
        "sae": "f-s",
        "seed_matches": "f-s",
    }
    recomputed = {*(f"nulls of {name}" for name in NULLS), "intervals", "sweeps"}

    def slices(content):
        config = parse_config(content)
        nulls = {f"nulls of {name}": made_by(config, "nulls", name) for name in NULLS}
        others = {
            stage: made_by(config, stage, names.get(stage, ""))
            for stage in STAGES
            if stage != "nulls"
        }
        return {**others, **nulls}

    base = slices(GOOD)
    cases = {
        "matching": ({"k": 2}, {"match", "instruments", "sae_match", "seed_matches", *recomputed}),
        "correlation": ({"max_k": 12}, {"correlate"}),
        "theory": (
            {"tau": 3.0},
            {
                "theory_simulate",
                "theory_sweep",
                "theory_exponents",
                "theory_frontiers",
                "theory_compare",
            }
            | {"theory_figures"},
        ),
        "alignment": (
            {"pooling": "max"},
            {
                "correlate",
                "contexts",
                "instruments",
                "past",
                "sae_match",
                "seed_matches",
                *recomputed,
            },
        ),
        "exclusions": (
            {"first_position": True},
            {"correlate", "instruments", "past", "sae_match", "seed_matches", *recomputed},
        ),
        "controls": ({"untrained_seeds": [5]}, {"twins", "nulls of untrained", "emergence"}),
        "intervals": ({"n_blocks": 4}, {"intervals", "past", "sae_match"}),
        "sweeps": ({"budgets": True}, {"sweeps", "control_figures"}),
        "activations": (
            {"sequence_length": 32},
            {"activations", "twins", "generate", "image_twins"},
        ),
        "report": ({"n_matches": 2}, {"contact_sheet"}),
        "images": ({"seed": 1}, {"images"}),
        "selectivity": ({"fold_final_norm": True}, {"vocabulary", "attribution"}),
        "specialization": (
            {"n_contexts": 10},
            {"neurons", "image_neurons", "describe", "findings"},
        ),
        "sae": ({"k": 4}, {"sae"}),
        "bootstrap": ({"seed": 1}, {"describe", "findings", "emergence", "sae_tables"}),
        "attribution": ({"n_random": 500}, {"attribution"}),
        "ablation": ({"ladder": "fg"}, {"ablate", "ablation_tables"}),
        "viewer": ({"n_neurons": 10}, {"contexts", "image_excerpts"}),
        "annotation": (ENDPOINT, {"annotate"}),
        "judge": (ENDPOINT, {"judge"}),
        "corpus": ({"seed": 1}, {"corpus"}),
        "ladders": (
            {"gf": [["g-s", "f-s"]]},
            {
                "counts",
                "control_tables",
                "instrument_tables",
                "sae_tables",
                "describe",
                "findings",
                "attribution_tables",
                "viewer",
                "theory_beta",
                "theory_compare",
                "theory_figures",
            },
        ),
        "instruments": ({"soft_price": 0.1}, {"instruments"}),
        "results": ("elsewhere", set()),
    }
    for key, (value, expected) in cases.items():
        new = slices(changed(**{key: value}))
        assert {stage for stage in base if new[stage] != base[stage]} == expected | {"report"}, key
    asked = slices(changed(annotation=ENDPOINT))
    same = slices(changed(annotation={**ENDPOINT, "timeout": 5.0, "n_parallel": 1}))
    assert {stage for stage in base if same[stage] != asked[stage]} == {"report"}, (
        "how the endpoint is reached"
    )
    how = {"timeout": 5.0, "price_per_call": 0.1, "max_cost": 99.0}
    second = {**ENDPOINT, "model": "n", "price_per_call": 0.1}
    asked = slices(changed(judge={**ENDPOINT, "second": {**ENDPOINT, "model": "n"}}))
    same = slices(changed(judge={**ENDPOINT, **how, "second": {**second, "n_parallel": 1}}))
    assert {stage for stage in base if same[stage] != asked[stage]} == {"report"}, "nor its cost"
    other = slices(changed(judge={**ENDPOINT, "second": {**second, "temperature": 1.0}}))
    assert {stage for stage in base if other[stage] != asked[stage]} == {"judge", "report"}
    more = slices(changed(theory={"simulation": {"betas": [1.7]}, "sweep": {"kappa": [2.0]}}))
    expected = {"theory_frontiers", "report"}
    assert {stage for stage in base if more[stage] != base[stage]} == expected, (
        "finished simulations are kept"
    )
    same = slices(changed(dask={"n_workers": 2, "threads_per_worker": 4}))
    assert {stage for stage in base if same[stage] != base[stage]} == {"report"}, (
        "how the work is cut"
    )
    less = slices(changed(correlation={"memory_gb": 1.0}))
    changes = {stage for stage in base if less[stage] != base[stage]}
    expected = {"intervals", "instruments", "sae_match", "report"}
    assert changes == expected, "which neurons half-samples match, and which pairs are compared"
    ways = ["mutual_nearest", "soft"]
    more = slices(changed(matching={"instruments": ways}))
    expected = {"instruments", "instrument_tables", "report"}
    assert {stage for stage in base if more[stage] != base[stage]} == expected
    other = slices(changed(instruments={"null_quantile": 0.9}))
    expected = {"instrument_tables", "report"}
    assert {stage for stage in base if other[stage] != base[stage]} == expected
