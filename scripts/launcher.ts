/** The texts that put `wanstream` on the PATH: launchers for shells and for Windows, and completions. */

/** Stands in every file of ours, so that no other program's file is replaced or removed. */
export const mark = "made by wanstream's task 'install'";

/** Quotes a word for a POSIX shell. */
const quote = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;

/**
 * The launcher as a shell script: it starts the task of the named command, so that the command has this
 * repository's versions and its own least permissions, and stands in the caller's folder.
 *
 * @param deno The Deno that installs it; when it is gone, another one on the PATH or npx's is taken.
 */
export function shellLauncher(root: string, deno: string, commands: readonly string[]): string {
  return `#!/bin/sh
# ${mark}; 'deno task uninstall' in the folder below takes it away
root=${quote(root)}
deno=${quote(deno)}
if [ ! -f "$root/deno.json" ]; then
  echo "wanstream: $root is gone: run 'deno task install' where the repository is now" >&2
  exit 1
fi
run() {
  if [ -x "$deno" ]; then exec "$deno" "$@"; fi
  if command -v deno >/dev/null 2>&1; then exec deno "$@"; fi
  exec npx -y deno@${Deno.version.deno} "$@"
}
# What may be started is settled before the command reads its options.
word=
for next in "$@"; do
  if [ "$word" = --ffmpeg ]; then FFMPEG_BIN=$next; fi
  word=$next
  case "$word" in --ffmpeg=*) FFMPEG_BIN=\${word#*=} ;; esac
done
if [ -n "\${FFMPEG_BIN-}" ]; then export FFMPEG_BIN; fi
case "\${1-}" in
  ${commands.join("|")})
    INIT_CWD=$PWD
    export INIT_CWD
    run task -q --config "$root/deno.json" "$@" ;;
  *) run run -q --no-prompt --config "$root/deno.json" -P=read "$root/main.ts" "$@" ;;
esac
`;
}

/** The launcher as a batch file. */
export function batchLauncher(root: string, deno: string, commands: readonly string[]): string {
  return [
    "@echo off",
    `rem ${mark}`,
    ...commands.map((name) => `if "%~1"=="${name}" goto task`),
    `"${deno}" run -q --no-prompt --config "${root}\\deno.json" -P=read ` +
    `"${root}\\main.ts" %*`,
    "exit /b %errorlevel%",
    ":task",
    "set INIT_CWD=%CD%",
    `"${deno}" task -q --config "${root}\\deno.json" %*`,
    "",
  ].join("\r\n");
}

/** Completions of the commands, their options and files, by shell. */
export function completions(options: ReadonlyMap<string, readonly string[]>) {
  const names = [...options.keys()].join(" ");
  const perCommand = (line: (list: string) => string) =>
    [...options].map(([name, list]) => `    ${name}) ${line(list.join(" "))} ;;`).join("\n");
  const bash = `# ${mark}
_wanstream() {
  local at="\${COMP_WORDS[COMP_CWORD]}" words="${names} --help --version"
  if [ "$COMP_CWORD" -gt 1 ]; then
    case "$at" in
      -*) ;;
      *) COMPREPLY=($(compgen -f -- "$at")); return ;;
    esac
    case "\${COMP_WORDS[1]}" in
${perCommand((list) => `words="${list}"`)}
    *) words="" ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$at"))
}
complete -o filenames -F _wanstream wanstream
`;
  const zsh = `#compdef wanstream
# ${mark}
if (( CURRENT == 2 )); then
  compadd -- ${names} --help --version
elif [[ "$PREFIX" == -* ]]; then
  case "$words[2]" in
${perCommand((list) => `compadd -- ${list}`)}
  esac
else
  _files
fi
`;
  const fish = [
    `# ${mark}`,
    `complete -c wanstream -n __fish_use_subcommand -f -a "${names} --help --version"`,
    ...[...options].flatMap(([name, list]) =>
      list.map((option) =>
        `complete -c wanstream -n "__fish_seen_subcommand_from ${name}" -l ${option.slice(2)}`
      )
    ),
    "",
  ].join("\n");
  return { bash, zsh, fish };
}
