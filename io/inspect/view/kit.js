/**
 * What the page's other scripts build with: its data, elements, plots, sound. Texts of users go into
 * text nodes and titles alone, never into markup.
 */
const data = JSON.parse(document.getElementById("data").textContent);

/** An element with its properties (`dataset`, `style` too) and children: elements or texts. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "style" || name === "dataset") Object.assign(made[name], value);
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** A plot by one of the page's specifications; what it shows is set again and again. */
class Plot {
  constructor(name, parent) {
    const spec = { ...data.specs[name], config: data.theme };
    const { spec: compiled } = globalThis.vegaLite.compile(spec, {
      logger: globalThis.vega.logger(globalThis.vega.Error),
    });
    this.place = element("div", { className: "plot", dataset: { plot: name } });
    parent.append(this.place);
    this.view = new globalThis.vega.View(globalThis.vega.parse(compiled), {
      renderer: "svg",
      container: this.place,
      hover: false,
    });
    this.isLane = "params" in data.specs[name];
  }

  /** @param values Rows of data. @param signals The plot's parameters. */
  show(values, signals = {}) {
    for (const [name, value] of Object.entries(signals)) this.view.signal(name, value);
    this.view.data("values", values).runAsync();
  }

  /** @param width Pixels of a lane, names and axes among them. */
  resize(width) {
    this.view.width(Math.max(50, width - data.gutter - data.margin));
  }
}

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** A run's sound: both channels' samples, and the file that the browser plays. */
class Sound {
  constructor({ wav, sampleRate, unitMs }) {
    const bytes = bytesOf(wav);
    const samples = new Int16Array(bytes.buffer, 44);
    this.perUnit = (sampleRate * unitMs) / 1000;
    this.sampleRate = sampleRate;
    this.channels = [0, 1].map((channel) =>
      Float32Array.from({ length: samples.length / 2 }, (_, i) => samples[2 * i + channel] / 32768)
    );
    this.player = new Audio(URL.createObjectURL(new Blob([bytes], { type: "audio/wav" })));
    this.player.preload = "auto";
    this.loudest = this.channels.map((channel) =>
      channel.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0.05)
    );
  }

  /** Least and greatest sample in each of so many parts of [from, to), in units from the first one. */
  outline(channel, from, to, parts) {
    const samples = this.channels[channel];
    const step = ((to - from) * this.perUnit) / parts;
    const outline = [];
    for (let part = 0; part < parts; part++) {
      const start = Math.max(0, Math.floor(from * this.perUnit + part * step));
      const end = Math.min(samples.length, Math.max(start + 1, Math.floor(start + step)));
      let [low, high] = [0, 0];
      for (let i = start; i < end; i++) {
        low = Math.min(low, samples[i]);
        high = Math.max(high, samples[i]);
      }
      outline.push({ at: from + (part * (to - from)) / parts, low, high });
    }
    return outline;
  }

  /** Plays a piece of some channels, in units from the first one. */
  playPiece(channels, from, to) {
    this.context ??= new AudioContext();
    for (const channel of channels) {
      const piece = this.channels[channel].slice(from * this.perUnit, to * this.perUnit);
      const buffer = this.context.createBuffer(1, Math.max(1, piece.length), this.sampleRate);
      buffer.copyToChannel(piece, 0);
      const source = this.context.createBufferSource();
      source.buffer = buffer;
      source.connect(this.context.destination);
      source.start();
    }
  }
}

/** A text that can be seen: white space and emptiness named. */
const shown = (text) => text === "" ? "∅" : text.replaceAll(" ", "␣").replaceAll("\n", "⏎");
/** A token for people: the filler is a dot, other marks lose their brackets. */
const tokenText = ({ text, token }, filler) =>
  token === filler ? "·" : text.replace(/^<\|(.*)\|>$/, "$1").trim() || shown(text);
const percent = (part) => `${(100 * part).toFixed(part < 0.1 ? 1 : 0)} %`;
const jpeg = (base64) => `data:image/jpeg;base64,${base64}`;

globalThis.kit = { data, element, Plot, Sound, shown, tokenText, percent, jpeg };
