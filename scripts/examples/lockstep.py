"""A model that answers unit by unit, at the caller's pace: `wanstream stream --lockstep` as a child.

    python3 scripts/examples/lockstep.py INPUT.wav OUTPUT.wav COMMAND [OPTIONS ...]

INPUT.wav is mono, 16 bits, 16 kHz (`ffmpeg -i talk.mp4 -ac 1 -ar 16000 INPUT.wav`); COMMAND is
`wanstream stream --lockstep` or `deno task stream --lockstep`. Prints what the agent says.
"""

import json
import subprocess
import sys
import wave

RATE = 16000
UNIT_BYTES = 5120  # 160 ms at 16 kHz, 16 bits


class Lockstep:
    def __init__(self, command: list[str]):
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run_tick(self, audio: bytes, text: str = "") -> tuple[dict, bytes]:
        """Gives a unit (b"": silence) and what is typed; takes its answer: its fields and its samples."""
        line = json.dumps({"bytes": len(audio), **({"text": text} if text else {})})
        try:
            self.child.stdin.write(line.encode() + b"\n" + audio)
            self.child.stdin.flush()
        except BrokenPipeError:
            pass  # It has ended: its standard error says why.
        answer = self.child.stdout.readline()
        if not answer:
            raise RuntimeError(f"the model ended with exit code {self.child.wait()}")
        fields = json.loads(answer)
        return fields, self.child.stdout.read(fields["bytes"])

    def close(self) -> int:
        self.child.stdin.close()
        self.child.stdout.close()
        return self.child.wait()


def main(source: str, target: str, *command: str) -> int:
    with wave.open(source) as given:
        if given.getparams()[:3] != (1, 2, RATE):
            sys.exit(f"{source}: should be mono, 16 bits, {RATE} Hz: convert it with FFmpeg")
    model = Lockstep(list(command))
    with wave.open(source) as given, wave.open(target, "wb") as taken:
        taken.setparams((1, 2, RATE, 0, "NONE", ""))
        while audio := given.readframes(UNIT_BYTES // 2):
            fields, answer = model.run_tick(audio.ljust(UNIT_BYTES, b"\0"))
            taken.writeframes(answer)
            print(fields["text"], end="", flush=True)
    print()
    return model.close()


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
