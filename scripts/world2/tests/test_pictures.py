"""The characters' and the users' pictures: states that are seen, boxes that hold, who is told apart.

    cd scripts && .venv/bin/python -m unittest world2.tests.test_pictures
"""

import os
import struct
import tempfile
import unittest
import zlib
from dataclasses import replace

import numpy as np

from world import draw
from world.stream import EVALUATION_SEEDS, FRAME, TRAINING_SEEDS
from world2 import camera, cards, looks, sheet
from world2.characters import HEIGHT, WIDTH, Parts, character, face_features, named, nearest, parts_of

RANDOM = np.random.default_rng(int.from_bytes(os.urandom(4), "little"))


def seeds(count, of=None):
    """Drawn anew in every run."""
    return [int(seed) for seed in RANDOM.choice(of or range(200_000), count, replace=False)]


def inside(box, shape=(HEIGHT, WIDTH)):
    left, right, top, bottom = box
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


def changed(a, b):
    return (a != b).any(-1)


class Characters(unittest.TestCase):
    def test_a_seed_gives_one_character(self):
        for seed in seeds(3):
            again = Parts(looks.look(seed)).frame(0, 0, 0, 0)
            np.testing.assert_array_equal(character(seed).reference(), again)
            self.assertEqual(again.shape, (HEIGHT, WIDTH, 3))
            self.assertEqual(again.dtype, np.uint8)

    def test_mouth_and_eyes_change_within_their_boxes_alone(self):
        for seed in seeds(6):
            who = character(seed)
            for _ in range(2):
                nod, sway = RANDOM.choice([-1, 0, 1, RANDOM.uniform(-1, 1)], 2)
                turned = lambda mouth, blink: who.frames([mouth], [blink], [nod], [sway])[0]
                rest = turned(0, 0)
                for part, moved in (("mouth", turned(RANDOM.uniform(0.2, 1), 0)), ("eyes", turned(0, RANDOM.uniform(0.2, 1)))):
                    self.assertFalse((changed(rest, moved) & ~inside(who.boxes[part])).any(), f"{part} of {seed}")
                    self.assertTrue(changed(rest, moved).any())
            left, right, top, bottom = who.boxes["mouth"]
            self.assertTrue(inside(who.boxes["lips"])[top:bottom, left:right].all())
            self.assertTrue(inside(who.boxes["mouth"])[parts_of(seed).mouth(0).top + 1, int(looks.look(seed).cx)])

    def test_an_open_mouth_is_plainly_seen_in_every_look(self):
        for style in looks.STYLES:
            for beard in RANDOM.choice(looks.BEARDS, 2, replace=False):
                look = replace(looks.look(seeds(1)[0]), style=style, beard=beard, moustache=bool(RANDOM.integers(2)))
                parts = Parts(look)
                opening = [parts.frame(m, 0, 0, 0).astype(int) for m in range(13)]
                across = [np.abs(opening[m] - opening[0]).sum() for m in range(13)]
                self.assertTrue(all(a < b for a, b in zip(across, across[1:])), (style, beard))
                # At full opening at least 250 pixels differ by more than 60 of 765.
                self.assertGreater((np.abs(opening[-1] - opening[0]).sum(-1) > 60).sum(), 250, (style, beard))

    def test_green_below_the_skins_tells_how_open_a_mouth_is(self):
        for seed in seeds(4):
            who, n = character(seed), 40
            mouth, sway, nod = RANDOM.uniform(0, 1, n) ** 2, np.sin(np.arange(n) / 9), np.zeros(n)
            left, right, top, bottom = who.boxes["mouth"]
            green = who.frames(mouth, nod, nod, sway)[:, top:bottom, left:right, 1].astype(float)
            opening = np.maximum(0, who.mouth_green - green).mean((1, 2))
            self.assertGreater(np.corrcoef(opening, mouth)[0, 1], 0.9, seed)
            closed, opened = who.mouth_depths()
            self.assertGreater(opened - closed, 3, seed)

    def test_states_out_of_range_are_those_at_its_ends(self):
        who = character(seeds(1)[0])
        np.testing.assert_array_equal(who.frames([-1, 9], [9, -1], [-9, 9], [9, -9]), who.frames([0, 1], [1, 0], [-1, 1], [1, -1]))

    def test_four_are_named_plainly_unlike_each_other(self):
        four = named()
        self.assertEqual(list(four), ["ada", "bo", "cleo", "dev"])
        kinds = [character.look.kind for character in four.values()]
        for part in (1, 2, 3):  # hair, clothes, scene
            self.assertEqual(len({kind[part] for kind in kinds}), 4, kinds)
        self.assertTrue(all(who.seed in TRAINING_SEEDS for who in four.values()))

    def test_characters_of_evaluation_seeds_are_never_trained_on(self):
        of = lambda span: [looks.look(seed) for seed in span]
        first, count = seeds(1, range(90_000))[0], 1500
        trained = of(range(first, first + count))
        evaluated = of(range(EVALUATION_SEEDS.start + first, EVALUATION_SEEDS.start + first + count))
        self.assertFalse({a.kind for a in trained} & {a.kind for a in evaluated})
        self.assertGreater(len({a.kind for a in evaluated}), 500)
        # Every part by itself is seen in training.
        for field in ("style", "hair", "clothes", "scene", "nose", "eye", "brow", "beard", "glasses", "extra", "weave"):
            self.assertLessEqual({getattr(a, field) for a in evaluated}, {getattr(a, field) for a in trained}, field)


class Faces(unittest.TestCase):
    def test_the_right_one_of_eight_is_nearest_while_it_speaks(self):
        draws, right = 200, 0
        pool = [character(seed) for seed in seeds(16, EVALUATION_SEEDS)]
        spoken = {}
        for _ in range(draws):
            eight = [pool[i] for i in RANDOM.choice(len(pool), 8, replace=False)]
            true = int(RANDOM.integers(8))
            who = eight[true]
            if who.seed not in spoken:
                n = 10
                at = np.arange(n)
                spoken[who.seed] = who.frames(RANDOM.uniform(0, 1, n), at % 9 < 3, np.sin(at / 3), np.sin(at / 5 + RANDOM.uniform(0, 6)))
            right += nearest(face_features(spoken[who.seed], who.boxes), eight) == true
        self.assertGreaterEqual(right / draws, 0.99)

    def test_features_are_the_mean_of_what_each_cell_covers(self):
        frames = RANDOM.integers(0, 256, (3, HEIGHT, WIDTH, 3), np.uint8)
        features = face_features(frames)
        self.assertEqual(features.shape, (27, 48, 3))
        fine = frames.astype(float).mean(0).repeat(9, 0)  # 27 x 64 rows, 48 x 7 columns
        np.testing.assert_allclose(features, fine.reshape(27, 64, 48, 7, 3).mean((1, 3)), atol=1e-3)

    def test_boxes_of_mouth_and_eyes_are_left_out(self):
        who = character(seeds(1)[0])
        rest, moved = (face_features(who.frames([v], [v], [0], [0]), who.boxes) for v in (0, 1))
        np.testing.assert_array_equal(rest, moved)
        self.assertTrue(0.02 < np.isnan(rest).mean() < 0.3)


class Users(unittest.TestCase):
    card, other = ("red", "circle", 3), ("blue", "star", 1)

    def film(self, seed, n=8, **options):
        face = draw.face(np.random.default_rng(seed))
        timeline = [(0, None), (2 * FRAME, self.card), (5 * FRAME, self.other)]
        return camera.user_frames(face, [(0, True)], timeline, camera.view(seed), n, **options)

    def test_part_of_the_frames_is_that_part_of_all(self):
        seed = seeds(1)[0]
        whole = self.film(seed)
        self.assertEqual(whole.shape, (8, 64, 112, 3))
        np.testing.assert_array_equal(self.film(seed, first=3, last=6), whole[3:6])

    def test_every_aspect_is_letterboxed(self):
        left = set(camera.ASPECTS)
        for seed in range(200):
            at = camera.view(seed)
            if at.aspect in left:
                left.remove(at.aspect)
                frames = self.film(seed, 2)
                (width, height), lit = at.size, frames.any((0, 3))
                self.assertFalse(lit[: (64 - height) // 2].any() or lit[:, : (112 - width) // 2].any())
                self.assertGreater(lit.mean(), 0.9 * width * height / (112 * 64))
        self.assertFalse(left)

    def test_cards_appear_when_they_are_shown_and_mouths_move(self):
        for seed in seeds(4):
            scene = camera.Scene(draw.face(np.random.default_rng(seed)), camera.view(seed))
            none, shown = scene.drawn(True, 0, 0, 0, None, 0, 0), scene.drawn(True, 0, 0, 0, self.card, 1, 0)
            self.assertGreater(changed(none, shown).mean(), 0.05)
            self.assertTrue(changed(none, scene.drawn(True, 5, 0, 0, None, 0, 0)).any())
            self.assertGreater(changed(none, scene.drawn(False, 0, 0, 0, None, 0, 0)).mean(), 0.1)

    def test_shapes_of_a_card_can_be_told_and_counted(self):
        """Held straight and large, the coloured parts are as many as the card says, with the hand there."""
        for kind in cards.KINDS:
            for _ in range(4):
                count = int(RANDOM.integers(1, 5))
                how = replace(cards.held(seeds(1)[0], 0, (210, 160, 120)), kind=kind)
                picture = cards.flat(("blue", str(RANDOM.choice(draw_shapes)), count), how)
                blue = (picture[..., 2] > picture[..., 0] + 60) & (picture[..., 3] > 0.9)
                self.assertEqual(pieces(blue), count, (kind, how))


draw_shapes = ["circle", "square", "triangle", "star", "heart"]


def pieces(mask):
    """Connected parts of at least 20 pixels."""
    left, found = {(int(r), int(c)) for r, c in np.argwhere(mask)}, 0
    while left:
        reached = [left.pop()]
        size = 0
        while reached:
            r, c = reached.pop()
            size += 1
            for near in ((r + dr, c + dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1)):
                if near in left:
                    left.remove(near)
                    reached.append(near)
        found += size >= 20
    return found


class Sheet(unittest.TestCase):
    def test_a_png_holds_the_picture(self):
        picture = RANDOM.integers(0, 256, (5, 7, 3), np.uint8)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "x.png")
            sheet.write_png(path, picture)
            with open(path, "rb") as file:
                data = file.read()
        self.assertEqual(struct.unpack(">II", data[16:24]), (7, 5))
        at = data.index(b"IDAT")
        rows = np.frombuffer(zlib.decompress(data[at + 4 : at + 4 + struct.unpack(">I", data[at - 4 : at])[0]]), np.uint8)
        np.testing.assert_array_equal(rows.reshape(5, 22)[:, 1:].reshape(5, 7, 3), picture)


if __name__ == "__main__":
    unittest.main()
