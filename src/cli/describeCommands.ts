/** What commands there are and what they take, as data: for shell completion and the reference. */
import type { CommandModule } from 'yargs';

interface DescribedOption {
  name: string;
  describe: string;
  choices: string[];
  /** Whether a value follows. */
  takesValue: boolean;
  default: unknown;
  isPositional: boolean;
}

export interface DescribedCommand {
  /** As typed, such as `runs watch <runs..>`. */
  usage: string;
  describe: string;
  options: DescribedOption[];
  examples: { command: string; describe: string }[];
  /** Subcommands; one without a name of its own is the command itself. */
  commands: DescribedCommand[];
}

interface OptionDefinition {
  type?: string;
  describe?: string;
  choices?: readonly (string | number)[];
  default?: unknown;
  array?: boolean;
  hidden?: boolean;
}

/** Runs the builder of a command against something that only takes notes. */
export function describeCommand(module: CommandModule<object, never>, above = ''): DescribedCommand {
  const usage = `${above}${String(module.command)}`.replace(/\s*\$0/, '');
  const described: DescribedCommand = {
    usage,
    describe: String(module.describe ?? ''),
    options: [],
    examples: [],
    commands: [],
  };
  const add = (name: string, definition: OptionDefinition, isPositional: boolean): void => {
    if (definition.hidden) return;
    const takesValue =
      definition.type !== 'boolean' &&
      (definition.type !== undefined || definition.choices !== undefined || definition.array === true);
    const choices = (definition.choices ?? []).map(String);
    described.options.push({
      name,
      describe: definition.describe ?? '',
      choices,
      takesValue,
      default: definition.default,
      isPositional,
    });
  };
  const notes: Record<string, (...args: never[]) => void> = {
    option: (name: string, definition: OptionDefinition) => add(name, definition, false),
    options: (all: Record<string, OptionDefinition>) =>
      Object.entries(all).forEach(([name, definition]) => add(name, definition, false)),
    positional: (name: string, definition: OptionDefinition) => add(name, definition, true),
    example: (command: string, describe: string) => void described.examples.push({ command, describe }),
    command: (inner: CommandModule<object, never>) =>
      void described.commands.push(describeCommand(inner, `${usage.split(' ')[0]} `)),
  };
  const noteTaker: object = new Proxy(
    {},
    {
      get:
        (_, method) =>
        (...args: never[]) => {
          notes[String(method)]?.(...args);
          return noteTaker;
        },
    },
  );
  if (typeof module.builder === 'function') void (module.builder as (parser: object) => unknown)(noteTaker);
  return described;
}
