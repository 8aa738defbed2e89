import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.rendering.lighting import LIGHTING_MODELS, Lighting


def test_the_defaults_are_valid() -> None:
    assert Lighting().model in LIGHTING_MODELS


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"direction": (0.0, 0.0, 0.0)}, "direction must not be zero"),
        ({"direction": (0.0, 1.0)}, "direction must be three"),
        ({"direction": (0.0, float("nan"), 1.0)}, "direction must be three finite"),
        ({"color": (1.0, -0.1, 1.0)}, "color must not be negative"),
        ({"ambient": (1.0, float("inf"), 1.0)}, "ambient must be three finite"),
        ({"diffuse": 1.1}, "diffuse must lie between 0 and 1"),
        ({"specular": -0.1}, "specular must lie between 0 and 1"),
        ({"transmission": float("nan")}, "transmission must lie between 0 and 1"),
        ({"shininess": -1.0}, "shininess"),
        ({"model": "toon"}, "unknown lighting model 'toon'.*blinn-phong, phong"),
    ],
)
def test_a_value_outside_its_range_is_refused(values: dict, reason: str) -> None:
    with pytest.raises(Face3DMMError, match=reason):
        Lighting(**values)
