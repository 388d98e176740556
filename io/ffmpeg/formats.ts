/** Which of FFmpeg's demuxers may read an input: those that read one file and nothing else. */

/**
 * Not here:
 * - what opens other files: hls, dash, concat, imf, image2, mlv, vobsub, webm_dash_manifest, svg_pipe;
 * - devices and the network: lavfi, v4l2, alsa, rtsp, sdp, ...;
 * - samples or pictures without a header, whose rate or size would be a guess: s16le, mulaw, rawvideo;
 * - what makes pictures or sound of text (tty, bin, sbg), and subtitles.
 */
const formats =
  ("3dostr 4xm aa aac aax ac3 ace acm act adp ads adx aea afc aiff aix alias_pix alp amr amrnb amrwb anm " +
    "apac apc ape apm apng argo_asf argo_brp argo_cvg asf asf_o ast au av1 avi avr avs avs2 avs3 " +
    "bethsoftvid bfi bfstm bink binka bit bmp_pipe bmv boa bonk brender_pix brstm c93 caf cavsvideo " +
    "cdxl cine codec2 cri_pipe dcstr dds_pipe derf dfa dhav dirac dnxhd dpx_pipe dsf dsicin dss dts " +
    "dtshd dv dxa ea ea_cdata eac3 epaf evc exr_pipe film_cpk filmstrip fits flac flic flv frm fsb " +
    "fwse g722 g723_1 g729 gdv gem_pipe genh gif gif_pipe gsm gxf h261 h263 h264 hca hcom hdr_pipe " +
    "hevc hnm ico idcin iff ifv ilbc ingenient ipmovie ipu ircam iss iv8 ivf ivr j2k_pipe jpeg_pipe " +
    "jpegls_pipe jpegxl_anim jpegxl_pipe jv kux kvag laf libgme libopenmpt live_flv lmlm4 loas luodat " +
    "lvf lxf m4v matroska,webm matroska webm mca mgsts mjpeg mjpeg_2000 mlp mm mmf mods moflex " +
    "mov,mp4,m4a,3gp,3g2,mj2 mov mp4 m4a 3gp 3g2 mj2 mp3 mpc mpc8 mpeg mpegts mpegvideo mpjpeg msf " +
    "msnwctcp msp mtaf mtv musx mv mvi mxf mxg nc nistsphere nsp nsv nut nuv obu ogg oma osq paf " +
    "pam_pipe pbm_pipe pcx_pipe pdv pfm_pipe pgm_pipe pgmyuv_pipe pgx_pipe phm_pipe photocd_pipe " +
    "pictor_pipe pmp png_pipe pp_bnk ppm_pipe psd_pipe psxstr pva pvf qcp qdraw_pipe qoa qoi_pipe r3d " +
    "rcwt redspark rka rl2 rm roq rpl rsd rso s337m sbc scd sdr2 sds sdx ser sga sgi_pipe shn siff " +
    "simbiosis_imx sln smjpeg smk smush sol sox spdif sunrast_pipe svag svs swf tak thp tiertexseq " +
    "tiff_pipe tmv truehd tta txd ty usm vag vbn_pipe vc1 vc1test vividas vivo vmd voc vpk vqf vvc w64 " +
    "wady wav wavarc wc3movie webp_pipe wsaud wsd wsvqa wtv wv wve xa xbm_pipe xmd xmv xpm_pipe xvag " +
    "xwd_pipe xwma yop yuv4mpegpipe").split(" ");

/** As FFmpeg's -format_whitelist takes them. */
export const formatWhitelist = formats.join(",");

const playlists = /^(hls|applehttp|dash|concatf?|imf|webm_dash_manifest)$/;
const headerless =
  /^([suf](8|16|24|32|64)([lb]e)?|alaw|mulaw|rawvideo|v210x?|bitpacked|aptx.*|dfpwm|daud|g726.*|codec2raw|vidc|data)$/;

/** Why an input of this form is refused, and the line that converts it. @param format A demuxer. */
export function whyRefused(format: string): string {
  if (playlists.test(format)) {
    return `is a playlist (${format}), which points to other files: 'ffmpeg -i INPUT talk.mkv' makes ` +
      "one recording of it";
  }
  if (headerless.test(format)) {
    return `has no header that tells its rate or size (${format}): 'ffmpeg -f s16le -ar RATE -ac ` +
      "CHANNELS -i INPUT talk.wav' makes a recording of samples, with its right numbers";
  }
  return `is in a form that isn't read here (${format}): 'ffmpeg -i INPUT talk.mkv' makes a recording ` +
    "of it, if it is one";
}
