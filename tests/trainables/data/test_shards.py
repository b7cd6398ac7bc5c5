"""A data set's shards as a whole."""

from benchmarks.small_shards import write_shards
from trainables.data.shards import fingerprint


def test_the_fingerprint_is_of_every_manifest(tmp_path) -> None:
    write_shards(tmp_path / "one")
    write_shards(tmp_path / "same")
    write_shards(tmp_path / "two", ("subj01", "subj02"))
    write_shards(tmp_path / "other", seed=1)
    found = [fingerprint(tmp_path / name) for name in ("one", "same", "two", "other")]
    assert found[0] == found[1]
    assert len(set(found)) == 3
