"""Avatars as they are found: other makers' names, VRM's overrides, and expressions that lead nowhere."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("pygltflib")

from test_avatar_gltf import Writer, add_head, as_vrm_0, as_vrm_1, write_figure, write_head

from face3dmm_ros.avatar.gltf.morphs import Matching, match_morphs
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.gltf import load_gltf

FACESHIFT = [
    "EyeBlink_L",
    "EyeBlink_R",
    "EyeSquint_L",
    "EyeSquint_R",
    "EyeDown_L",
    "EyeDown_R",
    "EyeIn_L",
    "EyeIn_R",
    "EyeOpen_L",
    "EyeOpen_R",
    "EyeOut_L",
    "EyeOut_R",
    "EyeUp_L",
    "EyeUp_R",
    "BrowsD_L",
    "BrowsD_R",
    "BrowsU_C",
    "BrowsU_L",
    "BrowsU_R",
    "JawFwd",
    "JawLeft",
    "JawOpen",
    "JawRight",
    "MouthLeft",
    "MouthRight",
    "MouthFrown_L",
    "MouthFrown_R",
    "MouthSmile_L",
    "MouthSmile_R",
    "MouthDimple_L",
    "MouthDimple_R",
    "LipsStretch_L",
    "LipsStretch_R",
    "LipsUpperClose",
    "LipsLowerClose",
    "LipsUpperUp",
    "LipsLowerDown",
    "LipsFunnel",
    "LipsPucker",
    "ChinLowerRaise",
    "ChinUpperRaise",
    "Sneer",
    "Puff",
    "CheekSquint_L",
    "CheekSquint_R",
]
UNIFIED_LEFT = [
    "EyeClosedLeft",
    "EyeSquintLeft",
    "EyeWideLeft",
    "BrowPinchLeft",
    "BrowLowererLeft",
    "BrowInnerUpLeft",
    "BrowOuterUpLeft",
    "NoseSneerLeft",
    "CheekSquintLeft",
    "CheekPuffLeft",
    "JawLeft",
    "LipSuckUpperLeft",
    "LipSuckLowerLeft",
    "LipFunnelUpperLeft",
    "LipFunnelLowerLeft",
    "LipPuckerUpperLeft",
    "LipPuckerLowerLeft",
    "MouthUpperUpLeft",
    "MouthLowerDownLeft",
    "MouthUpperLeft",
    "MouthLowerLeft",
    "MouthCornerPullLeft",
    "MouthCornerSlantLeft",
    "MouthFrownLeft",
    "MouthStretchLeft",
    "MouthDimpleLeft",
    "MouthPressLeft",
]
UNIFIED = [
    *["JawOpen", "JawForward", "MouthClosed", "MouthRaiserUpper", "MouthRaiserLower", "TongueOut"],
    *UNIFIED_LEFT,
    *(name.replace("Left", "Right") for name in UNIFIED_LEFT),
]
READY_PLAYER_ME = [
    "viseme_sil",
    "viseme_PP",
    "viseme_FF",
    "viseme_aa",
    "viseme_E",
    "viseme_I",
    "viseme_O",
    "viseme_U",
    "mouthOpen",
    "mouthSmile",
    "eyesClosed",
    "eyesLookUp",
    "eyesLookDown",
]
VRM_0_PRESETS = ("a", "i", "u", "e", "o", "blink", "blink_l", "blink_r", "joy", "angry", "sorrow", "fun")
GAZE = {name for name in ARKIT_NAMES if name.startswith("eyeLook")}
READY_PLAYER_ME_MOVES = {
    *("jawOpen", "mouthRollLower", "mouthFunnel", "mouthPucker"),
    *(
        f"{name}{side}"
        for name in ("mouthSmile", "eyeBlink", "eyeLookUp", "eyeLookDown", "mouthPress", "mouthStretch", "mouthUpperUp")
        for side in ("Left", "Right")
    ),
}


def weights(**named: float) -> NDArray[np.float32]:
    return np.array([named.get(name, 0.0) for name in ARKIT_NAMES], np.float32)


def values(matching: Matching, **named: float) -> dict[str, float]:
    """What moves, by its name in the file."""
    shown = matching.values(weights(**named)).tolist()
    return {channel.name: value for channel, value in zip(matching.channels, shown, strict=True) if value}


def head(path: Path, names: Sequence[str]) -> Matching:
    return match_morphs(load_gltf(write_head(path / "head.glb", names)))


def vrm(path: Path, change: Callable[[Writer, int, int], None], targets: int = 3) -> Matching:
    """The figure with expressions over morph targets whose names tell nothing."""

    def plain(writer: Writer, node: int, mesh: int) -> None:
        names = [f"target{k}" for k in range(targets)]
        if targets > 3:
            attributes = writer.file.meshes[mesh].primitives[0].attributes
            more = add_head(writer, names, height=1.5, JOINTS_0=attributes.JOINTS_0, WEIGHTS_0=attributes.WEIGHTS_0)
            writer.file.nodes[node].mesh = mesh = more
        change(writer, node, mesh)
        writer.file.meshes[mesh].extras = {"targetNames": names}

    return match_morphs(load_gltf(write_figure(path / "figure.vrm", plain)))


def vrm_1(path: Path, expressions: Mapping[str, Mapping[str, Any]], group: str = "preset") -> Matching:
    """A VRM 1 file, each expression on a morph target of its own."""

    def change(writer: Writer, node: int, mesh: int) -> None:
        as_vrm_1({}, {})(writer, node, mesh)
        writer.file.extensions["VRMC_vrm"]["expressions"] = {
            group: {
                name: {"morphTargetBinds": [{"node": node, "index": k, "weight": 1.0}], **others}
                for k, (name, others) in enumerate(expressions.items())
            }
        }

    return vrm(path, change, max(4, len(expressions)))


class TestOtherNames:
    @pytest.mark.parametrize(
        "names",
        [
            ARKIT_NAMES,
            [f"{name[0].upper()}{name[1:]}" for name in ARKIT_NAMES],
            [f"Wolf3D_Head.{name}" for name in (*ARKIT_NAMES, *READY_PLAYER_ME)],
            [name.replace("Left", "_L").replace("Right", "_R") for name in ARKIT_NAMES],
        ],
        ids=["ARKit", "Unity", "Ready Player Me with ARKit", "sides as letters"],
    )
    def test_all_of_arkits_names_are_driven_once(self, tmp_path: Path, names: Sequence[str]) -> None:
        matching = head(tmp_path, names)
        assert not matching.missing
        assert values(matching, mouthSmileLeft=0.5) == {names[ARKIT_NAMES.index("mouthSmileLeft")]: 0.5}

    @pytest.mark.parametrize(
        ("names", "missing", "unused"),
        [
            (FACESHIFT, {"tongueOut", "mouthClose", "mouthPressLeft", "mouthPressRight"}, ()),
            (UNIFIED, GAZE, ()),
            (READY_PLAYER_ME, set(ARKIT_NAMES) - READY_PLAYER_ME_MOVES, ("viseme_sil", "viseme_aa")),
        ],
        ids=["Faceshift", "Unified Expressions", "Ready Player Me"],
    )
    def test_other_makers_names_are_driven(
        self, tmp_path: Path, names: Sequence[str], missing: set[str], unused: tuple[str, ...]
    ) -> None:
        matching = head(tmp_path, names)
        assert set(matching.missing) == missing
        assert matching.unused == unused

    @pytest.mark.parametrize(
        ("names", "shown", "moved"),
        [
            (FACESHIFT, {"browDownLeft": 1.0}, {"BrowsD_L": 1.0}),
            (FACESHIFT, {"browInnerUp": 1.0}, {"BrowsU_C": 1.0}),
            (FACESHIFT, {"noseSneerLeft": 1.0}, {"Sneer": 0.5}),
            (FACESHIFT, {"eyeLookInRight": 1.0}, {"EyeIn_R": 1.0}),
            (FACESHIFT, {"cheekPuff": 1.0}, {"Puff": 1.0}),
            (UNIFIED, {"eyeBlinkLeft": 1.0}, {"EyeClosedLeft": 1.0}),
            (UNIFIED, {"mouthSmileLeft": 1.0}, {"MouthCornerPullLeft": 1.0, "MouthCornerSlantLeft": 1.0}),
            (UNIFIED, {"mouthLeft": 1.0}, {"MouthUpperLeft": 1.0, "MouthLowerLeft": 1.0}),
            (UNIFIED, {"tongueOut": 1.0}, {"TongueOut": 1.0}),
            (UNIFIED, {"cheekPuff": 1.0}, {"CheekPuffLeft": 1.0, "CheekPuffRight": 1.0}),
            (["LipPucker", "LipFunnel", "JawOpen"], {"mouthPucker": 1.0}, {"LipPucker": 1.0}),
            (READY_PLAYER_ME, {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0}, {"mouthSmile": 1.0}),
            (READY_PLAYER_ME, {"jawOpen": 1.0}, {"mouthOpen": 1.0}),
            (READY_PLAYER_ME, {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}, {"eyesClosed": 1.0}),
            (READY_PLAYER_ME, {"mouthFunnel": 1.0}, {"viseme_O": 1.0}),
        ],
    )
    def test_a_weight_moves_what_bears_another_makers_name(
        self, tmp_path: Path, names: Sequence[str], shown: dict[str, float], moved: dict[str, float]
    ) -> None:
        assert values(head(tmp_path, names), **shown) == moved

    @pytest.mark.parametrize("names", [["Key 1", "Key 2"], ["hatTilt", "earWiggle"], ["phoneme 1"]])
    def test_names_that_tell_nothing_are_refused_with_what_to_do(self, tmp_path: Path, names: Sequence[str]) -> None:
        with pytest.raises(Face3DMMError, match=f"{names[0]}.*rename the shape keys"):
            head(tmp_path, names)


class TestVrmKinds:
    def test_presets_of_vrm_0_alone_are_driven(self, tmp_path: Path) -> None:
        groups = [
            {"name": preset.upper(), "presetName": preset, "binds": [{"index": k, "weight": 100}]}
            for k, preset in enumerate(VRM_0_PRESETS)
        ]
        matching = vrm(tmp_path, as_vrm_0(groups), len(groups))
        assert values(matching, eyeBlinkLeft=1.0) == {"BLINK_L": 1.0}
        assert values(matching, jawOpen=0.5) == {"A": 0.5}
        assert values(matching, mouthDimpleLeft=1.0) == {"FUN": pytest.approx(0.35)}

    def test_presets_of_vrm_1_alone_are_driven(self, tmp_path: Path) -> None:
        matching = vrm_1(tmp_path, {name: {} for name in ("aa", "blink", "happy", "relaxed")})
        assert values(matching, eyeBlinkLeft=1.0, eyeBlinkRight=1.0) == {"blink": 1.0}
        assert values(matching, mouthSmileLeft=1.0) == {"happy": pytest.approx(0.35)}

    def test_expressions_with_other_makers_names_are_driven(self, tmp_path: Path) -> None:
        matching = vrm_1(tmp_path, {name: {} for name in ("EyeClosedLeft", "BrowsU_C", "TongueOut")}, "custom")
        assert values(matching, eyeBlinkLeft=1.0, tongueOut=0.5) == {"EyeClosedLeft": 1.0, "TongueOut": 0.5}

    def test_a_binary_expression_is_off_or_on(self, tmp_path: Path) -> None:
        matching = vrm_1(tmp_path, {"aa": {"isBinary": True}, "oh": {}})
        assert values(matching, jawOpen=0.4, mouthFunnel=0.4) == {"oh": pytest.approx(0.4)}
        assert values(matching, jawOpen=0.6) == {"aa": 1.0}

    def test_a_binary_group_of_vrm_0_is_off_or_on(self, tmp_path: Path) -> None:
        group = {"name": "Mouth A", "presetName": "a", "isBinary": True, "binds": [{"index": 0, "weight": 100}]}
        matching = vrm(tmp_path, as_vrm_0([group]))
        assert values(matching, jawOpen=0.4) == {}
        assert values(matching, jawOpen=0.6) == {"Mouth A": 1.0}

    @pytest.mark.parametrize(("how", "blink"), [("none", 0.8), ("blend", 0.8 * 0.65), ("block", 0.0)])
    def test_an_override_holds_blinks_back(self, tmp_path: Path, how: str, blink: float) -> None:
        matching = vrm_1(tmp_path, {"happy": {"overrideBlink": how}, "blinkLeft": {}, "aa": {}})
        moved = values(matching, mouthSmileLeft=1.0, eyeBlinkLeft=0.8, jawOpen=0.5)
        assert moved.get("blinkLeft", 0.0) == pytest.approx(blink)
        assert moved["aa"] == 0.5

    @pytest.mark.parametrize(("key", "held"), [("overrideMouth", "aa"), ("overrideLookAt", "lookUp")])
    def test_overrides_hold_mouth_and_gaze_back_while_they_show(self, tmp_path: Path, key: str, held: str) -> None:
        matching = vrm_1(tmp_path, {"angry": {key: "block"}, "aa": {}, "lookUp": {}})
        shown = {"jawOpen": 1.0, "eyeLookUpLeft": 1.0, "eyeLookUpRight": 1.0}
        assert held in values(matching, **shown)
        assert held not in values(matching, browDownLeft=0.2, **shown)

    @pytest.mark.parametrize(
        ("bind", "said"),
        [
            ({"node": 99, "index": 0}, "'aa' moves node 99"),
            ({"node": -1, "index": 0}, "'aa' moves node -1"),
            ({"node": 3, "index": 99}, "morph target 99"),
        ],
    )
    def test_a_bind_that_leads_nowhere_is_left_out_and_said(
        self, tmp_path: Path, bind: dict[str, Any], said: str
    ) -> None:
        def change(writer: Writer, node: int, mesh: int) -> None:
            as_vrm_1({"jawOpen": 0}, {"aa": 1})(writer, node, mesh)
            writer.file.extensions["VRMC_vrm"]["expressions"]["preset"]["aa"]["morphTargetBinds"].append(bind)

        matching = vrm(tmp_path, change)
        assert values(matching, jawOpen=1.0) == {"jawOpen": 1.0}
        assert said in "; ".join(matching.dangling)

    def test_a_bind_of_vrm_0_that_leads_nowhere_is_left_out_and_said(self, tmp_path: Path) -> None:
        binds = [{"mesh": 77, "index": 0, "weight": 100}, {"index": 0, "weight": 100}]
        matching = vrm(tmp_path, as_vrm_0([{"name": "A", "presetName": "a", "binds": binds}]))
        assert values(matching, jawOpen=1.0) == {"A": 1.0}
        assert "of mesh 77" in matching.dangling[0]


def test_what_is_moved_by_what_is_told_in_one_line(tmp_path: Path) -> None:
    described = head(tmp_path, ["jawOpen", "eyeBlink_L", "Puff", "mouthSmile"]).described()
    assert described == "2 under ARKit's names, Puff ← cheekPuff, mouthSmile ← mouthSmileLeft + mouthSmileRight"
