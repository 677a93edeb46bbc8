import { expect, it } from 'vitest';
import { escapeControls, harmless } from '../../src/cli/terminal/output.ts';
import { parseDuration } from '../../src/duration.ts';

it('escapes control characters on a terminal, not in a pipe', () => {
  const text = 'a\x1b]0;title\x07\tb\n\u202ec\x9bd\r';
  expect(harmless(text, { isTTY: true })).toBe('a\\u{1b}]0;title\\u{7}\tb\n\\u{202e}c\\u{9b}d\\u{d}');
  expect(harmless(text, {})).toBe(text);
  expect(escapeControls('Grüße, 鯨\n')).toBe('Grüße, 鯨\n');
});

it.each([
  ['3h', 10_800_000],
  ['1h30m', 5_400_000],
  ['90min', 5_400_000],
  ['45s', 45_000],
  ['0.5h', 1_800_000],
  ['1d', 86_400_000],
])('reads the duration %s', (text, ms) => expect(parseDuration(text)).toBe(ms));
it.each(['', '3', 'h', '0s', '3 hours', '-3h', '1e3s'])('refuses the duration "%s"', (text) => {
  expect(() => parseDuration(text)).toThrow('--max-time');
});
