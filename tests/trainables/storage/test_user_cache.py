"""Where this machine keeps what can be made again."""

from pathlib import Path

from trainables.storage.user_cache import cache


def test_the_cache_is_where_the_environment_says_or_below_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", None):
        monkeypatch.delenv("CORTEX_SWEEP_CACHE", raising=False)
        if value is not None:
            monkeypatch.setenv("CORTEX_SWEEP_CACHE", value)
        assert cache() == (tmp_path / ".cache").resolve()
    monkeypatch.setenv("CORTEX_SWEEP_CACHE", "~/lab")
    assert cache() == (tmp_path / "lab").resolve()
    monkeypatch.setenv("CORTEX_SWEEP_CACHE", "lab")
    assert cache() == Path.cwd() / "lab"
