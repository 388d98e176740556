/**
 * A stand-in for `@std/cli` where JSR cannot be reached: `parseArgs` alone, with the real package's
 * name, options and meaning. Without the `links` entry in deno.json the real package takes its place.
 *
 * @module
 */
export * from "./parse_args.ts";
