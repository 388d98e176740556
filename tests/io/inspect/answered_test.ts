import { assert, assertEquals } from "@std/assert";
import { openConfig } from "../../../engine/checkpoint/checkpoint.ts";
import type { OpenedAgent } from "../../../io/agents/agent.ts";
import { openRecording } from "../../../io/eval/recordings.ts";
import { answered } from "../../../io/inspect/answered.ts";
import { startRun } from "../../../io/provenance/provenance.ts";
import { ownModel } from "../../../io/run/open_model.ts";
import { EchoSession } from "../echo_replay.ts";
import { ffmpegTest, finder } from "../media.ts";

ffmpegTest(
  "any agent's answers are opened up, beside what was said and what is right",
  async () => {
    const config = await openConfig(await ownModel());
    const seen = { options: null, references: null, texts: [], closed: 0 };
    const agent: OpenedAgent = {
      ...{ name: "an echo", line: "it echoes", settings: {}, checkpointDigest: "0", config },
      open: (_, seed) => {
        assertEquals(seed, 3);
        return Promise.resolve(new EchoSession(config, 0, seen));
      },
      close: () => Promise.resolve(),
      programs: () => Promise.resolve([]),
    };
    const recording = await openRecording("samples/eval/100000");
    const data = await answered({
      ...{ agent, recording, seed: 3, network: null, ffmpeg: await finder() },
      ...{ run: startRun("inspect"), signal: new AbortController().signal },
    });
    assert(data);
    assertEquals([data.units.length, data.name], [recording.truth.units, "an echo, 100000"]);
    assertEquals(data.said[0]?.text, "what shape is this");
    assertEquals(data.said[0]?.start, 17 * 0.16);
    assert(data.right.some(({ text, start }) => text === "it is a heart" && start === 32 * 0.16));
    // An echo is as loud as the user.
    assertEquals(data.units[20]?.active, { user: true, agent: true });
    assertEquals([seen.closed > 0, data.header.input?.path], [true, recording.user]);
  },
);
