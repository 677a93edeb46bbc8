import { describe, expect, it } from 'vitest';
import { commands } from '../../src/cli/commands.ts';
import { helpPage } from '../../src/cli/helpPage.ts';
import { defineUsage, nameOf } from '../../src/cli/usage.ts';

const usage = defineUsage({
  command: 'paint <wall>',
  describe: 'Paint a wall',
  positionals: { wall: { type: 'string', demandOption: true, describe: 'The wall' } },
  options: {
    coats: { type: 'number', default: 2, describe: 'How many coats of paint the wall gets' },
    colour: { choices: ['red', 'green', 'ultramarine'], describe: 'Colour' },
    brush: { type: 'string', demandOption: true, describe: 'Brush' },
    interactive: { alias: 'i', type: 'boolean', default: false, describe: 'Ask' },
    set: { type: 'string', array: true, default: [] as string[], describe: 'Repeatable' },
  },
  examples: [['clm paint north', 'Paint the north wall']],
});

describe('a help page', () => {
  it('shows values, defaults, what is required, and wraps descriptions', () => {
    expect(helpPage(usage, 44, 'See also: clm sand')).toBe(`clm paint <wall> [options]

Paint a wall

Arguments:
  wall  The wall

Options:
  -h, --help     Show this page
      --coats N  How many coats of paint the
                 wall gets (default: 2)
      --colour red|green|ultramarine
                 Colour
      --brush VALUE
                 Brush (required)
  -i, --interactive
                 Ask
      --set VALUE
                 Repeatable

Examples:
  clm paint north
    Paint the north wall

See also: clm sand`);
  });

  it.each(commands.map(nameOf))('of %s keeps within 60 columns, but for words and examples', (name) => {
    const command = commands.find((each) => nameOf(each) === name)!;
    const page = helpPage(command, 60, '');
    const [before] = page.split('\nExamples:\n');
    const long = before!
      .split('\n')
      .filter((line) => line.length > 60 && /\S +\S/.test(line.trim().replace(/^-.*/, '')));
    expect(long).toEqual([]);
    expect(page.length).toBeGreaterThan(command.describe.length);
  });
});
