"""A viewer of planted neurons, for tests: its data, and the page in a browser."""

import base64

import numpy as np

from rosetta.report.viewer import render_viewer, viewer_data
from rosetta.report.viewer_chance import binned
from rosetta.report.viewer_numbers import NUMBERS
from rosetta.report.viewer_parts import FOLDER, INSIDE_BYTES, split_texts

EVIL = (
    "</script><script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'> "
    "&amp; ünïcode 𝄞 \u2028"
)
DOMAINS = ["code", "prose", ""]
N = 2000
# The anchor has 700 of 1,000 values in the first bin, its first partner all in the last one.
HISTOGRAM = [[700, 300] + [0] * 46, [0] * 47 + [1000], []]
WRITTEN = {"promoted": [(" barge", 0.31), ("<i>\n", 0.2)], "suppressed": [("dry", -0.25)]}
VOCABULARY_KURTOSIS = list(NUMBERS).index("excess_kurtosis")


class KnownModel:
    """Stands for what a run knows of a model's neurons: numbers that follow from layer and unit."""

    domains = DOMAINS
    n_layers = 60
    neuronpedia: str | None = None

    def describe(self, layer, unit):
        numbers = [None] * len(NUMBERS)
        numbers[VOCABULARY_KURTOSIS] = unit / 100
        return {
            "name": f"L{layer}/U{unit}",
            "numbers": numbers,
            "firing": [0.5, 0.25, 0.0],
            **WRITTEN,
        }

    def main_domains(self, neurons):
        return [unit % 2 for _, unit in neurons]


def text_of(i):
    return EVIL if i == 0 else f"text number {i} tells of the river {'ö' * (i % 3)}\n"


def encoded(values):
    return base64.b64encode(np.array(values, dtype=np.uint8).tobytes()).decode()


def group(models, n_neurons, first_layer):
    """Excerpts of two tokens a model (the last model has read only one), neurons L{first + i //
    100}/U{i}.
    """
    excerpts = [
        {
            "document": f"{i:016x}",
            "domain": DOMAINS[i % 3],
            "byte_start": 0,
            "text": text_of(i),
            "tokens": [[4, len(text_of(i).encode("utf-16-le")) // 2 - 4]] * (len(models) - 1)
            + [[4]],
        }
        for i in range(60)
    ]
    values = [encoded([128, 255])] * (len(models) - 1) + [encoded([1])]
    neurons = [
        {
            "r": 1 - i / n_neurons,
            "margin": 0.1 if i % 4 else None,
            "above": [True, i % 5 == 0],
            "partners": [
                {
                    "layer": first_layer + i // 100 + side,
                    "unit": i,
                    "r": 0.5,
                    "scale": 2.0,
                    "histogram": HISTOGRAM[side],
                }
                for side in range(len(models))
            ],
            "contexts": [
                {
                    "excerpt": (i + rank) % 60,
                    "ranks": [rank + 1] + [3 - rank] * (len(models) - 1),
                    "values": values,
                }
                for rank in range(3)
            ],
        }
        for i in range(n_neurons)
    ]
    null = {"name": "exchanged samples", "counts": binned(np.array([0.1, 0.15, 0.3]))}
    nulls = [{**null, "threshold": 0.4}, {**null, "name": "untrained twins", "threshold": None}]
    return {
        "models": models,
        "excerpts": excerpts,
        "neurons": neurons,
        "modality": "text",
        "n_rosetta": n_neurons + 7,
        "chance": [nulls] * (len(models) - 1),
    }


def planted(n=N):
    """The viewer's data of a pair and of a group of three, of n neurons in all."""
    groups = {"a--b": group(["a", "b"], n - 500, 0), "a--b--c": group(["a", "b", "c"], 500, 50)}
    groups["a--b"]["neurons"][0]["partners"][1]["match"] = {
        "r_ci_low": 0.45,
        "r_ci_high": 0.55,
        "p_permutation": 0.001,
        "p_untrained": None,
        "margin": 0.02,
    }
    models = {name: KnownModel() for name in "abc"}
    models["b"].neuronpedia = "gpt2-small"
    made = viewer_data(
        groups,
        models,
        ["above exchanged samples", "above untrained"],
    )
    about = {"name": 'rivers <b>, "wide"', "examples": ["the Oder"], "is_monosemantic": True}
    made["neurons"][3]["partners"][0]["about"] = about
    return made


def write_viewer(folder, data, inside_bytes=INSIDE_BYTES):
    """Write the page, and what lies beside it; return its path."""
    page, parts = split_texts(data, inside_bytes)
    (folder / FOLDER).mkdir()
    for number, part in enumerate(parts):
        (folder / FOLDER / f"{number}.js").write_text(part, encoding="utf-8")
    (folder / "viewer.html").write_text(render_viewer(page), encoding="utf-8")
    return folder / "viewer.html"
