"""Drawing sequences: what they are, how they are shared among domains, and that the draw depends on
nothing else.
"""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
import yaml
import zstandard
from helpers import save_tiny_model
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from transformers import AutoTokenizer

import rosetta.analysis
from rosetta.config import Sampling, parse_config
from rosetta.errors import ConfigError, CorpusError
from rosetta.inputs.text.build import build_corpus, read_split
from rosetta.inputs.text.documents import Document
from rosetta.inputs.text.sampling import draw_sequences
from rosetta.inputs.text.size import CorpusSize, sampled_size
from rosetta.inputs.text.steps import corpus_step
from rosetta.plan.checks import check_config
from rosetta.plan.sweep import plan_run
from rosetta.run.paths import Paths
from rosetta.run.stages import made_by
from rosetta.storage.digests import hash64
from rosetta.storage.manifests import read_manifest

CATEGORIES = f"{rosetta.analysis.__path__[0]}/pile_categories.yaml"
# As `meta.pile_set_name` of the original files has them (Gao et al. 2020, Table 1, with the names
# of the release).
PILE = [
    "Pile-CC",
    "PubMed Central",
    "Books3",
    "OpenWebText2",
    "ArXiv",
    "Github",
    "FreeLaw",
    "StackExchange",
    "USPTO Backgrounds",
    "PubMed Abstracts",
    "Gutenberg (PG-19)",
    "OpenSubtitles",
    "Wikipedia (en)",
    "DM Mathematics",
    "Ubuntu IRC",
    "BookCorpus2",
    "EuroParl",
    "HackerNews",
    "YoutubeSubtitles",
    "PhilPapers",
    "NIH ExPorter",
    "Enron Emails",
]


def documents_of(texts, domains=None):
    domains = domains or [""] * len(texts)
    return [
        Document(hash64(t), t, d, f"source of {hash64(t)}")
        for t, d in zip(texts, domains, strict=True)
    ]


def some_documents(rng, n, low=20, high=400, domains=("a",)):
    texts = [
        f"{i} " + "".join(rng.choice(list("abcdé東🙂 \n"), size=rng.integers(low, high)))
        for i in range(n)
    ]
    return documents_of(texts, [domains[i % len(domains)] for i in range(n)])


def size(text):
    return len(text.encode("utf-8"))


@given(
    texts=st.lists(
        st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80),
        min_size=1,
        unique=True,
    ),
    width=st.integers(16, 60),
)
def test_all_windows_rebuild_every_document(texts, width):
    """As whole windows and a rest: no byte is in two, none is lost, no character is cut."""
    documents = documents_of(texts)
    sample = draw_sequences(documents, Sampling(window_bytes=width, windows="all", short="keep"))
    for document in documents:
        pieces = [window for window in sample.documents if window.source == document.source]
        assert all(
            piece.text in document.text and size(piece.text) <= width + 3 for piece in pieces
        )
        lost = size(document.text) - sum(size(piece.text) for piece in pieces)
        assert lost >= 0
        if not sample.counts["duplicate"]:
            assert lost == 0
            assert len(pieces) == -(-size(document.text) // width)
    assert [piece.id for piece in sample.documents] == [
        hash64(piece.text) for piece in sample.documents
    ]
    assert (
        len({piece.id for piece in sample.documents})
        == len(sample.documents)
        == sample.counts["drawn"]
    )


@pytest.mark.parametrize("windows", ["first", "random", "all"])
def test_short_documents_and_ends_are_skipped(windows):
    documents = some_documents(np.random.default_rng(0), 60)
    sample = draw_sequences(documents, Sampling(window_bytes=200, windows=windows))
    text_of = {document.source: document.text for document in documents}
    expected = {
        d.source: size(d.text) // 200 if windows == "all" else min(size(d.text) // 200, 1)
        for d in documents
    }
    drawn = pd.Series([window.source for window in sample.documents]).value_counts().to_dict()
    assert drawn == {source: n for source, n in expected.items() if n}
    for window in sample.documents:
        assert 200 - 3 <= size(window.text) <= 200 + 3
        assert window.text in text_of[window.source]
        assert windows != "first" or text_of[window.source].startswith(window.text)


def test_a_random_window_may_lie_anywhere():
    text = "".join(chr(0x100 + i) for i in range(300))  # every place is told by its character
    starts = []
    for seed in range(400):
        (window,) = draw_sequences(
            documents_of([text]), Sampling(window_bytes=100, windows="random", seed=seed)
        ).documents
        starts.append(text.index(window.text))
    assert stats.kstest(np.array(starts) / 250, "uniform").pvalue > 0.01
    assert min(starts) < 10
    assert max(starts) > 240


def test_every_document_is_drawn_equally_often_and_without_replacement():
    documents = some_documents(np.random.default_rng(1), 20)
    counts = pd.Series(0, index=[document.id for document in documents])
    for seed in range(600):
        drawn = [
            d.id
            for d in draw_sequences(
                documents, Sampling(max_sequences=5, short="keep", seed=seed)
            ).documents
        ]
        assert len(set(drawn)) == 5
        counts[drawn] += 1
    assert stats.chisquare(counts).pvalue > 0.01


def test_the_draw_depends_neither_on_the_order_nor_on_how_many_are_drawn():
    documents = some_documents(np.random.default_rng(2), 50, domains=("a", "b", "c"))
    few, many = (
        Sampling(max_sequences=n, window_bytes=64, windows="all", shares="equal") for n in (9, 30)
    )
    sample = draw_sequences(documents, many)
    assert set(draw_sequences(documents[::-1], many).documents) == set(sample.documents)
    assert set(draw_sequences(documents, few).documents) < set(sample.documents)
    assert set(draw_sequences(documents, many.model_copy(update={"seed": 1})).documents) != set(
        sample.documents
    )


def test_shares_of_domains():
    rng = np.random.default_rng(3)
    documents = some_documents(rng, 400, domains=("a", "a", "a", "b"))
    documents += documents_of([f"rare {i} " + "x" * 80 for i in range(3)], ["c"] * 3)

    def domains(**settings):
        sample = draw_sequences(documents, Sampling(short="keep", **settings))
        return sample, pd.Series(
            [document.domain for document in sample.documents]
        ).value_counts().to_dict()

    _, proportional = domains(max_sequences=100)
    assert proportional["a"] == pytest.approx(75, abs=15)
    sample, equal = domains(max_sequences=100, shares="equal")
    assert equal == {"a": 33, "b": 33, "c": 3}
    assert sample.lacking == {"c": 3}
    assert domains(shares="equal")[1] == {"a": 3, "b": 3, "c": 3}
    assert domains(max_sequences=100, shares="equal", domains=["a", "b"])[1] == {"a": 50, "b": 50}
    with pytest.raises(CorpusError, match=r"sampling\.domains: .* of 'A'\. It has 'a', 'b', 'c'"):
        domains(domains=["a", "A"])
    with pytest.raises(CorpusError, match=r"max_sequences: 2 cannot be shared among 3 domains"):
        domains(max_sequences=2, shares="equal")


def test_nothing_long_enough_is_an_error():
    documents = documents_of(["short", "short too, and of another domain"], ["a", "b"])
    with pytest.raises(CorpusError, match=r"gives a sequence .*'short': 2.*window_bytes"):
        draw_sequences(documents, Sampling(window_bytes=1000))
    with pytest.raises(
        CorpusError, match=r"gives a sequence .*'short': 2.* Lower activations.sequence_length"
    ):
        draw_sequences(documents, Sampling(tokenizer="m"), lambda text: False)
    with pytest.raises(CorpusError, match=r"change sampling.window_bytes, if it is too small"):
        draw_sequences(documents, Sampling(tokenizer="m", window_bytes=16), lambda text: False)
    with pytest.raises(CorpusError, match=r"shares: is equal, but 'a' gives no sequence"):
        draw_sequences(documents, Sampling(window_bytes=16, shares="equal"))


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        ({}, r"short: skip needs window_bytes or tokenizer"),
        ({"short": "keep", "tokenizer": "m"}, r"tokenizer: tells what is short, but short is keep"),
        ({"short": "keep", "windows": "all"}, r"windows: all needs window_bytes"),
        (
            {"tokenizer": "nobody"},
            r"corpus\.sampling\.tokenizer: no model is named 'nobody'; models has ",
        ),
        ({"tokenizer": "z"}, r"corpus\.sampling\.tokenizer: 'z' is made after the corpus"),
        ({"window_bytes": 100, "shares": "equal"}, r"need corpus\.source\.domain"),
    ],
)
def test_what_does_not_fit_together_is_rejected(sampling, message):
    with pytest.raises(ConfigError, match=message):
        config_of({"kind": "files", "path": "x"}, sampling)


def config_of(source, sampling, **more):
    zoo = {
        "families": {"f": {"architecture": "gpt2", "seed": 0}},
        "sizes": {"s": {"n_layers": 1, "d_model": 16, "d_mlp": 16, "n_heads": 1}},
        "training": {"sequence_length": 1024},
    }
    models = {"m": {"path": "m"}, "n": {"path": "n"}, "z": {"zoo": {"family": "f", "size": "s"}}}
    splits = {"train": 0.0, "match": 1.0, "pool": 0.0, "heldout": 0.0}
    corpus = {"source": source, "min_document_bytes": 1, "splits": splits, "sampling": sampling}
    return parse_config(
        {"zoo": zoo, "models": models, "ladders": {"l": [["m", "n"]]}, "corpus": corpus, **more}
    )


@pytest.fixture(scope="module")
def pile(tmp_path_factory):
    """A folder with a file like the Pile's `val.jsonl.zst`, of all its 22 subsets."""
    folder = tmp_path_factory.mktemp("pile")
    rng = np.random.default_rng(0)
    records = [
        {
            "text": f"{i} " + "".join(rng.choice(list("abcé \n"), size=int(rng.integers(50, 900)))),
            "meta": {"pile_set_name": name},
        }
        for i in range(8)
        for name in PILE
    ]
    data = "".join(json.dumps(record) + "\n" for record in records).encode()
    (folder / "val.jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(data))
    return folder


def files(folder, **more):
    return {
        "kind": "files",
        "path": str(folder / "val.jsonl.zst"),
        "domain": "meta.pile_set_name",
        **more,
    }


SAMPLING = {"window_bytes": 100, "windows": "all", "shares": "equal", "max_sequences": 110}


def test_the_categories_name_the_subsets_of_the_pile_exactly():
    with open(CATEGORIES) as file:
        assert sorted(yaml.safe_load(file)) == sorted(PILE)


def test_the_pile_is_drawn_from_alike_as_a_file_and_as_a_data_set(tmp_path, pile):
    hub = {"kind": "hub", "id": str(pile), "split": "validation", "domain": "meta.pile_set_name"}
    pile_categories = {"specialization": {"categories": "pile"}}
    tables = []
    for name, source, n_shards in (("files", files(pile), 1), ("hub", hub, 3)):
        config = config_of(source, SAMPLING, activations={"n_shards": n_shards}, **pile_categories)
        paths = Paths(tmp_path / name)
        corpus_step(config, paths)
        tables.append(read_split(paths, "match"))
        manifest = read_manifest(paths.corpus_manifest, "corpus")
        assert manifest["splits"]["match"]["domains"] == dict.fromkeys(sorted(PILE), 5)
        assert manifest["sampling"]["drawn"] == 110
    pd.testing.assert_frame_equal(*tables)


def test_unknown_subsets_are_reported(tmp_path, pile):
    records = [{"text": "of the Pile, or not", "meta": {"pile_set_name": "Pile CC"}}]
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, records)))
    source = {"kind": "files", "path": str(tmp_path / "c.jsonl"), "domain": "meta.pile_set_name"}
    config = config_of(source, None, specialization={"categories": "pile"})
    with pytest.raises(ConfigError, match=r"no category for 'Pile CC'.*It has Github, .*Pile-CC"):
        corpus_step(config, Paths(tmp_path / "r"))
    config = config_of(files(pile), {**SAMPLING, "domains": ["ArXiv", "Arxiv"]})
    with pytest.raises(
        CorpusError, match=r"sampling\.domains: .* 'Arxiv'\. It has 'ArXiv', 'BookCorpus2'"
    ):
        corpus_step(config, Paths(tmp_path / "r"))


def test_code_search_net_is_read_in_its_own_format(tmp_path):
    """Folders of gzip files, one per language and part."""
    for language in ("python", "go"):
        folder = tmp_path / language / "final" / "jsonl" / "test"
        folder.mkdir(parents=True)
        records = [
            {"code": f"func {language} {i}() " + "x" * 50, "language": language, "repo": "r"}
            for i in range(30)
        ]
        with gzip.open(folder / f"{language}_test_0.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
    source = {"kind": "files", "path": str(tmp_path), "text": "code", "domain": "language"}
    sampling = {"max_sequences": 20, "shares": "equal", "short": "keep"}
    corpus_step(config_of(source, sampling), Paths(tmp_path / "r"))
    assert read_split(Paths(tmp_path / "r"), "match")["domain"].value_counts().to_dict() == {
        "go": 10,
        "python": 10,
    }
    path = folder / "go_test_0.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CorpusError, match=r"go_test_0\.jsonl\.gz: cannot be read"):
        corpus_step(config_of(source, sampling), Paths(tmp_path / "r"))


def test_a_data_set_that_needs_its_own_script_is_rejected(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "set.py").write_text("raise SystemExit('this must never run')")
    source = {"kind": "hub", "id": str(tmp_path / "set")}
    with pytest.raises(CorpusError, match=r"corpus\.source\.id: cannot read the dataset"):
        corpus_step(config_of(source, None), Paths(tmp_path / "r"))


def test_a_tokenizer_of_the_configuration_tells_what_is_short(tmp_path, pile, texts):
    folder = save_tiny_model(tmp_path / "m", texts, "gpt2")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    models = {"m": {"path": str(folder)}, "n": {"path": str(folder)}}
    drawn = {}
    for length in (16, 300):
        config = config_of(
            files(pile), {"tokenizer": "m"}, activations={"sequence_length": length}, models=models
        )
        build_corpus_of = Paths(tmp_path / str(length))
        corpus_step(config, build_corpus_of)
        drawn[length] = set(read_split(build_corpus_of, "match")["text"])
        manifest = read_manifest(build_corpus_of.corpus_manifest, "corpus")
        assert manifest["sampling"]["drawn"] + manifest["sampling"]["short"] == 8 * len(PILE)
        assert manifest["made_by"]["sequence_length"] == length
    assert len(drawn[16]) == 8 * len(PILE)
    assert drawn[300] == {text for text in drawn[16] if len(tokenizer(text)["input_ids"]) >= 300}
    assert 0 < len(drawn[300]) < len(drawn[16])


def test_without_sampling_the_corpus_is_the_one_it_was(tmp_path, pile):
    """Its stage must not change either, or every finished run would be built again."""
    config = config_of(files(pile), None)
    assert "sampling" not in made_by(config, "corpus")["corpus"]
    build_corpus(config.corpus, Paths(tmp_path), {})
    assert len(read_split(Paths(tmp_path), "match")) == 8 * len(PILE)
    assert "sampling" not in read_manifest(Paths(tmp_path).corpus_manifest, "corpus")


@pytest.mark.parametrize("windows", ["first", "all"])
@pytest.mark.parametrize("short", ["skip", "keep"])
@pytest.mark.parametrize("limit", [None, 50])
def test_the_size_is_planned_from_above(windows, short, limit):
    documents = some_documents(np.random.default_rng(4), 300, low=150, high=400)
    sampling = Sampling(window_bytes=200, windows=windows, short=short, max_sequences=limit)
    drawn = [size(document.text) for document in draw_sequences(documents, sampling).documents]
    corpus = config_of({"kind": "files", "path": "x"}, sampling.model_dump()).corpus
    whole = CorpusSize(
        len(documents), float(np.mean([size(document.text) for document in documents]))
    )
    planned = sampled_size(whole, corpus)
    assert len(drawn) <= planned.n_documents <= 1.6 * len(drawn)
    assert sum(drawn) <= 1.02 * planned.n_bytes


def test_the_plan_knows_how_many_sequences_are_drawn(tmp_path, pile, texts):
    folder = save_tiny_model(tmp_path / "m", texts, "gpt2")
    models = {"m": {"path": str(folder)}, "n": {"path": str(folder)}}
    hub = {"kind": "hub", "id": "someone/pile", "domain": "d"}
    sampling = {"tokenizer": "m", "max_sequences": 1000}
    config = config_of(hub, sampling, models=models, activations={"sequence_length": 32})
    assert plan_run(config, Paths(tmp_path / "r"), tflops=1).positions.startswith(
        "positions: 32,000 per model"
    )
    config = config_of(
        hub, {**sampling, "max_sequences": 1}, models=models, activations={"sequence_length": 32}
    )
    with pytest.raises(
        ConfigError, match=r"n_shards: 2 is above corpus\.sampling\.max_sequences \(1\)"
    ):
        check_config(config)
