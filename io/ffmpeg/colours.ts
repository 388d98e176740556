/** What a track's colours need before they are RGB24: HDR becomes SDR, transparent parts turn black. */
import { InputError } from "../../engine/config/errors.ts";
import { type Ffmpeg, ffmpegNames } from "./ffmpeg.ts";

/** What tells a track's colours. */
export interface ColouredTrack {
  codec: string | null;
  /** The rest of FFmpeg's line about it. */
  details: string;
  /** Its container says that the pictures are transparent. */
  hasAlpha: boolean;
}

/** Pixel formats with transparency; a palette may hold it. */
const transparent = /^(rgba|bgra|argb|abgr|ayuv|gbrap|yuva|vuya|ya\d|pal8)/;

/** FFmpeg's names of the transfer functions of HDR: PQ and HLG (ITU-R BT.2100). */
const hdr = /[(/](smpte2084|arib-std-b67)[,)]/;

const isHdr = ({ details }: ColouredTrack) => hdr.test(details);

/** VP8 and VP9 keep transparency in a second picture, which FFmpeg's own decoders don't read. */
const alphaDecoders: Record<string, string> = { vp8: "libvpx", vp9: "libvpx-vp9" };

/** Filters for a track's pictures as they are decoded. */
export function colourFilters(track: ColouredTrack): string[] {
  if (isHdr(track)) {
    return [
      // SDR's white is 100 cd/m2. What is darker than 80 % of it keeps its level, the rest is bent.
      "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709",
      "tonemap=mobius:param=0.8:desat=0,zscale=t=bt709:m=bt709:r=tv,format=yuv420p",
    ];
  }
  const pixels = /, (\w+)/.exec(track.details)?.[1] ?? "";
  if (!transparent.test(pixels) && alphaDecoder(track) === null) return [];
  // Multiplied by their opacity, the pixels stand on black.
  return ["format=gbrap,premultiply=inplace=1,format=gbrp"];
}

/** The decoder that a track's transparency needs; null: FFmpeg's own choice is right. */
function alphaDecoder({ hasAlpha, codec }: ColouredTrack): string | null {
  return (hasAlpha && alphaDecoders[codec ?? ""]) || null;
}

/** Arguments before the input that decode a track's pictures. */
export function decoderArgs(track: ColouredTrack | null): string[] {
  const decoder = track && alphaDecoder(track);
  return [
    ...(decoder ? ["-c:v", decoder] : []),
    // Where the size changes within a recording, fps keeps its clock and scale takes the new size. The
    // filters of colours can't: they begin anew.
    ...(track && colourFilters(track).length === 0 ? ["-reinit_filter:v", "0"] : []),
  ];
}

/** @throws InputError when this FFmpeg can't show a track's colours as they are meant. */
export async function checkColours(ffmpeg: Ffmpeg, path: string, track: ColouredTrack) {
  const decoder = alphaDecoder(track);
  if (isHdr(track) && !(await ffmpegNames(ffmpeg, "filters")).has("zscale")) {
    throw new InputError(
      `${path}: its picture is HDR, which this FFmpeg (${ffmpeg.path}) can't convert: it lacks the ` +
        "filter zscale; convert the recording to SDR, or choose another FFmpeg",
    );
  }
  if (decoder && !(await ffmpegNames(ffmpeg, "decoders")).has(decoder)) {
    throw new InputError(
      `${path}: its picture is transparent, which this FFmpeg (${ffmpeg.path}) can't decode: it lacks ` +
        `${decoder}; convert the recording, or choose another FFmpeg`,
    );
  }
}
