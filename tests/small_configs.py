"""The content of a small configuration file, and changes to it."""

GOOD = {
    "zoo": {
        "families": {
            "f": {"architecture": "gpt2", "seed": 1},
            "g": {"architecture": "opt", "seed": 2},
        },
        "sizes": {"s": {"n_layers": 1, "d_model": 16, "d_mlp": 32, "n_heads": 2}},
    },
    "models": {
        "f-s": {"zoo": {"family": "f", "size": "s"}},
        "g-s": {"zoo": {"family": "g", "size": "s"}},
    },
    "ladders": {"fg": [["f-s", "g-s"]]},
    "activations": {"sequence_length": 64},
}
ENDPOINT = {"base_url": "http://localhost:1/v1", "model": "m", "api_key_variable": "NO_SUCH_KEY"}


def changed(**changes):
    return {**GOOD, **changes}
