"""What is freed stays with the process, where the C library can be told so."""

import ctypes

from face3dmm_ros.core.kept_memory import keep_freed_memory


def test_another_c_library_than_glibc_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    keep_freed_memory()


def test_glibc_takes_the_settings(monkeypatch):
    told = []

    class Library:
        def mallopt(self, *setting):
            told.append(setting)

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())
    keep_freed_memory()
    assert [setting for setting, _ in told] == [-3, -1]
