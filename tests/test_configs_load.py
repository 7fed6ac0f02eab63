"""Layers of settings: each over the one before, every mistake an error that names key, expected, got and where."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import ConfigError
from configs.load import export_credentials, load, variable
from configs.settings import Settings, Storage


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lim.toml"


@pytest.fixture(autouse=True)
def nowhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without lim.toml, and nobody's running stack."""
    monkeypatch.chdir(tmp_path_factory.mktemp("nowhere"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


def test_defaults_alone() -> None:
    loaded = load(environ={})
    assert loaded.settings == Settings()
    assert set(loaded.sources.values()) == {"default"}
    assert loaded.path is None


LAYERS = ("file", "environment", "command line")


@given(st.sets(st.sampled_from(LAYERS)))
def test_each_layer_is_over_the_one_before(chosen: set[str]) -> None:
    """The last of the layers that give a value wins, and is named as its source."""
    here = Path("layers.toml")
    here.write_text("[matcher]\nbatch = 11\n" if "file" in chosen else "")
    environ = {"LIM_MATCHER__BATCH": "12"} if "environment" in chosen else {}
    overrides = {"matcher.batch": "13"} if "command line" in chosen else {}
    loaded = load(here, environ, overrides)
    last = max(chosen, key=LAYERS.index, default="default")
    expected = {
        "default": (256, "default"),
        "file": (11, f"file {here}"),
        "environment": (12, "environment LIM_MATCHER__BATCH"),
        "command line": (13, "command line"),
    }[last]
    assert (loaded.settings.matcher.batch, loaded.sources["matcher.batch"]) == expected
    assert loaded.settings.matcher.block_ms == 50, "fields that nobody gave keep their defaults"


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[matcher]\nbatch = '8'", ["matcher.batch: expected int from 1, got '8'", "lim.toml"]),
        ("[matcher]\nbatch = true", ["matcher.batch: expected int from 1, got True"]),
        ("[matcher]\nbatch = 0", ["matcher.batch: expected int from 1, got 0"]),
        ("[matcher]\nbatch = 1.0", ["matcher.batch: expected int from 1, got 1.0"]),
        ("[matcher]\nbatch = [1]", ["matcher.batch: expected int from 1, got [1]"]),
        ("[matcher]\npoll_s = nan", ["matcher.poll_s: expected float above 0, got nan"]),
        ("[matcher]\npoll_s = inf", ["matcher.poll_s: expected float above 0, got inf"]),
        ("[build]\nforce = 1", ["build.force: expected true or false, got 1"]),
        ("[build]\ndevice = 'tpu'", ["build.device: expected one of auto, cpu, gpu, got 'tpu'"]),
        ("[build]\ndevice = ['gpu']", ["build.device: expected one of auto, cpu, gpu, got ['gpu']"]),
        ("[quality]\nfpir = 2", ["quality.fpir: expected float above 0 to 0.5, got 2"]),
        ("[http]\nmatcher_port = 70000", ["http.matcher_port: expected int from 0 to 65535, got 70000"]),
        ("[redis]\nurl = 'localhost:6379'", ["redis.url: expected redis://…, rediss://… or unix://…, got"]),
        ("[matcher]\nbach = 1", ["matcher.bach: expected the name of a setting", "did you mean matcher.batch?"]),
        ("[cache]\nin_flight = 1", ["cache.in_flight", "did you mean client.in_flight?"]),
        ("[metcher]\nbatch = 1", ["metcher.batch", "did you mean matcher.batch?"]),
        ("[zzz]\nqqq = 1", ["zzz.qqq", "`lim settings` lists all"]),
        ("batch = 1", ["batch: expected a section, [batch] with its settings under it, got int"]),
        ("[[matcher]]\nbatch = 1", ["matcher: expected a section", "got list"]),
        ("[matcher.batch]\nx = 1", ["matcher.batch: expected int from 1, got {'x': 1}"]),
        ("[matcher]\nbatch = = 1", ["lim.toml: expected TOML, got something else", "line 2"]),
        ("[matcher]\nannounce_ttl_s = 0.1", ["matcher.announce_every_s: expected at most matcher.announce_ttl_s, which is"]),
    ],
)  # fmt: skip
def test_mistakes_in_a_file(file: Path, toml: str, words: list[str]) -> None:
    file.write_text(toml)
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert not [word for word in [*words, str(file)] if word not in str(caught.value)], str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("LIM_MATCHER__BATCH", "many", "matcher.batch: expected int from 1, got 'many' (environment LIM_MATCHER__BATCH)"),
        ("LIM_MATCHER__BATCH", "", "matcher.batch: expected int from 1, got ''"),
        ("LIM_BUILD__FORCE", "perhaps", "build.force: expected true or false, got 'perhaps'"),
        ("LIM_MATCHER__BACH", "1", "did you mean LIM_MATCHER__BATCH?"),
        ("LIM_BOX__X", "1", "box.x: expected the name of a setting"),
    ],
)  # fmt: skip
def test_mistakes_in_the_environment(name: str, value: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(environ={name: value})
    assert words in str(caught.value)


def test_mistakes_on_the_command_line() -> None:
    with pytest.raises(ConfigError, match=r"client\.in_flight: expected int from 1, got '-1' \(command line\)"):
        load(environ={}, overrides={"client.in_flight": "-1"})
    with pytest.raises(ConfigError, match=r"in_flight: expected the name .* did you mean client\.in_flight\?"):
        load(environ={}, overrides={"in_flight": "1"})


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("YES", True), ("false", False), ("no", False)]
)
def test_truth_as_text(text: str, value: bool) -> None:
    assert load(environ={"LIM_BUILD__FORCE": text}).settings.build.force is value


def test_numbers_as_text() -> None:
    settings = load(environ={"LIM_BUILD__PARTITION_ROWS": "50_000", "LIM_MATCHER__POLL_S": "3"}).settings
    assert settings.build.partition_rows == 50_000
    assert settings.matcher.poll_s == 3.0
    assert isinstance(settings.matcher.poll_s, float)


def test_a_whole_number_in_a_file_is_a_float(file: Path) -> None:
    file.write_text("[source]\nscale = 2\nzero = -3\n")
    assert (load(file, {}).settings.source.scale, load(file, {}).settings.source.zero) == (2.0, -3.0)


def test_other_peoples_variables_are_left_alone() -> None:
    """The original's own, and ours that name the settings file, have no double underscore."""
    environ = {"LIM_MATCHER_MASTER_LOCK": "1", "LIM_MANAGER_CONSUMER": "x", "LIMIT__X": "1", "lim_matcher__batch": "1"}
    assert load(environ=environ).settings == Settings()


@pytest.mark.parametrize("key", ["storage.secret_key", "storage.access_key"])
def test_no_secret_in_an_error(file: Path, key: str) -> None:
    file.write_text(f"[storage]\n{key.partition('.')[2]} = 123456\n")
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert "123456" not in str(caught.value)
    assert key in str(caught.value)


def test_no_password_of_a_url_in_an_error() -> None:
    with pytest.raises(ConfigError) as caught:
        load(environ={"LIM_REDIS__URL": "http://user:hunter2@host"})
    assert "hunter2" not in str(caught.value)
    assert "http://user:***@host" in str(caught.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read \(No such file or directory\)"):
        load(tmp_path / "none.toml", {})
    with pytest.raises(ConfigError, match="cannot be read"):
        load(environ={"LIM_SETTINGS": str(tmp_path / "none.toml")})


def test_a_file_that_is_no_text(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="expected TOML, got something else"):
        load(file, {})


def test_the_name_of_a_variable() -> None:
    assert variable("matcher.max_ttl_ms") == "LIM_MATCHER__MAX_TTL_MS"
    assert load(environ={variable("matcher.max_ttl_ms"): "9000"}).settings.matcher.max_ttl_ms == 9000


def test_credentials_go_to_the_environment_only_when_set() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "the cloud's own"}
    export_credentials(Storage(), environ)
    assert environ == {"AWS_ACCESS_KEY_ID": "the cloud's own"}
    export_credentials(Storage(access_key="a", secret_key="b"), environ)
    assert environ == {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
