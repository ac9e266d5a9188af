"""Paths of the user: a home folder is found, and what is no path is refused at once."""

import pytest

from difnas_jax.errors import InputError
from difnas_jax.runtime.given_paths import given_path


def test_a_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert given_path("f", "~/a") == given_path("f", tmp_path / "a") == tmp_path / "a"
    assert str(given_path("f", "a~/~")) == "a~/~"  # only at the beginning


@pytest.mark.parametrize(
    "name",
    ["", "gs://b/w", "gs:/b", "S3://b", "file:///x", "bad\udcff/x", "~nobody_/x"],
)
def test_what_is_no_path_is_named(name):
    with pytest.raises(InputError, match="^--flag: expected ") as error:
        given_path("--flag", name)
    assert ascii(name)[1:-1] in str(error.value) and str(error.value).isascii()


def test_an_empty_home_is_not_the_root(monkeypatch):
    monkeypatch.setenv("HOME", "")
    with pytest.raises(InputError, match="^f: expected a home folder"):
        given_path("f", "~/x")


@pytest.mark.parametrize("name", ["a:b", "x/c:/d", "1:/a", "ünï/#%41?'q", "C:/"])
def test_other_signs_are_fine(name):
    assert given_path("f", name).as_posix() == name.rstrip("/")
