"""Synthetic faces: scenes, their pictures and the truth that comes with them."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
from dataset_harness import write_dataset
from numpy.typing import NDArray

from face3dmm_ros.core.camera import Intrinsics, WeakPerspective, metric_pose
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import pose_angles, rotation_from_pose_angles
from face3dmm_ros.lab.synthesis.backgrounds import draw_background, find_pictures
from face3dmm_ros.lab.synthesis.expressions import EMOTIONS, VISEMES, ExpressionSpace
from face3dmm_ros.lab.synthesis.motion import MOTIONS, random_motion, sequence
from face3dmm_ros.lab.synthesis.random_scene import SceneOptions, random_hair, random_scene
from face3dmm_ros.lab.synthesis.scene import Background, Glasses, Hair, Light, Occluder, Scene, Sensor, Skin
from face3dmm_ros.lab.synthesis.scene_renderer import SceneRenderer
from face3dmm_ros.lab.synthesis.sensor import expose
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.morphable_model import MorphableModel, SurfacePoints

SIZE = (200, 200)
SMALL = SceneOptions(image_size=(160, 160))


def portrait(model: MorphableModel, *, yaw: float = 0.0, size: tuple[int, int] = SIZE, scale: float = 0.9) -> Scene:
    """The mean face before a plain sensor, its origin a little above the picture's middle; yaw in degrees."""
    camera = WeakPerspective(
        scale, rotation_from_pose_angles(0.0, np.radians(yaw), 0.0), np.array([size[0] / 2, 0.45 * size[1]])
    )
    neutral = np.zeros(model.expression_count)
    return Scene(size, camera, np.zeros(model.shape_count), neutral, np.zeros(len(model.albedo_sigma)))


def region_pixels(model: MorphableModel, scene: Scene, name: str) -> NDArray[np.intp]:
    """Rows and columns at which the mean's vertices of a region that face the camera are seen, (n, 2)."""
    facing = -(model.normals(model.mean) @ scene.camera.rotation[2]) > 0.5
    points = scene.camera.project(model.mean[(model.regions[name] > 0.8) & facing])
    return np.round(points[:, ::-1]).astype(np.intp)


def random_generator(*seed: int) -> np.random.Generator:
    return np.random.default_rng(list(seed))


class TestRandomScenes:
    @pytest.mark.slow
    def test_the_same_seed_makes_the_same_picture_and_truth(
        self, renderer: SceneRenderer, default_model: MorphableModel
    ) -> None:
        first, second = (renderer.render(random_scene(random_generator(5), default_model, SMALL)) for _ in range(2))
        np.testing.assert_array_equal(first.image, second.image)
        np.testing.assert_array_equal(first.landmarks(), second.landmarks())
        np.testing.assert_array_equal(first.scene.beta, second.scene.beta)

    def test_a_picture_does_not_depend_on_those_before_it(
        self, renderer: SceneRenderer, default_model: MorphableModel
    ) -> None:
        scenes = [random_scene(random_generator(8, k), default_model, SMALL) for k in range(4)]
        alone = renderer.render(scenes[3]).image
        for scene in scenes[:3]:
            renderer.render(scene)
        np.testing.assert_array_equal(renderer.render(scenes[3]).image, alone)

    def test_another_seed_makes_another_person(self, default_model: MorphableModel) -> None:
        first, second = (random_scene(random_generator(seed), default_model) for seed in (1, 2))
        assert np.abs(first.alpha - second.alpha).max() > 1.0
        assert first.camera.scale != second.camera.scale

    def test_yaw_is_spread_evenly_up_to_the_greatest(self, default_model: MorphableModel) -> None:
        options = SceneOptions(max_yaw=90.0)
        yaws = [
            np.degrees(pose_angles(random_scene(random_generator(k), default_model, options).camera.rotation)[1])
            for k in range(300)
        ]
        counts, _ = np.histogram(np.abs(yaws), bins=(0, 30, 60, 90))
        assert counts.sum() == 300
        assert counts.min() > 70

    def test_the_face_is_as_large_as_asked_for(self, renderer: SceneRenderer, default_model: MorphableModel) -> None:
        options = replace(SMALL, face_share=(0.5, 0.5), max_yaw=0.0, max_pitch=0.0, max_roll=0.0)
        for k in range(5):
            scene = replace(random_scene(random_generator(k), default_model, options), beta=np.zeros(52))
            height = np.ptp(renderer.render(scene).landmarks()[:, 1])
            assert 0.4 * 160 < height < 0.62 * 160

    def test_options_that_cannot_be_are_refused(self) -> None:
        for options, reason in (
            ({"image_size": (4, 4)}, "16 to 8192"),
            ({"max_yaw": 200.0}, "yaw"),
            ({"face_share": (0.5, 0.2)}, "share"),
            ({"few_blendshapes": 1.5}, "few blendshapes"),
            ({"winks": -0.1}, "wink"),
            ({"field_of_view": 170.0}, "field of view"),
        ):
            with pytest.raises(Face3DMMError, match=reason):
                SceneOptions(**options)


class TestTruth:
    def test_landmarks_are_the_models_under_the_camera(
        self, renderer: SceneRenderer, default_model: MorphableModel
    ) -> None:
        scene = random_scene(random_generator(3), default_model, SMALL)
        points = default_model.scheme("ibug68").interpolate(default_model.vertices(scene.alpha, scene.beta))
        truth = renderer.render(scene).landmarks()
        np.testing.assert_allclose(truth[:, :2], scene.camera.project(points), atol=1e-3)
        np.testing.assert_allclose(truth[:, 2], -scene.camera.depth(points), atol=1e-3)

    def test_the_picture_shows_the_face_where_the_truth_says(
        self, renderer: SceneRenderer, default_model: MorphableModel
    ) -> None:
        light = Light(ambient=(0.8, 0.8, 0.8), key=(0.0, 0.0, 0.0), fill=(0.0, 0.0, 0.0))
        scene = replace(portrait(default_model), light=light, skin=Skin(blotches=0.0, pores=0.0))
        image = renderer.render(scene).image.astype(float)
        points = renderer.render(scene).landmarks()
        # The line between the closed lips is dark, and so are the upper lids' edges beside the forehead.
        x, y = np.round(points[62, :2]).astype(int)
        column = image[y - 4 : y + 5, x].sum(axis=1)
        assert abs(int(column.argmin()) - 4) <= 1

    def test_shifting_the_camera_shifts_the_face_and_nothing_else(
        self, renderer: SceneRenderer, default_model: MorphableModel
    ) -> None:
        scene = portrait(default_model)
        camera = scene.camera
        shifted = replace(
            scene, camera=WeakPerspective(camera.scale, camera.rotation, camera.translation + np.array([7.0, -4.0]))
        )
        first, second = (renderer.render(s).image.astype(int) for s in (scene, shifted))
        middle = first[60:140, 70:130]
        assert np.abs(second[56:136, 77:137] - middle).max() <= 3

    def test_visible_landmarks_face_the_camera_and_hidden_ones_do_not(
        self, renderer: SceneRenderer, default_model: MorphableModel
    ) -> None:
        surface = default_model.scheme("ibug68")
        bare = replace(portrait(default_model), hair=None)
        inner = slice(17, 60)
        assert renderer.render(bare).visibility(surface)[inner].mean() > 0.95
        turned = replace(portrait(default_model, yaw=80.0), hair=None)
        seen = renderer.render(turned).visibility(surface)
        right_eye, left_eye = seen[36:42].mean(), seen[42:48].mean()
        assert sorted([right_eye < 0.2, left_eye > 0.6]) in ([True, True], [False, False])
        assert abs(right_eye - left_eye) > 0.4

    def test_what_is_held_before_the_face_hides_it(
        self, renderer: SceneRenderer, default_model: MorphableModel
    ) -> None:
        surface, scene = default_model.scheme("ibug68"), portrait(default_model)
        phone = Occluder("phone", np.array([0.0, -120.0, 80.0]), np.zeros(3), (0.1, 0.1, 0.1))
        before, behind = (renderer.render(s).visibility(surface) for s in (scene, replace(scene, occluder=phone)))
        assert before[48:60].all()
        assert not behind[48:60].any()
        np.testing.assert_array_equal(before[17:27], behind[17:27])

    def test_lenses_hide_nothing(self, renderer: SceneRenderer, default_model: MorphableModel) -> None:
        eyes = default_model.scheme("ibug68").at(slice(36, 48))
        scene = replace(portrait(default_model), glasses=Glasses(tube=0.5, height=22.0, width=26.0))
        assert renderer.render(scene).visibility(eyes).mean() > 0.9

    def test_points_outside_the_picture_are_not_visible(
        self, renderer: SceneRenderer, default_model: MorphableModel
    ) -> None:
        scene = portrait(default_model)
        camera = WeakPerspective(0.9, scene.camera.rotation, np.array([1000.0, 100.0]))
        rendered = renderer.render(replace(scene, camera=camera))
        assert not rendered.visibility(SurfacePoints.at_vertices(np.arange(default_model.vertex_count))).any()
        assert not rendered.mask().any()

    def test_perspective_pictures_show_the_metric_pose(
        self, renderer: SceneRenderer, default_model: MorphableModel
    ) -> None:
        intrinsics = Intrinsics.from_field_of_view(SIZE, 60.0)
        scene = replace(portrait(default_model, yaw=20.0), intrinsics=intrinsics)
        pose = metric_pose(scene.camera, intrinsics)
        points = default_model.scheme("ibug68").interpolate(default_model.mean).astype(np.float64)
        X = pose.transform(points)
        expected = intrinsics.focal * X[:, :2] / X[:, 2:] + [intrinsics.center_x, intrinsics.center_y]
        rendered = renderer.render(scene)
        np.testing.assert_allclose(rendered.landmarks()[:, :2], expected, atol=1e-3)
        assert rendered.visibility(default_model.scheme("ibug68"))[27:36].mean() > 0.5


class TestAppearance:
    def test_most_frontal_faces_are_found_by_the_detector_near_their_landmarks(
        self, renderer: SceneRenderer, default_model: MorphableModel
    ) -> None:
        options = SceneOptions(image_size=(256, 256), max_yaw=30.0, occluder=0.0)
        backend, surface = create_backend("facemesh"), default_model.scheme("mediapipe478")
        errors = []
        for k in range(12):
            rendered = renderer.render(random_scene(random_generator(77, k), default_model, options))
            for face in LandmarkTracker(backend).track(rendered.image):
                distance = np.linalg.norm(face.landmarks.points - rendered.points(surface)[:, :2], axis=1)
                size = np.ptp(rendered.landmarks()[:, :2], axis=0)
                errors.append(np.median(distance) / np.sqrt(size.prod()))
        assert len(errors) >= 11
        assert np.median(errors) < 0.05

    def test_hair_iris_and_skin_take_their_colours(
        self, renderer: SceneRenderer, default_model: MorphableModel
    ) -> None:
        scene = portrait(default_model)
        red, blue = (
            renderer.render(replace(scene, hair=Hair(color=color, thickness=12.0))).image.astype(float)
            for color in ((0.6, 0.1, 0.1), (0.1, 0.1, 0.6))
        )
        top = region_pixels(default_model, scene, "scalp")
        top = top[(top[:, 0] > 0) & (top[:, 0] < 30)]
        difference = (red - blue)[top[:, 0], top[:, 1]].mean(axis=0)
        assert difference[2] > 15 > -15 > difference[0]  # BGR
        light, dark = (
            renderer.render(replace(scene, gamma=tone * np.eye(8)[0])).image.astype(float) for tone in (1.5, -1.5)
        )
        face = region_pixels(default_model, scene, "face")
        assert (light - dark)[face[:, 0], face[:, 1]].mean() > 40

    def test_the_shadow_of_the_key_light_falls_away_from_it(
        self, renderer: SceneRenderer, default_model: MorphableModel
    ) -> None:
        def brightness_of_sides(x: float) -> tuple[float, float]:
            light = Light(to_key=(x, 0.2, 0.4), fill=(0.0, 0.0, 0.0))
            scene = replace(portrait(default_model), light=light)
            image, at = renderer.render(scene).image, region_pixels(default_model, scene, "face")
            value = image[at[:, 0], at[:, 1]].mean(axis=1)
            left = at[:, 1] < scene.camera.translation[0]
            return float(value[left].mean()), float(value[~left].mean())

        left, right = brightness_of_sides(-1.0)
        assert left > right + 20
        left, right = brightness_of_sides(1.0)
        assert right > left + 20

    def test_an_open_mouth_is_dark_inside(self, renderer: SceneRenderer, default_model: MorphableModel) -> None:
        beta = ExpressionSpace(default_model).beta({"jawOpen": 0.9})
        rendered = renderer.render(replace(portrait(default_model), beta=beta))
        points = rendered.landmarks()
        inside = np.round(points[[62, 66], :2].mean(axis=0)).astype(int)
        nose = np.round(points[29, :2]).astype(int)
        image = rendered.image.astype(float)
        assert image[inside[1], inside[0]].mean() < 0.7 * image[nose[1], nose[0]].mean()

    def test_the_neck_goes_on_below_the_models_edge(
        self, renderer: SceneRenderer, default_model: MorphableModel
    ) -> None:
        scene = portrait(default_model, scale=0.45)
        mask = renderer.render(scene).mask()
        edge = int(scene.camera.project(default_model.mean)[:, 1].max())
        assert mask[edge + 2 : 190, 95:105].all()

    @pytest.mark.slow
    def test_a_model_without_regions_is_drawn_as_it_is(self, default_model: MorphableModel) -> None:
        bare = replace(default_model, regions={}, landmarks={}, contours={})
        try:
            renderer = SceneRenderer(bare)
        except Face3DMMError as error:
            pytest.skip(f"no OpenGL here: {error}")
        with renderer:
            rendered = renderer.render(portrait(bare))
        assert 0.2 < rendered.mask().mean() < 0.8

    def test_impossible_requests_are_refused(self, renderer: SceneRenderer, default_model: MorphableModel) -> None:
        scene = portrait(default_model)
        for bad, reason in (
            (replace(scene, image_size=(4, 4)), "at least 8"),
            (replace(scene, alpha=np.full(100, np.nan)), "not finite"),
            (replace(scene, light=Light(to_key=(0.0, 0.0, 0.0))), "direction"),
        ):
            with pytest.raises(Face3DMMError, match=reason):
                renderer.render(bad)

    def test_every_kind_of_hair_can_be_drawn(self, renderer: SceneRenderer, default_model: MorphableModel) -> None:
        scene, rng = portrait(default_model, size=(64, 64), scale=0.25), random_generator(0)
        for bearded in (False, True) * 10:
            assert renderer.render(replace(scene, hair=random_hair(rng, (0.2, 0.1, 0.1), bearded))).mask().any()


class TestExpressions:
    def test_weights_stay_within_bounds(self, default_model: MorphableModel) -> None:
        space = ExpressionSpace(default_model)
        beta = np.array([space.random(random_generator(k)) for k in range(200)])
        assert beta.min() >= 0.0
        assert beta.max() <= 1.0

    def test_few_weights_are_strong_at_once(self, default_model: MorphableModel) -> None:
        space = ExpressionSpace(default_model)
        strong = [(space.random(random_generator(k)) > 0.3).sum() for k in range(200)]
        assert np.mean(strong) < 8

    def test_left_and_right_move_together(self, default_model: MorphableModel) -> None:
        space, names = ExpressionSpace(default_model), default_model.expression_names
        beta = np.array([space.random(random_generator(k)) for k in range(300)])
        smile = beta[:, [names.index("mouthSmileLeft"), names.index("mouthSmileRight")]]
        assert np.corrcoef(smile.T)[0, 1] > 0.7

    def test_every_named_weight_is_one_of_the_models(self, default_model: MorphableModel) -> None:
        names = set(default_model.expression_names)
        for weights in (*EMOTIONS.values(), *VISEMES.values()):
            for name in weights:
                assert name in names or f"{name}Left" in names

    def test_eyes_that_are_shut_by_any_amount_are_alike_in_some_faces_and_not_in_others(
        self, default_model: MorphableModel
    ) -> None:
        space = ExpressionSpace(default_model)
        smile = space.beta({"mouthSmile": 0.5})
        blinks = [default_model.expression_names.index(f"eyeBlink{side}") for side in ("Left", "Right")]
        beta = np.array([space.winking(random_generator(k), smile) for k in range(400)])
        left, right = beta[:, blinks].T
        assert 0.3 < np.mean(left == right) < 0.5
        assert 0.2 < np.mean(np.abs(left - right) > 0.25) < 0.5
        assert left.min() < 0.05
        assert left.max() > 0.95
        rest = np.delete(beta, blinks, axis=1)
        np.testing.assert_array_equal(rest, np.broadcast_to(np.delete(smile, blinks), rest.shape))

    def test_a_face_with_few_blendshapes_has_at_most_three_but_for_the_other_sides(
        self, default_model: MorphableModel
    ) -> None:
        space, names = ExpressionSpace(default_model), default_model.expression_names
        beta = np.array([space.few(random_generator(k)) for k in range(400)])
        shown = [{names[k].removesuffix("Left").removesuffix("Right") for k in np.flatnonzero(row)} for row in beta]
        assert max(len(stems - {"jawOpen"}) for stems in shown) == 3
        assert beta.min() >= 0.0
        assert beta.max() <= 1.0
        # Each comes by itself, at rest comes too, and no lips are closed over a shut jaw.
        by_themselves = {frozenset(stems) for stems in shown if len(stems) == 1}
        assert {frozenset(["eyeBlink"]), frozenset(["jaw"]), frozenset(["noseSneer"])} <= by_themselves
        assert frozenset() in map(frozenset, shown)
        assert (beta[:, names.index("mouthClose")] <= beta[:, names.index("jawOpen")]).all()

    def test_one_side_may_do_what_the_other_does_not(self, default_model: MorphableModel) -> None:
        space, names = ExpressionSpace(default_model), default_model.expression_names
        beta = np.array([space.few(random_generator(k)) for k in range(400)])
        left, right = beta[:, [names.index("mouthSmileLeft"), names.index("mouthSmileRight")]].T
        assert ((left > 0) & (right == 0)).any()
        assert ((left > 0) & (left == right)).any()

    def test_a_model_with_other_expressions_shows_few_of_its_own(self, default_model: MorphableModel) -> None:
        unbounded = np.full((2, 52), np.inf, np.float32) * [[-1], [1]]
        renamed = replace(
            default_model,
            expression_names=tuple(f"e{k}" for k in range(52)),
            expression_bounds=unbounded.astype(np.float32),
        )
        beta = np.array([ExpressionSpace(renamed).few(random_generator(k)) for k in range(50)])
        assert np.isfinite(beta).all()
        assert (np.count_nonzero(beta, axis=1) <= 3).all()
        assert beta.min() < 0.0 < beta.max()

    def test_a_model_with_other_expressions_draws_from_its_prior(self, default_model: MorphableModel) -> None:
        renamed = replace(default_model, expression_names=tuple(f"e{k}" for k in range(52)))
        beta = ExpressionSpace(renamed).random(random_generator(0))
        assert beta.any()


class TestMotions:
    @pytest.mark.parametrize("kind", MOTIONS)
    def test_expressions_stay_in_bounds_and_move_smoothly(self, default_model: MorphableModel, kind: str) -> None:
        motion = random_motion(random_generator(1), default_model, kind, 300, 30.0)
        assert motion.beta.min() >= 0.0
        assert motion.beta.max() <= 1.0
        assert np.abs(np.diff(motion.angles, axis=0)).max() < np.radians(6.0)
        blink = [name.startswith(("eyeBlink", "eyeLook")) for name in default_model.expression_names]
        assert np.abs(np.diff(motion.beta[:, ~np.array(blink)], axis=0)).max() < 0.35

    def test_still_means_that_only_the_noise_changes(
        self, renderer: SceneRenderer, default_model: MorphableModel
    ) -> None:
        scenes = list(sequence(random_generator(2), default_model, "still", 3, 30.0, SMALL, noise=3.0))
        for scene in scenes[1:]:
            np.testing.assert_array_equal(scene.beta, scenes[0].beta)
            np.testing.assert_array_equal(scene.camera.translation, scenes[0].camera.translation)
        noisy = [renderer.render(scene).image.astype(float) for scene in scenes]
        assert np.std(noisy[1] - noisy[0]) == pytest.approx(3.0 * np.sqrt(2), rel=0.15)
        clean = [renderer.render(replace(s, sensor=replace(s.sensor, noise=0.0))).image for s in scenes]
        np.testing.assert_array_equal(clean[0], clean[1])

    def test_nod_is_a_sine_of_one_hertz(self, default_model: MorphableModel) -> None:
        pitch = random_motion(random_generator(3), default_model, "nod", 120, 30.0).angles[:, 0]
        spectrum = np.abs(np.fft.rfft(pitch - pitch.mean()))
        assert np.fft.rfftfreq(120, 1 / 30)[spectrum.argmax()] == pytest.approx(1.0)

    def test_turn_reaches_the_greatest_yaw_to_both_sides(self, default_model: MorphableModel) -> None:
        yaw = np.degrees(random_motion(random_generator(4), default_model, "turn", 180, 30.0, 40.0).angles[:, 1])
        np.testing.assert_allclose([yaw.min(), yaw.max()], [-40, 40], atol=0.1)

    def test_talking_opens_and_closes_the_jaw(self, default_model: MorphableModel) -> None:
        motion = random_motion(random_generator(5), default_model, "talk", 300, 30.0)
        jaw = motion.beta[:, default_model.expression_names.index("jawOpen")]
        assert jaw.max() > 0.25
        assert jaw.min() < 0.05

    def test_impossible_motions_are_refused(self, default_model: MorphableModel) -> None:
        for kind, frames, rate in (("dance", 10, 30.0), ("still", 0, 30.0), ("still", 10, 0.0)):
            with pytest.raises(Face3DMMError):
                random_motion(random_generator(0), default_model, kind, frames, rate)


class TestSensor:
    grey = np.full((64, 64, 3), 120, np.uint8)

    def test_a_perfect_sensor_changes_nothing(self) -> None:
        np.testing.assert_array_equal(expose(self.grey, Sensor()), self.grey)

    def test_noise_has_the_deviation_asked_for(self) -> None:
        noisy = expose(self.grey, Sensor(noise=4.0, seed=1)).astype(float)
        assert noisy.std() == pytest.approx(4.0, rel=0.05)
        assert noisy.mean() == pytest.approx(120.0, abs=0.3)

    def test_shot_noise_grows_with_the_light(self) -> None:
        dark, bright = (expose(np.full_like(self.grey, v), Sensor(shot_noise=8.0)).std() for v in (30, 200))
        assert bright / dark == pytest.approx(np.sqrt(200 / 30), rel=0.1)

    def test_another_seed_is_other_noise(self) -> None:
        first, second = (expose(self.grey, Sensor(noise=4.0, seed=seed)) for seed in (1, 2))
        assert (first != second).mean() > 0.5

    def test_more_exposure_is_brighter(self) -> None:
        assert (
            expose(self.grey, Sensor(exposure=0.5)).mean() > 130 > 110 > expose(self.grey, Sensor(exposure=-0.5)).mean()
        )

    def test_blur_and_motion_soften_an_edge(self) -> None:
        edge = np.zeros((64, 64, 3), np.uint8)
        edge[:, 32:] = 255
        for sensor in (Sensor(blur=1.5), Sensor(motion=(8.0, 0.0)), Sensor(resolution=0.3)):
            softened = expose(edge, sensor)
            assert ((softened > 20) & (softened < 235)).any()
        np.testing.assert_array_equal(expose(edge, Sensor(motion=(8.0, np.pi / 2))), edge)


class TestBackgrounds:
    def test_the_same_seed_paints_the_same(self) -> None:
        first, second = (draw_background(Background(seed=4), (80, 60)) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert first.shape == (60, 80, 3)

    def test_a_users_pictures_are_found_and_shown(self, tmp_path: Path) -> None:
        cv2.imwrite(str(tmp_path / "red.png"), np.full((50, 70, 3), (0, 0, 200), np.uint8))
        (path,) = find_pictures(tmp_path)
        image = draw_background(Background(seed=1, picture=path), (40, 40))
        assert image[..., 2].min() > 60
        assert image[..., :2].max() < 10

    def test_folders_without_pictures_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(Face3DMMError, match="holds no picture"):
            find_pictures(tmp_path)
        with pytest.raises(Face3DMMError, match="not a folder"):
            find_pictures(tmp_path / "missing")

    def test_a_picture_that_is_none_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "bad.png").write_bytes(b"no picture")
        with pytest.raises(Face3DMMError, match="not a picture"):
            draw_background(Background(picture=tmp_path / "bad.png"), (40, 40))


class TestDatasets:
    def test_a_picture_comes_with_its_truth(
        self, renderer: SceneRenderer, default_model: MorphableModel, tmp_path: Path
    ) -> None:
        assert write_dataset(tmp_path, renderer, SMALL, 2, seed=4) == 2
        image, truth = cv2.imread(str(tmp_path / "face000001.jpg")), scipy.io.loadmat(tmp_path / "face000001.mat")
        assert image.shape == (160, 160, 3)
        camera = WeakPerspective(float(truth["scale"][0, 0]), truth["rotation"], truth["translation"].ravel())
        vertices = default_model.vertices(truth["alpha"].ravel(), truth["beta"].ravel())
        points = default_model.scheme("ibug68").interpolate(vertices)
        np.testing.assert_allclose(truth["pt3d_68"][:2].T, camera.project(points), atol=1e-3)
        np.testing.assert_allclose(truth["pt3d_68"][2], -camera.depth(points), atol=1e-3)
        R = rotation_from_pose_angles(*truth["Pose_Para"][0, :3])
        np.testing.assert_allclose(R, camera.rotation, atol=1e-6)
        assert truth["model_digest"][0] == default_model.digest
        assert truth["visibility"].size == 68

    def test_a_stopped_run_goes_on_where_it_was(self, renderer: SceneRenderer, tmp_path: Path) -> None:
        whole, stopped = tmp_path / "whole", tmp_path / "stopped"
        write_dataset(whole, renderer, SMALL, 3)
        write_dataset(stopped, renderer, SMALL, 1)
        assert write_dataset(stopped, renderer, SMALL, 3) == 2
        assert write_dataset(stopped, renderer, SMALL, 3) == 0
        for path in whole.glob("*.jpg"):
            assert path.read_bytes() == (stopped / path.name).read_bytes()

    def test_other_options_do_not_mix_into_a_folder(self, renderer: SceneRenderer, tmp_path: Path) -> None:
        write_dataset(tmp_path, renderer, SMALL, 1, seed=1)
        with pytest.raises(Face3DMMError, match="other options"):
            write_dataset(tmp_path, renderer, SMALL, 1, seed=2)
        with pytest.raises(Face3DMMError, match="other options"):
            write_dataset(tmp_path, renderer, replace(SMALL, max_yaw=10.0), 1, seed=1)
