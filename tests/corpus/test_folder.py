"""Text from files: every kind gives the same corpus, faults name their place, and BPE undoes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bayeslaw.corpus import build, domain, folder, hub, read_shards, synthetic, write_shards
from bayeslaw.corpus.bpe import bpe
from bayeslaw.corpus.domain import PARTS
from bayeslaw.corpus.folder import documents
from bayeslaw.errors import SweepError


def texts(seed: int, count: int = 60) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(f"w{n}" for n in rng.integers(0, 5000, 200)) for _ in range(count)]


@pytest.fixture(scope="module")
def wanted():
    return build({"a": texts(0), "b": texts(1)}, {}, min_bytes=0)


def test_lines_of_json_and_parquet_and_data_sets_are_the_same_text(wanted, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    lines, tables = tmp_path / "lines", tmp_path / "tables"
    for name, found in (("a", texts(0)), ("b", texts(1))):
        (lines / name).mkdir(parents=True)
        (lines / name / "1.jsonl").write_text(
            "".join(json.dumps({"text": t, "n": 1}) + "\n\n" for t in found[:20])
        )
        (lines / name / "2.jsonl").write_text(
            "".join(json.dumps({"text": t}) + "\n" for t in found[20:])
        )
        tables.mkdir(exist_ok=True)
        pandas.DataFrame({"body": found}).to_parquet(tables / f"{name}.parquet")
    (lines / "notes.md").write_text("not read")
    assert folder(str(lines), min_bytes=0).digest == wanted.digest
    assert folder(str(tables), column="body", min_bytes=0).digest == wanted.digest


def test_a_data_set_on_disk_gives_a_domain_for_every_value_or_split(wanted, tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = [{"text": t, "kind": k} for k, s in (("a", 0), ("b", 1)) for t in texts(s)]
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "one"))
    assert hub(str(tmp_path / "one"), by="kind", min_bytes=0).digest == wanted.digest
    parts = {k: datasets.Dataset.from_list([r for r in rows if r["kind"] == k]) for k in "ab"}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "two"))
    assert hub(str(tmp_path / "two"), min_bytes=0).digest == wanted.digest
    with pytest.raises(SweepError, match="no column 'body'; it has text, kind"):
        hub(str(tmp_path / "one"), column="body")
    with pytest.raises(SweepError, match="no such folder"):
        hub(str(tmp_path / "none"))


def test_plain_text_is_one_document_a_file(tmp_path):
    for name, s in (("a", 0), ("b", 1)):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "x.txt").write_text("\n\n".join(texts(s)))
    corpus = folder(str(tmp_path), min_bytes=0)
    assert corpus.names == ("a", "b")
    assert corpus.manifest["files"] == {"a": 1, "b": 1}


def test_what_is_no_text_is_passed_over_or_said(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": null}\n{"text": "half \\ud83d"}\n')
    assert list(documents(tmp_path / "a.jsonl")) == ["half "]
    (tmp_path / "b.jsonl").write_text("[" * 100_000)
    with pytest.raises(SweepError, match="line 1 is no JSON object"):
        list(documents(tmp_path / "b.jsonl"))
    with pytest.raises(SweepError, match=r"c\.md: text is read from \.txt, \.jsonl"):
        list(documents(tmp_path / "c.md"))
    pytest.importorskip("pyarrow")
    (tmp_path / "d.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(SweepError, match="not readable as parquet"):
        list(documents(tmp_path / "d.parquet"))


def test_faults_name_the_file_the_line_and_the_remedy(tmp_path):
    with pytest.raises(SweepError, match="no such folder; name one with"):
        folder(str(tmp_path / "none"))
    with pytest.raises(SweepError, match=r"no \.txt, \.jsonl, \.parquet files"):
        folder(str(tmp_path))
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n{"body": "x"}\n')
    with pytest.raises(SweepError, match=r"a\.jsonl: line 2 is no JSON object with 'text'"):
        folder(str(tmp_path))


def test_a_corpus_that_is_kept_on_disk_while_it_is_built_is_the_same(wanted, monkeypatch):
    monkeypatch.setattr(domain, "IN_MEMORY", 0)
    again = build({"a": texts(0), "b": texts(1)}, {}, min_bytes=0)
    assert isinstance(again.domains[0].pretrain, np.memmap)
    assert again.digest == wanted.digest


def test_shards_are_mapped_and_whole(wanted, tmp_path):
    write_shards(wanted, tmp_path / "s")
    again = read_shards(tmp_path / "s")
    assert isinstance(again.domains[0].pretrain, np.memmap)
    for ours, theirs in zip(again.domains, wanted.domains, strict=True):
        for part in PARTS:
            assert np.array_equal(getattr(ours, part), getattr(theirs, part))
    assert (again.digest, again.vocabulary) == (wanted.digest, 256)
    file = tmp_path / "s" / "0.pretrain.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"0\.pretrain\.bin: not \d+ tokens"):
        read_shards(tmp_path / "s")
    with pytest.raises(FileNotFoundError):
        read_shards(tmp_path / "none")


def test_bpe_gives_back_the_text_in_fewer_tokens(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    plain = synthetic(size=60_000)
    coded = bpe(plain, 1000)
    assert 256 < coded.vocabulary <= 1000
    assert coded.digest == bpe(plain, 1000).digest != plain.digest
    coder = tokenizers.Tokenizer.from_str(coded.manifest["tokenizer"])
    for before, after in zip(plain.domains, coded.domains, strict=True):
        assert after.pretrain.dtype == np.uint16
        assert after.pretrain.max() < coded.vocabulary
        assert coder.decode(after.heldout.tolist()) == before.heldout.tobytes().decode()
        bytes_each = coded.manifest["bytes_per_token"][before.name]
        assert bytes_each > 2
        tokens = sum(len(getattr(after, part)) for part in PARTS)
        assert sum(len(getattr(before, part)) for part in PARTS) / tokens == pytest.approx(
            bytes_each, rel=1e-3
        )
    write_shards(coded, tmp_path / "s")
    assert read_shards(tmp_path / "s").vocabulary == coded.vocabulary
