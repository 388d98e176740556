/** Conversations are found where people keep them, and what isn't one is named. */
import { assertEquals, assertRejects } from "@std/assert";
import { dirname } from "node:path";
import { InputError } from "../../../engine/config/errors.ts";
import { findConversations } from "../../../io/layouts/conversations.ts";
import { folderTest } from "../media.ts";

/** No file of these tests needs FFmpeg. */
const without = () => Promise.reject(new InputError("no FFmpeg"));

/** A WAV file of 1600 samples. */
function wav(channels: number): Uint8Array {
  const bytes = new Uint8Array(44 + 3200 * channels);
  const view = new DataView(bytes.buffer);
  for (const [at, text] of [[0, "RIFF"], [8, "WAVE"], [12, "fmt "], [36, "data"]] as const) {
    new TextEncoder().encodeInto(text, bytes.subarray(at));
  }
  view.setUint32(4, bytes.length - 8, true);
  view.setUint32(16, 16, true);
  for (const [at, value] of [[20, 1], [22, channels], [32, 2 * channels], [34, 16]] as const) {
    view.setUint16(at, value, true);
  }
  view.setUint32(24, 16000, true);
  view.setUint32(28, 32000 * channels, true);
  view.setUint32(40, 3200 * channels, true);
  return bytes;
}

async function put(root: string, files: Record<string, string | number>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await Deno.mkdir(dirname(`${root}/${name}`), { recursive: true });
    const bytes = typeof content === "number"
      ? wav(content)
      : new TextEncoder().encode(content.replaceAll("ROOT", root));
    await Deno.writeFile(`${root}/${name}`, bytes);
  }
}

/** Lines of an events file. */
const events = (input: string, response: string, channel: string | number = "mix") =>
  [
    {
      type: "header",
      schema: "wanstream/events/2",
      input: { path: input, audio: true, tracks: { video: null, audio: { number: 2, channel } } },
      stream: { unitMs: 160 },
    },
    { type: "unit", unit: 0, text: "i se" },
    { type: "clock", unit: 1 },
    { type: "unit", unit: 1, text: "e" },
    { type: "unit", unit: 2, text: "" },
    { type: "summary", outputs: { response } },
  ].map((line) => JSON.stringify(line)).join("\n");

/** What was found, briefly. */
async function found(root: string) {
  const { conversations, leftOut } = await findConversations(root, without);
  const short = (path: string) => path.replace(`${root}/`, "");
  return {
    conversations: conversations.map(({ name, kind, user, agent, delay }) =>
      `${name}: ${kind}, ${short(user.path)} ${user.tracks.channel}, ` +
      `${short(agent.path)} ${agent.tracks.channel}, ${delay}`
    ),
    leftOut: leftOut.map(short),
  };
}

folderTest(
  "findConversations() knows pairs, channels, replays and batches by their files",
  async (root) => {
    await put(root, {
      "a/user.wav": 1,
      "a/agent.wav": 1,
      "a/user.mkv": "",
      "a/truth.json": "{}",
      "b/input.wav": 1,
      "b/output.wav": 2,
      "b/output.json": "{}",
      "calls/1.wav": 2,
      "calls/2.wav": 1,
      "calls/notes.txt": "",
      "calls/broken.wav": "RIFF",
      "half/input.wav": 1,
      "talk.mp4": "",
      "replays/one.mkv": "",
      "replays/one.jsonl": events("ROOT/talk.mp4", "elsewhere/one.mkv", "right"),
      "replays/two.mkv": "",
      "replays/two.jsonl": events("../talk.mp4", "two.mkv"),
      "replays/other.jsonl": '{"type":"recording"}\n',
      "batch/x/response.mkv": "",
      "batch/x/done.json": "{}",
      "batch/x/events.jsonl": events("ROOT/talk.mp4", "response.mkv"),
      "batch/y/error.json": '{"kind":"input","message":"talk.mp3: is empty"}',
      "batch/z/response.mkv": "",
      "batch/z/events.jsonl": events("ROOT/gone.mp4", "response.mkv"),
      "batch/w/response.mkv": "",
      "batch/w/events.jsonl": events("ROOT/talk.mp4", "response.mkv").split("\n").slice(0, 3).join(
        "\n",
      ),
      "batch/.wanstream/user.wav": 1,
      "batch/.wanstream/agent.wav": 1,
      "batch/summary.jsonl": '{"type":"header","schema":"wanstream/batch-summary/1"}\n',
    });
    const { conversations, leftOut } = await found(root);
    assertEquals(
      conversations,
      [
        "a: pair, a/user.mkv mix, a/agent.wav mix, 0",
        "b: pair, b/input.wav mix, b/output.wav mix, 0",
        "batch/x: replay, talk.mp4 mix, batch/x/response.mkv mix, 0.16",
        "calls/1.wav: channels, calls/1.wav left, calls/1.wav right, 0",
        "replays/one.jsonl: replay, talk.mp4 right, replays/one.mkv mix, 0.16",
        "replays/two.jsonl: replay, talk.mp4 mix, replays/two.mkv mix, 0.16",
      ],
    );
    assertEquals(leftOut, [
      "talk.mp4: no FFmpeg",
      "batch/w/events.jsonl: has no summary: its replay didn't end",
      "batch/y: its item of the batch failed (talk.mp3: is empty)",
      `batch/z/events.jsonl: names ${root}/gone.mp4, which isn't there: bring it back`,
      "calls/2.wav: its sound has 1 channel: two are needed, user and agent",
      "calls/broken.wav: is a WAV file without samples: record it again",
      "half/input.wav: there is no output.* beside it",
    ]);
    const [words] = (await findConversations(`${root}/batch/x`, without)).conversations;
    assertEquals(words?.words?.map(({ text }) => text), ["i", "see"]);
    assertEquals(words?.user.tracks, { audio: 2, video: "none", channel: "mix" });
  },
);

folderTest(
  "a file of two channels is a conversation, and what holds none is refused",
  async (root) => {
    await put(root, { "call.wav": 2, "mono.wav": 1, "empty/x.txt": "", "half/user.wav": 1 });
    assertEquals((await found(`${root}/call.wav`)).conversations.length, 1);
    for (
      const [path, message] of [
        ["mono.wav", "its sound has 1 channel: two are needed, user and agent"],
        ["none", "there is no such file: check its name"],
        [
          "empty",
          "holds no conversation: no user.* beside agent.*, input.* beside output.*, replay",
        ],
        ["half", "(user.wav: there is no agent.* beside it)"],
      ] as const
    ) {
      const error = await assertRejects(
        () => findConversations(`${root}/${path}`, without),
        InputError,
      );
      assertEquals(
        [error.message.includes(message), error.message.includes("\n")],
        [true, false],
        error.message,
      );
    }
  },
);

folderTest(
  "links to nothing, pipes and links to themselves are named, and none is waited for",
  async (root) => {
    await put(root, {
      "good/user.wav": 1,
      "good/agent.wav": 1,
      "pipes/.keep": "",
      "links/.keep": "",
    });
    for (const [name, to] of [["x.jsonl", "gone"], ["error.json", "gone"], ["c.wav", "c.wav"]]) {
      await Deno.symlink(to ?? "", `${root}/links/${name}`);
    }
    await Deno.symlink("..", `${root}/links/loop`);
    const pipes = ["call.wav", "error.json", "events.jsonl", "film.mkv"];
    if (Deno.build.os !== "windows") {
      const paths = pipes.map((name) => `${root}/pipes/${name}`);
      await new Deno.Command("mkfifo", { args: paths }).output();
      await assertRejects(() => findConversations(`${root}/pipes/call.wav`, without), InputError);
    }
    const { conversations, leftOut } = await findConversations(root, without);
    assertEquals(conversations.map(({ name }) => name), ["good"]);
    assertEquals(leftOut, [
      "links/c.wav: can't be read (Too many levels of symbolic links): check its name",
      ...["error.json", "x.jsonl"].map((name) =>
        `links/${name}: there is no such file: check its name`
      ),
      ...pipes.map((name) => `pipes/${name}: is no file: save its content to one`),
    ]);
  },
);
