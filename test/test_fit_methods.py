"""The fit methods by their names: what each is made of, and what it is made without."""

import subprocess
import sys

import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.fit_methods import FIT_METHODS, create_fitter, create_perspective_fitter
from face3dmm_ros.fitting import TrackFitter
from face3dmm_ros.morphable_model import MorphableModel


@pytest.mark.parametrize("method", ["joint", "alternating"])
def test_landmark_methods_are_track_fitters(default_model: MorphableModel, method: str) -> None:
    fitter = create_fitter(default_model, method)
    assert isinstance(fitter, TrackFitter)
    assert fitter.method == method


def test_an_unknown_method_is_refused_with_those_that_are_known(default_model: MorphableModel) -> None:
    with pytest.raises(Face3DMMError, match=f"'guess'; known: {FIT_METHODS[0]}, .*regressor"):
        create_fitter(default_model, "guess")


@pytest.mark.slow
def test_torch_is_loaded_only_for_methods_that_run_a_network() -> None:
    program = """
import sys
from face3dmm_ros.fit_methods import create_fitter
from face3dmm_ros.morphable_model import load_model
create_fitter(load_model("default"), "joint")
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_torch_the_error_says_how_to_get_it(
    default_model: MorphableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("face3dmm_ros.regressor")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(Face3DMMError, match=r"regressor needs torch, which is not installed.*pip install torch"):
        create_fitter(default_model, "regressor")


def test_only_what_was_seen_in_weak_perspective_alone_has_no_perspective_fit(default_model: MorphableModel) -> None:
    without = [method for method in FIT_METHODS if create_perspective_fitter(default_model, method) is None]
    assert without == ["regressor"]
