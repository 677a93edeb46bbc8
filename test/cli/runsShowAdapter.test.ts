import { expect, test } from 'vitest';
import { textOfAdapter } from '../../src/cli/commands/experiments/runsShow.ts';

test('runs show: the adapter of a config, and none of a config without one or of an older version', () => {
  const adapter = 'adapter: { kind: lora, rank: 4, alpha: 8, dropout: 0, targets: [query, value] }';
  expect(textOfAdapter(adapter)).toBe('LoRA of rank 4 on query, value');
  expect(textOfAdapter('adapter: { kind: null }')).toBeNull();
  expect(textOfAdapter('name: old')).toBeNull();
});
