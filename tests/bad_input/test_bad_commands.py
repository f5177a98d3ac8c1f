"""Commands with wrong options, missing files, or files of another kind: one message names the
option or the file.
"""

import shutil

import pandas as pd
import pytest
import yaml
from commands import assert_rejected, run_here, tree
from workflow_runs import TINY

RUN, STORES, EXCHANGE = "--config run.yaml", "--a sim/a --b sim/b", "--exchange-seed 0 --documents"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A configuration, stores, neighbour lists and matches, tables, and files of other kinds."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "run.yaml").write_text(yaml.safe_dump({**TINY, "results": "results"}))
    (folder / "file").write_text("hello")
    (folder / "folder").mkdir()
    tables = {
        "good": "ladder,n_neurons,matches\nx,10,2\nx,20,3\n",
        "other": "a,b\n1,2\n",
        "empty": "",
        "twice": "a,a\n1,2\n",
        "head": "ladder,n_neurons,matches\n",
        "words": "ladder,n_neurons,matches\nx,10,2\nx,abc,3\n",
        "below": "ladder,n_neurons,matches\nx,-5,2\n",
        "endless": "ladder,n_neurons,matches\nx,inf,2\n",
        "hole": "ladder,n_neurons,matches\nx,,2\n",
        "nothing": "ladder,n_neurons,matches\nx,0,2\nx,20,3\n",
        "unnamed": "ladder,n_neurons,matches,statistic\nx,10,2,plain\nx,20,3,\n",
        "both": "ladder,n_neurons,matches,above_documents,statistic\nx,10,2,1,a\nx,20,3,1,a\n",
        "kinds": "ladder,rung,models,families,n_neurons,matches,statistic\n"
        "x,0,a--b,a--b,10,2,plain\nx,1,c--d,a--b,20,3,plain\n",
        "nulls": "ladder,n_neurons,matches,control\nx,10,2,documents\nx,20,3,permutation\n",
        "ragged": "a,b\n1,2,3\n4,5,6,7\n",
    }
    for name, content in tables.items():
        (folder / f"{name}.csv").write_text(content)
    (folder / "binary.csv").write_bytes(bytes(range(256)) * 20)
    (folder / "not.parquet").write_text("hello")
    (folder / "dict.json").write_text("{}")
    pd.DataFrame({"a": [1]}).to_parquet(folder / "other.parquet")
    documents = pd.DataFrame({"id": range(9), "domain": "x", "source": list("abcdefghi")})
    for name, table in {
        "d": documents,
        "few": documents.head(8),
        "names": documents.astype({"id": str}),
        "holes": documents.assign(domain=["x", *[None] * 8]),
        "alone": documents.assign(domain=documents["source"]),
    }.items():
        table.to_parquet(folder / f"{name}.parquet")
    simulate = "simulate-stores --out sim --ratio 2 --layers 1 --d-mlp 8 --shared 4 --documents 9"
    correlate = f"correlate {STORES} --out lists.parquet"
    for command in (simulate, correlate, "match lists.parquet --out m.parquet"):
        assert run_here(*command.split(), folder=folder).code == 0
    return folder


@pytest.fixture
def folder(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "work")
    return tmp_path / "work"


BAD = [
    # no such command, option, value
    ("nonsense", "No such command 'nonsense'"),
    ("plan --bogus 1", "No such option: --bogus"),
    ("corpus", "Missing option '--config'"),
    ("anchors --out x", "Missing argument 'matches'"),
    (f"activations {RUN} --model pythia-s --shard x", "'--shard': .*integer"),
    (f"activations {RUN} --model pythia-s --shard 9", r"--shard: 9 is not among the 2 shards"),
    (f"activations {RUN} --model none --shard 0", "models: has no 'none'; it has .*pythia-s"),
    (f"tokenizer {RUN} --family none", r"zoo\.families: has no 'none'; it has"),
    (
        f"nulls {RUN} --control none --pair pythia-s--opt-s",
        "--control: 'none' is not .* permutation, documents, untr",
    ),
    (
        f"nulls {RUN} --control permutation --pair none",
        "--pair: 'none' is not .* there are pythia-s--opt-s",
    ),
    (f"intervals {RUN} --pair a--b--c", "--pair: 'a--b--c' is not a pair of the run"),
    (f"sweeps {RUN} --pair ../../etc--x", r"--pair: '\.\./\.\./etc--x' is not a pair of the run"),
    (f"contexts {RUN} --group none", "--group: 'none' is not a rung of a ladder"),
    (f"filtering score {RUN} --shard 99", "--shard: 99 is not among the 2 shards"),
    (
        f"filtering pretrain {RUN} --filter none --seed 0",
        "--filter, --seed: .* has no training none-0",
    ),
    (f"attribution {RUN} --pair none", "--pair: 'none' is not a pair of the run"),
    (f"ablation group {RUN} --group none", "--group: 'none' is no rung that `ablation` asks for"),
    (f"annotate {RUN}", r"annotation: is not configured\. Give base_url"),
    ("plan --configfile run.yaml --tflops -1", "'--tflops': .*greater than"),
    ("plan --configfile run.yaml --tflops nan", "'--tflops': .*greater than"),
    ("plan --configfile run.yaml --devices 0", "'--devices': .*greater than"),
    (
        f"correlate {STORES} --out o --pooling sum",
        r"--pooling: input should be 'mean', 'max' or 'median'",
    ),
    (f"correlate {STORES} --out o --memory-gb nan", "--memory-gb: input should be a finite number"),
    (f"correlate {STORES} --out o --memory-gb 0.001", r"memory_gb: 0\.001 is too little; at least"),
    (f"correlate {STORES} --out o --max-k 0", "--max-k: input should be greater"),
    (f"correlate {STORES} --out o --n-workers 0", "'--n-workers': .*greater"),
    (f"correlate {STORES} --out o --threads 0", "'--threads': .*greater"),
    (f"correlate {STORES} --out o --job 5", "--job: 5 is not among the 1 jobs"),
    (f"correlate {STORES} --out o --scheduler http://x", "--scheduler: .*got 'http://x'"),
    (f"correlate {STORES} --out o --screening [1]", r"--screening: not a JSON object: \[1\]"),
    (f'correlate {STORES} --out o --screening {{"a":1}}', "--screening: a: unknown key"),
    (
        f'correlate {STORES} --out o --exclusions {{"max_norm":0}}',
        "--exclusions: max_norm: .*greater than 1",
    ),
    (
        f"correlate {STORES} --out o {EXCHANGE} good.csv",
        r"good\.csv: not a readable Parquet table .* Give one",
    ),
    (f"correlate {STORES} --out o --exchange-seed 0", "--exchange-seed, --documents: give both"),
    (
        f"correlate {STORES} --out o --documents d.parquet",
        "--exchange-seed, --documents: give both",
    ),
    (
        f"correlate {STORES} --out o --permute-seed 0 {EXCHANGE} d.parquet",
        "--permute-seed, --exchange-seed: give one",
    ),
    (
        f"correlate {STORES} --out o --method screened {EXCHANGE} d.parquet",
        "sketches take no exchange",
    ),
    (f"correlate {STORES} --out o {EXCHANGE} none.parquet", r"none\.parquet: no such file"),
    (
        f"correlate {STORES} --out o {EXCHANGE} other.parquet",
        r"other\.parquet: lacks the columns \['id', 'domain'",
    ),
    (
        f"correlate {STORES} --out o {EXCHANGE} few.parquet",
        r"few\.parquet: has no document 0{15}8, which the stores",
    ),
    (
        f"correlate {STORES} --out o {EXCHANGE} names.parquet",
        r"names\.parquet: id: not whole numbers throughout",
    ),
    (
        f"correlate {STORES} --out o {EXCHANGE} holes.parquet",
        r"holes\.parquet: domain: not text throughout",
    ),
    (
        f"correlate {STORES} --out o {EXCHANGE} alone.parquet",
        "no sample has another one of its label",
    ),
    (f"match {STORES} --out o --k 0", "'--k': .*greater"),
    (f"match {STORES} --out o --k 5000000000000", "'--k': .*less than or equal to 1000"),
    ("match lists.parquet --out o --k 99", "--k: 99 is not between 1 and 10"),
    ("match lists.parquet --out o --null x", "--null: 'x' is not NAME=FILE"),
    (f"match lists.parquet {STORES} --out o", "give either"),
    ("match --a sim/a --out o", "give either"),
    ("simulate-stores --out s --ratio nan", "--ratio: nan .*finite and above 0"),
    ("simulate-stores --out s --ratio 1 --documents 1", r"--shards: 2 is above --documents \(1\)"),
    (f"theory simulate {RUN} --out t.csv --beta 1", "--beta: must be a number above 1"),
    (
        f"theory sweep {RUN} --out t.csv --parameter none --value 1",
        "--parameter: 'none' is not kappa, gamma or",
    ),
    (
        f"theory sweep {RUN} --out t.csv --parameter kappa --value 1000",
        r"theory\.kappa: at 1000, .*lower it",
    ),
    (
        f"theory sweep {RUN} --out t.csv --parameter n_inputs --value 10.5",
        r"n_inputs: input should be a valid integer",
    ),
    ("theory predict --to-size nan", "'--to-size': .*greater than"),
    # nothing there
    ("check --configfile none.yaml", r"none\.yaml: cannot read the configuration"),
    ("plan --configfile folder", "folder: cannot read the configuration .*directory"),
    ("status none", r"none: no such folder. Name the results folder"),
    (f"train {RUN} --model pythia-s", r"results/tokenizers/pythia\.json: no such file"),
    (f"model {RUN} --model pythia-s", r"results/models/pythia-s is not a folder"),
    (f"vocabulary {RUN} --model pythia-s", r"results/models/pythia-s\.json: no such file. Make it"),
    (
        f"neurons {RUN} --model pythia-s",
        "results/activations/pythia-s/2-shards: holds no store manifest",
    ),
    (f"counts {RUN}", r"results/models/pythia-s\.json: no such file. Make it"),
    (f"viewer {RUN}", r"results/excerpts/pythia-s--opt-s\.json: no such file"),
    (f"report {RUN}", r"results/models/pythia-s\.json: no such file"),
    (f"filtering select {RUN}", r"results/filtering/sums/pool\.json: no such file"),
    (f"theory beta {RUN} --out b.csv", r"results/tables/theory_ngrams\.csv: no such file"),
    ("fit none.csv", r"none\.csv: no such file"),
    ("match --a none --b none --out o", "none: holds no store manifest"),
    ("match --a none --b none --out o --min-r 0.5", "--min-r: is what screening certifies"),
    ("match none.parquet --out o", r"none\.parquet: no such file"),
    # files of another kind
    ("check --configfile good.csv", r"good\.csv: expected a mapping of settings, got str"),
    ("status file", r"file: is a file, not the results folder of a run"),
    ("store check folder", "folder: holds no store manifest"),
    ("store check good.csv", r"good\.csv: damaged manifest"),
    ("store check other.parquet", r"other\.parquet: damaged manifest"),
    ("correlate --a file --b sim/b --out o", "file: holds no store manifest"),
    ("correlate --a sim --b sim/b --out o", "sim: holds no store manifest"),
    (
        "match other.parquet --out o",
        r"other\.parquet: holds no neighbour lists. Give what `rosetta correlate` wrote",
    ),
    ("match not.parquet --out o", r"not\.parquet: not a readable Parquet table"),
    ("match neighbors* --out o", r"neighbors\*: no file has a name of this pattern"),
    ("anchors m-[0-9].parquet --out o", r"m-\[0-9\]\.parquet: no file has a name of this pattern"),
    (
        "match lists.parquet lists.parquet --out o",
        r"lists\.parquet: parts \[0, 0\] are given, .* Give each part once",
    ),
    (
        "match lists.parquet --null permutation=other.parquet --out o",
        r"lacks the columns \['r'\]; it has \['a'\]",
    ),
    (
        "match lists.parquet --intervals good.csv --out o",
        r"good\.csv: not a readable Parquet table",
    ),
    ("anchors lists.parquet --out o", r"lists\.parquet: lacks the columns \['model_a'"),
    ("import-buddies none.json --a x --b y --out o", r"none\.json: no such file"),
    ("import-buddies file --a x --b y --out o", r"file: not a list of best buddies \(invalid JSON"),
    (
        "import-buddies dict.json --a x --b y --out o",
        r"dict\.json: not a list .*Give the best_buddies\.json",
    ),
    (
        "import-buddies not.parquet --a x --b x --out o",
        "--b: x is the name of model 1, too. Give models different",
    ),
    ("import-buddies file --a x--y --b y --out o", "--a: names are letters, digits"),
    ("import-buddies file --a x --b y --out o --k 0", "'--k': .*greater"),
    ("import-buddies file --a x --b y --out file/o", "--out: file/o .*nothing can be written"),
    ("export lists.parquet --out o", r"lists\.parquet: lacks the columns \['model_a'"),
    ("export none.parquet --out o", r"none\.parquet: no such file"),
    (
        "anchors m.parquet m.parquet --out o",
        "the tables compare with planted-b, planted-b; give .* once",
    ),
    ("fit m.parquet", r"m\.parquet: not a readable CSV table"),
    ("fit folder", "folder: not a readable CSV table .*directory"),
    ("fit empty.csv", r"empty\.csv: not a readable CSV table"),
    ("fit ragged.csv", r"ragged\.csv: not a readable CSV table"),
    ("fit binary.csv", r"binary\.csv: not a readable CSV table"),
    ("fit head.csv", r"head\.csv: holds no row"),
    (
        "fit other.csv",
        r"other\.csv: lacks the columns \['ladder', 'n_neurons', 'matches'\]; it has \['a', 'b'\]",
    ),
    ("fit words.csv", r"words\.csv: n_neurons in row 2 is 'abc', not a number"),
    ("fit below.csv", r"below\.csv: n_neurons in row 1 is '-5', not a number ≥ 0"),
    ("fit endless.csv", r"endless\.csv: n_neurons in row 1 is 'inf', not a number"),
    ("fit hole.csv", r"hole\.csv: n_neurons in row 1 is 'nan', not a number"),
    ("fit nothing.csv", r"nothing\.csv: n_neurons is 0 in some row"),
    ("fit unnamed.csv", r"unnamed\.csv: statistic in row 2 is empty"),
    ("fit both.csv", r"both\.csv: its rows name a statistic, and above_documents is one in a col"),
    ("fit nulls.csv", r"nulls\.csv: its rows differ in control, and a law is of one"),
    ("fit kinds.csv --rungs r.csv", r"kinds\.csv: its rows name a statistic, of which there are"),
    ("fit good.csv --replicates other.csv", r"other\.csv: lacks the columns"),
    (
        "theory predict --to-size 10 --betas good.csv --counts good.csv",
        r"good\.csv: lacks the columns \['route'",
    ),
    (
        "theory sweep-table other.csv --out x.csv --exponents y.csv",
        r"other\.csv: lacks the columns \['parameter'",
    ),
    # places where nothing can be written
    (
        "fit good.csv --out file/x.csv",
        "--out: file/x.csv is a folder, or nothing can be written in .*file",
    ),
    ("fit good.csv --out folder", "--out: folder is a folder"),
    ("match lists.parquet --out .", r"--out: \. is a folder"),
    (f"correlate {STORES} --out file/o", "--out: file/o .*nothing can be written"),
    ("check --configfile run.yaml --out file/x.yaml", "--out: file/x.yaml"),
    (
        "simulate-stores --out file --ratio 1 --shared 4",
        "file/a/.*: Not a directory. Check the path",
    ),
]


@pytest.mark.parametrize(("command", "message"), BAD, ids=[command for command, _ in BAD])
def test_a_bad_command_gets_one_message_and_changes_nothing(folder, command, message):
    before = tree(folder)
    assert_rejected(run_here(*command.split(), folder=folder), message)
    after = tree(folder)
    assert {path: after.get(path) for path in before} == before
    assert not [path for path in after.keys() - before.keys() if after[path] is not None], (
        "no file is left"
    )
