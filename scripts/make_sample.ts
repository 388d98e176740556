/**
 * Makes samples/voice.mp4 again: a real voice, and a drawn face whose mouth opens with it.
 *
 *     deno run --allow-read --allow-write --allow-run=apt-get,dpkg-deb,ffmpeg scripts/make_sample.ts [VOICE.wav]
 *
 * Without an argument the voice comes from Debian's package pocketsphinx-testdata (samples/README.md
 * tells whose it is), which is unpacked into a temporary folder and not installed.
 */
const output = "samples/voice.mp4";
const voiceFile =
  "usr/share/pocketsphinx/test/data/librivox/sense_and_sensibility_01_austen_64kb-0870.wav";
const sampleRate = 16000;
const fps = 25;
const width = 320;
const height = 240;
/** 50 units of 160 ms: a breath of silence, the voice, and time for an answer. */
const seconds = 8;
const leadSeconds = 0.2;

type Colour = readonly [red: number, green: number, blue: number];
/** Coverage of a pixel, 0..1, by a shape. */
type Shape = (x: number, y: number) => number;

/** Everything that moves. */
interface Pose {
  /** Mouth, 0 closed .. 1 wide open. */
  open: number;
  /** Eyelids, 0 open .. 1 closed. */
  blink: number;
  /** Offset of the head and of what the eyes look at, in pixels. */
  headX: number;
  headY: number;
  gazeX: number;
}

async function command(program: string, args: string[], cwd = "."): Promise<Uint8Array> {
  const { success, stdout } = await new Deno.Command(program, {
    args,
    cwd,
    stdin: "null",
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`${program} ${args.join(" ")} failed`);
  return stdout;
}

/** The voice between its silences: float samples, mono. */
async function readVoice(file: string): Promise<Float32Array> {
  const raw = await command(
    "ffmpeg",
    `-v error -i ${file} -f f32le -ac 1 -ar ${sampleRate} pipe:1`.split(" "),
  );
  const samples = new Float32Array(seconds * sampleRate);
  const voice = new Float32Array(raw.slice().buffer);
  samples.set(voice.subarray(0, samples.length), leadSeconds * sampleRate);
  return samples;
}

/** How far the mouth is open in each frame: the loudness around it, quick to open, slower to close. */
function mouth(samples: Float32Array): number[] {
  const perFrame = sampleRate / fps;
  const opens: number[] = [];
  let now = 0;
  for (let frame = 0; frame < seconds * fps; frame++) {
    const part = samples.subarray(frame * perFrame, (frame + 1) * perFrame);
    const rms = Math.sqrt(part.reduce((sum, value) => sum + value * value, 0) / perFrame);
    const target = Math.min(1, Math.max(0, (rms - 0.006) * 9));
    now += (target - now) * (target > now ? 0.75 : 0.45);
    opens.push(now);
  }
  return opens;
}

const clamp = (value: number) => Math.min(1, Math.max(0, value));

function ellipse(cx: number, cy: number, rx: number, ry: number): Shape {
  return (x, y) => {
    const distance = (Math.hypot((x - cx) / rx, (y - cy) / ry) - 1) * Math.min(rx, ry);
    return clamp(0.5 - distance);
  };
}

const both = (a: Shape, b: Shape): Shape => (x, y) => Math.min(a(x, y), b(x, y));
const above = (edge: number): Shape => (_, y) => clamp(edge - y + 0.5);
const below = (edge: number): Shape => (_, y) => clamp(y - edge + 0.5);

/** The face from back to front. */
function face({ open, blink, headX, headY, gazeX }: Pose): [Shape, Colour][] {
  const [cx, cy] = [width / 2 + headX, 112 + headY];
  const skin: Colour = [233, 190, 158];
  const hair: Colour = [74, 48, 40];
  const layers: [Shape, Colour][] = [
    [ellipse(width / 2, height + 34, 112, 74), [64, 98, 128]],
    [ellipse(width / 2 + headX * 0.5, 196, 24, 34), [214, 168, 136]],
    [ellipse(cx, cy - 12, 76, 90), hair],
    [ellipse(cx - 66, cy + 6, 11, 17), skin],
    [ellipse(cx + 66, cy + 6, 11, 17), skin],
    [ellipse(cx, cy + 4 + open * 2, 64, 80 + open * 3), skin],
    [both(ellipse(cx, cy - 44, 68, 44), above(cy - 42)), hair],
    [ellipse(cx, cy + 18, 7, 11), [219, 170, 138]],
  ];
  for (const side of [-1, 1]) {
    const [ex, ey] = [cx + side * 27, cy - 6];
    const lids = 9.5 * (1 - blink);
    layers.push(
      [ellipse(ex, ey, 13, Math.max(lids, 0.8)), [250, 248, 244]],
      [
        both(ellipse(ex + gazeX, ey, 6.5, 6.5), ellipse(ex, ey, 13, Math.max(lids, 0.8))),
        [60, 84, 74],
      ],
      [both(ellipse(ex + gazeX, ey, 3, 3), ellipse(ex, ey, 13, Math.max(lids, 0.8))), [
        20,
        24,
        24,
      ]],
      [
        both(ellipse(ex, ey - 12 - open * 3, 17, 8), above(ey - 16 - open * 3)),
        hair,
      ],
    );
  }
  // A closed mouth is a line; an open one shows teeth and tongue.
  const [my, mw, mh] = [cy + 48 + open * 3, 22 - open * 4, 1.6 + open * 15];
  const inside = ellipse(cx, my, mw, mh);
  layers.push(
    [ellipse(cx, my, mw + 3.5, mh + 3), [188, 92, 88]],
    [inside, [72, 24, 30]],
    [both(inside, above(my - mh * 0.45)), [244, 240, 232]],
    [both(inside, below(my + mh * 0.4)), [204, 104, 104]],
  );
  return layers;
}

/** One RGB picture. */
function draw(pose: Pose, time: number): Uint8Array {
  const picture = new Uint8Array(width * height * 3);
  const layers = face(pose);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 3) {
      const light = 0.9 + 0.1 * Math.sin(x / 90 + time * 0.6) - y / height * 0.25;
      let [red, green, blue] = [150 * light, 182 * light, 196 * light];
      for (const [shape, colour] of layers) {
        const cover = shape(x + 0.5, y + 0.5);
        if (cover === 0) continue;
        red += (colour[0] - red) * cover;
        green += (colour[1] - green) * cover;
        blue += (colour[2] - blue) * cover;
      }
      picture.set([red, green, blue], at);
    }
  }
  return picture;
}

/** A blink, 0..1, some times in the recording. */
function blinkAt(time: number): number {
  return Math.max(...[0.9, 3.3, 4.0, 6.4, 7.6].map((at) => clamp(1 - Math.abs(time - at) / 0.09)));
}

async function encode(samples: Float32Array): Promise<void> {
  const audio = await Deno.makeTempFile({ suffix: ".f32" });
  await Deno.writeFile(audio, new Uint8Array(samples.buffer));
  const args = `-v error -y -f rawvideo -pix_fmt rgb24 -s ${width}x${height} -r ${fps} -i pipe:0
    -f f32le -ac 1 -ar ${sampleRate} -i ${audio} -t ${seconds}
    -c:v libx264 -threads 1 -preset veryslow -crf 26 -pix_fmt yuv420p -g 50
    -c:a aac -b:a 48k -movflags +faststart -map_metadata -1 -fflags +bitexact ${output}`;
  const encoder = new Deno.Command("ffmpeg", {
    args: args.split(/\s+/),
    stdin: "piped",
    stdout: "null",
  })
    .spawn();
  const writer = encoder.stdin.getWriter();
  for (const [frame, open] of mouth(samples).entries()) {
    const time = frame / fps;
    const pose: Pose = {
      open,
      blink: blinkAt(time),
      headX: 5 * Math.sin(time * 1.3) + 2 * Math.sin(time * 3.1),
      headY: 3 * Math.sin(time * 1.9) - open * 3,
      gazeX: 3 * Math.sin(time * 0.9),
    };
    await writer.write(draw(pose, time));
  }
  await writer.close();
  const { success } = await encoder.status;
  await Deno.remove(audio);
  if (!success) throw new Error(`ffmpeg could not write ${output}`);
}

/** Calls `use` with the voice's file, out of the package. */
async function withDebianVoice(use: (file: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await command("apt-get", ["download", "pocketsphinx-testdata"], folder);
    for await (const { name } of Deno.readDir(folder)) {
      if (name.endsWith(".deb")) await command("dpkg-deb", ["-x", name, "."], folder);
    }
    await use(`${folder}/${voiceFile}`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) {
  const make = async (file: string) => await encode(await readVoice(file));
  const [given] = Deno.args;
  await (given === undefined ? withDebianVoice(make) : make(given));
}
