"""Lengths that every part of the world shares."""

SAMPLE_RATE = 16000
UNIT_MS = 160
FPS = 25
UNIT = SAMPLE_RATE * UNIT_MS // 1000  # samples of a unit
FRAMES = FPS * UNIT_MS // 1000  # video frames of a unit
FRAME = UNIT // FRAMES  # samples of a video frame
ACTIVE = 0.01  # RMS of a unit from which on a voice is active in it (docs/eval.md)

# Seeds of conversations; nobody tunes on the second range.
TRAINING_SEEDS = range(0, 100_000)
EVALUATION_SEEDS = range(100_000, 200_000)


def is_evaluation(seed):
    return seed >= EVALUATION_SEEDS.start


def seconds(value):
    """Seconds to samples."""
    return int(round(value * SAMPLE_RATE))
