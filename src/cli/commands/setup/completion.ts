/** `clm completion bash|zsh|fish`: a script that completes commands, options, their values and config keys. */
import type { CommandModule } from 'yargs';
import { leafKeys } from '../../../config/keys.ts';
import { renderKeyPath } from '../../../config/located.ts';
import { describeCommand, type DescribedCommand } from '../../describeCommands.ts';
import { printJson, printResult } from '../../terminal/output.ts';

interface CompletionArguments {
  shell: 'bash' | 'zsh' | 'fish' | 'json';
}

type LoadCommand = () => Promise<CommandModule<object, never>>;

/** @param load the other commands of the program, which only its main file knows */
export function completionCommand(load: readonly LoadCommand[]): CommandModule<object, CompletionArguments> {
  const command: CommandModule<object, CompletionArguments> = {
    ...usage,
    handler: async ({ shell }) => {
      const modules = [...(await Promise.all(load.map((each) => each()))), command as CommandModule<object, never>];
      const commands = modules.map((module) => describeCommand(module));
      if (shell === 'json') return commands.forEach((each) => printJson(each));
      printResult({ bash: bashScript, zsh: zshScript, fish: fishScript }[shell](commands));
    },
  };
  return command;
}

const usage: Omit<CommandModule<object, CompletionArguments>, 'handler'> = {
  command: 'completion <shell>',
  describe: 'Print a completion script for bash, zsh or fish',
  builder: (parser) =>
    parser
      .positional('shell', {
        choices: ['bash', 'zsh', 'fish', 'json'],
        demandOption: true,
        describe: 'Whose script; json: the commands as data',
      })
      .example('clm completion bash > ~/.local/share/bash-completion/completions/clm', 'For bash')
      .example('clm completion zsh > "${fpath[1]}/_clm"', 'For zsh')
      .example('clm completion fish > ~/.config/fish/completions/clm.fish', 'For fish') as never,
};

const nameOf = ({ usage }: DescribedCommand): string =>
  usage
    .split(' ')
    .filter((word) => !/^[<[]/.test(word))
    .join(' ');

/** Commands and subcommands that have a name of their own, options of the nameless one included. */
function named(commands: readonly DescribedCommand[]): DescribedCommand[] {
  return commands.flatMap((command) => {
    const inner = command.commands.filter((each) => nameOf(each) !== nameOf(command));
    const own = command.commands.filter((each) => nameOf(each) === nameOf(command));
    return [{ ...command, options: [...command.options, ...own.flatMap(({ options }) => options)] }, ...inner];
  });
}

const firstWords = (commands: readonly DescribedCommand[]): string[] => commands.map((command) => nameOf(command));
const flagsOf = ({ options }: DescribedCommand): string[] => [
  ...options.filter(({ isPositional }) => !isPositional).map(({ name }) => `--${name}`),
  '--help',
];
const secondWords = (command: DescribedCommand): string[] =>
  command.commands.filter((each) => nameOf(each) !== nameOf(command)).map((each) => nameOf(each).split(' ')[1]!);
const configKeys = (): string[] => leafKeys().map((path) => `${renderKeyPath(path)}=`);

/** Words that can follow, by the words before them; shared by bash and zsh, which both read `case`. */
function wordCases(commands: readonly DescribedCommand[]): string {
  const values = named(commands).flatMap((command) =>
    command.options
      .filter(({ choices, isPositional }) => choices.length > 0 && !isPositional)
      .map(({ name, choices }) => `    '${nameOf(command)} --${name}') words='${choices.join(' ')}' ;;`),
  );
  const flags = named(commands).map((command) => {
    const positionals = command.options.filter(({ isPositional }) => isPositional).flatMap(({ choices }) => choices);
    return `    '${nameOf(command)}') words='${[...secondWords(command), ...positionals, ...flagsOf(command)].join(' ')}' ;;`;
  });
  return `  case "$command $previous" in
    *' --set') words='${configKeys().join(' ')}' ;;
${values.join('\n')}
  esac
  [[ -n $words ]] || case "$command" in
    '') words='${[...firstWords(commands), '--help', '--version'].join(' ')}' ;;
${flags.join('\n')}
  esac`;
}

/** The command typed so far: its first word, and the second where that is a subcommand. */
const subcommands = (commands: readonly DescribedCommand[]): string =>
  named(commands)
    .map(nameOf)
    .filter((name) => name.includes(' '))
    .map((name) => `'${name}'`)
    .join('|') || "''";

const bashScript = (
  commands: readonly DescribedCommand[],
): string => `# Completion of clm for bash; made by clm completion bash.
_clm() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" command='' words=''
  (( COMP_CWORD > 1 )) && command="\${COMP_WORDS[1]}"
  if (( COMP_CWORD > 2 )); then
    case "$command \${COMP_WORDS[2]}" in ${subcommands(commands)}) command="$command \${COMP_WORDS[2]}" ;; esac
  fi
${wordCases(commands)}
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ \${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
}
complete -o default -F _clm clm
`;

const zshScript = (commands: readonly DescribedCommand[]): string => `#compdef clm
# Completion of clm for zsh; made by clm completion zsh.
_clm() {
  local previous="\${words[CURRENT-1]}" command='' typed=("\${words[@]}")
  (( CURRENT > 2 )) && command="\${typed[2]}"
  if (( CURRENT > 3 )); then
    case "$command \${typed[3]}" in ${subcommands(commands)}) command="$command \${typed[3]}" ;; esac
  fi
  local words=''
${wordCases(commands)}
  local -a endings=(\${(M)\${=words}:#*=}) whole=(\${\${=words}:#*=})
  (( $#endings )) && compadd -S '' -- $endings
  (( $#whole )) && compadd -- $whole
  [[ -n $words && $previous == --* ]] || _files
}
if [[ $funcstack[1] == _clm ]]; then _clm "$@"; else compdef _clm clm; fi
`;

function fishScript(commands: readonly DescribedCommand[]): string {
  const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const first = commands.map(
    (command) => `complete -c clm -n __fish_use_subcommand -f -a ${nameOf(command)} -d ${quoted(command.describe)}`,
  );
  const rest = named(commands).flatMap((command) => {
    const [word, second] = nameOf(command).split(' ');
    const seen = `__fish_seen_subcommand_from ${word}${second === undefined ? '' : `; and __fish_seen_subcommand_from ${second}`}`;
    const inner = secondWords(command).map((name) => `complete -c clm -n ${quoted(seen)} -f -a ${name}`);
    const options = command.options.map(({ name, describe, choices, takesValue, isPositional }) => {
      if (isPositional)
        return choices.length === 0
          ? ''
          : `complete -c clm -n ${quoted(seen)} -f -a ${quoted(choices.join(' '))} -d ${quoted(describe)}`;
      const values =
        name === 'set'
          ? ` -x -a ${quoted(configKeys().join(' '))}`
          : choices.length > 0
            ? ` -x -a ${quoted(choices.join(' '))}`
            : takesValue
              ? ' -r'
              : '';
      return `complete -c clm -n ${quoted(seen)} -l ${name}${values} -d ${quoted(describe)}`;
    });
    return [...inner, ...options.filter((line) => line !== '')];
  });
  return `# Completion of clm for fish; made by clm completion fish.\n${[...first, ...rest].join('\n')}\n`;
}
