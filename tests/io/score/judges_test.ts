/** The judges themselves, where they are installed. */
import { assert, assertEquals } from "@std/assert";
import { defaultTracks } from "../../../io/media/tracks.ts";
import { Judges } from "../../../io/score/judges.ts";
import { listen } from "../../../io/score/listen.ts";
import { existing } from "../../../scripts/programs.ts";
import { smallSet } from "../eval/players.ts";
import { ffmpeg, finder } from "../media.ts";

const scripts = new URL("../../../scripts/judges", import.meta.url).pathname;
const isThere = existing([`${scripts}/.venv/requirements.txt`]).length > 0;
const why = !isThere
  ? "'deno task setup --judges' wasn't run"
  : ffmpeg === null
  ? "no FFmpeg was found"
  : null;

Deno.test({
  name: `the judges hear words, and tell a voice from a hum${
    why === null ? "" : ` (skipped: ${why})`
  }`,
  ignore: why !== null,
  fn: async () => {
    const path = `${smallSet}/100003/agent.mp4`;
    // Where the agent says 'there is a blue heart'.
    const whole = await listen({ path, tracks: defaultTracks }, null, finder);
    const sound = whole.sound.subarray(12 * 16000);
    await using judges = await Judges.open(scripts, ["words", "quality", "voice"]);
    assert(/^Whisper base .*faster-whisper \d/.test(judges.names["words"] ?? ""));
    const all = [{ from: 0, to: sound.length / 16000 }];
    const voice = await judges.judge(sound, all);
    const heard = (voice.words ?? []).map(({ text }) => text.toLowerCase()).join(" ");
    assert(heard.includes("blue heart"), heard);
    const heart = voice.words?.find(({ text }) => /heart/i.test(text));
    // Whisper lets a sentence's last word reach into the silence after it, by up to a second.
    assert(heart && heart.from > 2.2 && heart.from < 3 && heart.to < 4, JSON.stringify(heart));
    const hum = sound.map((_, i) => 0.1 * Math.sin(i / 20));
    const other = await judges.judge(hum, all);
    assert((voice.quality ?? 0) > 1.3 && (other.quality ?? 5) < (voice.quality ?? 0));
    assert((voice.constancy ?? 0) > 0.5 && (voice.constancy ?? 2) <= 1.001, `${voice.constancy}`);
    // Asked for one part at a time, it hears those alone; and a voice is nearest to itself, not to a hum.
    const parts = [{ from: 0, to: heart.from - 0.5 }, ...all, { from: 0, to: 0 }];
    const candidates = { sound: new Float32Array(2 * sound.length), among: 2 };
    candidates.sound.set(hum);
    candidates.sound.set(sound, sound.length);
    const again = await judges.judge(sound, all, { utterances: parts, candidates });
    const hasHeart = again.heard?.map((text) => /heart/i.test(text));
    assertEquals([hasHeart, again.nearest, again.words], [[false, true, false], 1, null]);
    const none = await judges.judge(new Float32Array(0), []);
    assertEquals(none, { words: [], quality: null, constancy: null });
  },
});
