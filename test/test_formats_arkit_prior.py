"""The prior of blendshapes with ARKit's names."""

import numpy as np

from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.morphable_model.formats.arkit_prior import arkit_prior


def test_all_of_arkits_have_the_default_models_prior() -> None:
    prior, default = arkit_prior(ARKIT_NAMES), load_model("default")
    np.testing.assert_array_equal(prior.sigma, default.expression_sigma)
    np.testing.assert_array_equal(prior.bounds, default.expression_bounds)
    np.testing.assert_array_equal(prior.correlation, default.expression_correlation)


def test_a_part_of_them_in_another_order_has_its_part_of_the_prior() -> None:
    order = [24, 8, 9, 50]
    prior, all_of_them = arkit_prior([ARKIT_NAMES[k] for k in order]), arkit_prior(ARKIT_NAMES)
    np.testing.assert_array_equal(prior.sigma, all_of_them.sigma[order])
    np.testing.assert_array_equal(prior.correlation, all_of_them.correlation[np.ix_(order, order)])


def test_others_are_independent_and_the_whole_stays_positive_definite() -> None:
    prior = arkit_prior(["Dilate", *ARKIT_NAMES, "cheekRaiser"])
    assert (prior.sigma > 0).all()
    assert not prior.correlation[0, 1:].any()
    assert not prior.correlation[-1, :-1].any()
    assert np.linalg.eigvalsh(prior.correlation.astype(np.float64)).min() > 1e-3


def test_no_blendshapes_have_an_empty_prior() -> None:
    prior = arkit_prior([])
    assert [part.shape for part in prior] == [(0,), (2, 0), (0, 0)]
