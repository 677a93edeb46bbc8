/** `clm completion bash|zsh|fish`: a script that completes commands, options, their values and config keys. */
import type { Options } from 'yargs';
import { leafKeys } from '../../../config/keys.ts';
import { renderKeyPath } from '../../../config/located.ts';
import { printJson, printResult } from '../../terminal/output.ts';
import { nameOf, type ArgumentsOf, type Usage } from '../../usage.ts';
import type { completionUsage } from './usage.ts';

/** @param groups all commands, as the overview lists them */
export function completion(
  { shell, json }: ArgumentsOf<typeof completionUsage>,
  groups: Readonly<Record<string, readonly Usage[]>>,
): void {
  if (shell !== 'json') {
    const script = { bash: bashScript, zsh: zshScript, fish: fishScript }[shell](Object.values(groups).flat());
    if (json) printJson({ shell, script });
    else printResult(script);
    return;
  }
  for (const [group, usages] of Object.entries(groups))
    for (const usage of usages) printJson({ group, ...described(usage) });
}

/** The options of a command, and its positionals, as one list. */
function argumentsOf({ positionals = {}, options = {} }: Usage) {
  const listed = (definitions: Readonly<Record<string, Options>>, isPositional: boolean) =>
    Object.entries(definitions).map(([name, { describe = '', choices = [], default: standard, type }]) => ({
      ...{ name, describe, choices: choices.map(String), takesValue: type !== 'boolean', default: standard },
      isPositional,
    }));
  return [...listed(positionals as Readonly<Record<string, Options>>, true), ...listed(options, false)];
}

/** A command as data, for the reference of all commands. */
const described = (usage: Usage): object => ({
  usage: usage.command,
  describe: usage.describe,
  options: argumentsOf(usage),
  examples: usage.examples.map(([command, describe]) => ({ command, describe })),
});

const configKeys = (): string[] => leafKeys().map((path) => `${renderKeyPath(path)}=`);

/** What may follow each word or pair of words that begins a command: subcommands, choices and options. */
function wordsAfter(all: readonly Usage[]): Map<string, string[]> {
  const words = new Map<string, string[]>();
  const add = (after: string, word: string): unknown => words.set(after, [...(words.get(after) ?? []), word]);
  for (const usage of all) {
    const [first, second] = nameOf(usage).split(' ');
    if (!words.has(first!)) add('', first!);
    if (second !== undefined) add(first!, second);
    for (const { name, choices, isPositional } of argumentsOf(usage))
      for (const word of isPositional ? choices : [`--${name}`]) add(nameOf(usage), word);
    add(nameOf(usage), '--help');
  }
  return new Map([...words].map(([after, each]) => [after, after === '' ? [...each, '--help', '--version'] : each]));
}

/** Words that can follow, by the words before them; shared by bash and zsh, which both read `case`. */
function wordCases(all: readonly Usage[]): string {
  const line = (pattern: string, words: readonly string[]): string => `    '${pattern}') words='${words.join(' ')}' ;;`;
  const values = all.flatMap((usage) =>
    argumentsOf(usage)
      .filter(({ choices, isPositional }) => choices.length > 0 && !isPositional)
      .map(({ name, choices }) => line(`${nameOf(usage)} --${name}`, choices)),
  );
  return `  case "$command $previous" in
    *' --set') words='${configKeys().join(' ')}' ;;
${values.join('\n')}
  esac
  [[ -n $words ]] || case "$command" in
${[...wordsAfter(all)].map(([after, words]) => line(after, words)).join('\n')}
  esac`;
}

/** The command typed so far: its first word, and the second if that is a subcommand. */
const subcommands = (all: readonly Usage[]): string =>
  all
    .map(nameOf)
    .filter((name) => name.includes(' '))
    .map((name) => `'${name}'`)
    .join('|');

const bashScript = (all: readonly Usage[]): string => `# Completion of clm for bash; made by clm completion bash.
_clm() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" command='' words=''
  (( COMP_CWORD > 1 )) && command="\${COMP_WORDS[1]}"
  if (( COMP_CWORD > 2 )); then
    case "$command \${COMP_WORDS[2]}" in ${subcommands(all)}) command="$command \${COMP_WORDS[2]}" ;; esac
  fi
${wordCases(all)}
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ \${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
}
complete -o default -F _clm clm
`;

const zshScript = (all: readonly Usage[]): string => `#compdef clm
# Completion of clm for zsh; made by clm completion zsh.
_clm() {
  local previous="\${words[CURRENT-1]}" command='' typed=("\${words[@]}")
  (( CURRENT > 2 )) && command="\${typed[2]}"
  if (( CURRENT > 3 )); then
    case "$command \${typed[3]}" in ${subcommands(all)}) command="$command \${typed[3]}" ;; esac
  fi
  local words=''
${wordCases(all)}
  local -a endings=(\${(M)\${=words}:#*=}) whole=(\${\${=words}:#*=})
  (( $#endings )) && compadd -S '' -- $endings
  (( $#whole )) && compadd -- $whole
  [[ -n $words && $previous == --* ]] || _files
}
if [[ $funcstack[1] == _clm ]]; then _clm "$@"; else compdef _clm clm; fi
`;

function fishScript(all: readonly Usage[]): string {
  const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const line = (condition: string, rest: string): string => `complete -c clm -n ${quoted(condition)} ${rest}`;
  const seen = (name: string): string =>
    name
      .split(' ')
      .map((word) => `__fish_seen_subcommand_from ${word}`)
      .join('; and ');
  const lines = all.flatMap((usage) => {
    const [first, second] = nameOf(usage).split(' ');
    const options = argumentsOf(usage).map(({ name, describe, choices, takesValue, isPositional }) => {
      const words = name === 'set' ? configKeys() : choices;
      const values = words.length > 0 ? `-a ${quoted(words.join(' '))} ` : '';
      if (isPositional) return values && `-f ${values}-d ${quoted(describe)}`;
      return `-l ${name} ${values ? `-x ${values}` : takesValue ? '-r ' : ''}-d ${quoted(describe)}`;
    });
    return [
      second === undefined
        ? line('__fish_use_subcommand', `-f -a ${first} -d ${quoted(usage.describe)}`)
        : line(seen(first!), `-f -a ${second} -d ${quoted(usage.describe)}`),
      ...options.filter((rest) => rest !== '').map((rest) => line(seen(nameOf(usage)), rest)),
    ];
  });
  const families = new Set(all.flatMap((usage) => nameOf(usage).split(' ').slice(0, 1)));
  const alone = [...families].filter((first) => !all.some((usage) => nameOf(usage) === first));
  lines.push(...alone.map((first) => line('__fish_use_subcommand', `-f -a ${first}`)));
  return `# Completion of clm for fish; made by clm completion fish.\n${lines.join('\n')}\n`;
}
