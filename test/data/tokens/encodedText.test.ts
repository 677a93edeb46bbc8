import { describe, expect, test } from 'vitest';

import { openCorpus } from '../../../src/data/files/openCorpus.ts';
import { encodedText } from '../../../src/data/tokens/encodedText.ts';
import { bpeTraining } from '../../../src/data/tokenizers/bpe/training/trainBpe.ts';
import { sourceByteAt, repaired } from '../../../src/data/utf8.ts';
import { all, folderOf } from '../texts.ts';

const text = Buffer.from(
  Array.from({ length: 20_000 }, (_, i) => `wörd${(i * 7919) % 4001} €${i % 13}${i % 40 === 0 ? '\n' : ''} `).join(''),
);
const training = bpeTraining();
training.addChunk(text.subarray(0, 50_000), { endsText: true });
const bpe = training.train(300);

describe.each(['replace', 'skip'] as const)('bytes that are not UTF-8, encodingErrors: %s', (encodingErrors) => {
  test.each(['running', 'file'] as const)(
    'keep every position from which tokenizing can restart: documents %s',
    async (documents) => {
      const bad = Buffer.from(text);
      let damaged = 0;
      for (let at = 0; at < bad.length; at += 1009) {
        if (bad[at] !== 0x20) continue;
        bad[at] = 0xff;
        damaged++;
      }
      const folder = await folderOf({ '1.txt': bad, '2.txt': bad.subarray(0, 150_000) });
      const corpus = await openCorpus({
        sources: [{ path: folder, documents }],
        validation: { tail: 0.01 },
        shuffleTokens: 1024,
        encodingErrors,
      });
      const read = (startByte: number) =>
        all(encodedText(corpus, { ...corpus.training, startByte }, bpe, { chunkBytes: 40_000 }));
      const whole = await read(0);
      expect(damaged).toBeGreaterThan(30);
      expect(whole.length).toBeGreaterThan(3);
      for (const [i, { startByte }] of whole.entries()) {
        if (i % 2 === 0) continue;
        const rest = await read(startByte);
        expect(rest.map(({ tokenIds, ...position }) => ({ ...position, tokens: tokenIds.length }))).toEqual(
          whole.slice(i).map(({ tokenIds, ...position }) => ({ ...position, tokens: tokenIds.length })),
        );
        const ids = (texts: typeof rest) => JSON.stringify(texts.map(({ tokenIds }) => [...tokenIds]));
        expect(ids(rest) === ids(whole.slice(i)), `from byte ${startByte}`).toBe(true);
      }
    },
  );
});

test('repairing reports where each byte of the text comes from', () => {
  const bytes = Buffer.from([0x61, 0xff, 0xfe, 0x62, 0xc3, 0xa9, 0x80, 0x63]);
  const sourceOffsets = (how: 'replace' | 'skip') => {
    const result = repaired(bytes, how);
    return Array.from(result.bytes, (byte, index) => [byte, sourceByteAt(result.sourceOffsets, index)]);
  };
  expect(sourceOffsets('skip')).toEqual([
    [0x61, 0],
    [0x62, 3],
    [0xc3, 4],
    [0xa9, 5],
    [0x63, 7],
  ]);
  expect(sourceOffsets('replace').filter(([byte]) => byte! < 0x80 || byte === 0xc3)).toEqual([
    [0x61, 0],
    [0x62, 3],
    [0xc3, 4],
    [0x63, 7],
  ]);
});
