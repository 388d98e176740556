/** Agents' names. */
import { assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { parseAgent } from "../../../io/agents/agent.ts";

const preset = {
  ...{ activity: "silero", preset: "livekit", bargeIn: null },
  end: { by: "silence", seconds: 0.55 },
};

Deno.test("an agent's name gives its folder and its settings", () => {
  const specs: [string, object][] = [
    ["models/one", { kind: "folder", folder: "models/one", delay: null }],
    ["answers,delay=0.16", { kind: "folder", folder: "answers", delay: 0.16 }],
    ["cascade:m", { kind: "cascade", model: "m", choice: preset }],
    ["cascade:./public", { kind: "cascade", model: "./public", choice: preset }],
    ["cascade:m,preset=pipecat", {
      kind: "cascade",
      model: "m",
      choice: { ...preset, preset: "pipecat", end: { by: "smart" } },
    }],
    ["cascade:public", {
      kind: "public",
      model: null,
      choice: { ...preset, preset: "pipecat", end: { by: "smart" } },
    }],
    ["cascade:public,model=m,preset=livekit", { kind: "public", model: "m", choice: preset }],
    ["cascade:m,end=silence:0.25,barge-in=1,activity=level,preset=pipecat", {
      kind: "cascade",
      model: "m",
      choice: {
        ...{ activity: "level", preset: "pipecat", bargeIn: 1 },
        end: { by: "silence", seconds: 0.25 },
      },
    }],
    ["cascade:m,end=oracle", {
      kind: "cascade",
      model: "m",
      choice: { ...preset, end: { by: "oracle" } },
    }],
  ];
  for (const [text, wanted] of specs) {
    assertEquals<object>(parseAgent(text), { ...wanted, text });
  }
});

Deno.test("a name that means nothing says what it may be, in one line", () => {
  const wrong: [string, RegExp][] = [
    ["", /names no folder/],
    ["cascade:", /names no folder/],
    [",delay=1", /names no folder/],
    ["m,end=smart", /may be delay/],
    ["m,delay=-1", /seconds from 0 to 60/],
    ["cascade:m,activty=level", /activity: did you mean/],
    ["cascade:m,activity", /activity=VALUE/],
    ["cascade:m,activity=loud", /silero, level/],
    ["cascade:m,preset=none", /livekit, livekit-literal, pipecat/],
    ["cascade:m,end=silence", /silence:SECONDS/],
    ["cascade:m,end=silence:x", /seconds from 0 to 10/],
    ["cascade:m,end=silence:1:2", /silence:SECONDS/],
    ["cascade:m,barge-in=1e1", /seconds from 0 to 10/],
    ["cascade:m,barge-in=11", /seconds from 0 to 10/],
    ["cascade:m,end=smart,end=oracle", /twice/],
    ["cascade:m,\n", /may be/],
  ];
  for (const [text, message] of wrong) {
    const { message: said } = assertThrows(() => parseAgent(text), InputError);
    assertEquals([message.test(said), said.includes("\n")], [true, false], said);
  }
});
