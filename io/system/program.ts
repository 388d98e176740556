/** The program's name and version, as headers and reports give them. */
import config from "../../deno.json" with { type: "json" };

export const { version } = config;

export const program = `wanstream ${version}`;
