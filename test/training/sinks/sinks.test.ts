import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { openAppended } from '../../../src/storage/appendedFile.ts';
import { crc32c, framed, maskedCrc32c, startEvent, summaryEvent } from '../../../src/training/sinks/eventRecords.ts';
import type { Fact } from '../../../src/training/sinks/facts.ts';
import { endedByFailure, openSinks } from '../../../src/training/sinks/sinks.ts';
import { useTemporaryFolder } from '../../temporaryFolder.ts';

const noWarning = (message: string): void => {
  throw new Error(message);
};

const folder = useTemporaryFolder();
const update = (step: number): Fact => ({
  kind: 'step',
  step,
  loss: 1.5 + step,
  learningRate: 1e-3,
  gradientNorm: 2,
  tokensPerSecond: 100,
  elapsedMs: 10 * step,
});
const evaluation: Fact = { kind: 'evaluation', step: 2, loss: 0.5, perplexity: 1.6, bitsPerByte: 0.7, tokens: 9 };

describe('event records', () => {
  it('are guarded by CRC-32C', () => {
    // RFC 3720 §B.4: 32 bytes of zeros, of ones, ascending.
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
    const frame = framed(Buffer.from('abc'));
    expect(frame.readBigUInt64LE(0)).toBe(3n);
    expect(frame.readUInt32LE(8)).toBe(maskedCrc32c(frame.subarray(0, 8)));
    expect(frame.readUInt32LE(15)).toBe(maskedCrc32c(Buffer.from('abc')));
  });

  it('are protobuf, byte by byte', () => {
    // Event { wall_time 1: double, step 2: 300 as varint, summary 5 { value 1 { tag 1: "a", simple_value 2: 1.5 } } }
    expect(summaryEvent(2, 300, [{ tag: 'a', scalar: 1.5 }]).toString('hex')).toBe(
      '090000000000000040' + '10ac02' + '2a0a' + '0a08' + '0a0161' + '150000c03f',
    );
    expect(startEvent(2, 7).toString('hex')).toBe('0900000000000000401007' + '3a020801');
  });
});

describe('what reports.log names', () => {
  it('is written, thinned as the step records', async () => {
    writeFileSync(
      path.join(folder(), 'metrics.jsonl'),
      '{"kind":"step","step":2,"loss":7}\n{"kind":"checkpoint","step":2,"path":"x"}\n',
    );
    const sinks = await openSinks(folder(), { log: ['csv', 'tensorboard'], everySteps: 2 }, 2, noWarning);
    for (const fact of [
      update(3),
      update(4),
      evaluation,
      { kind: 'sample', step: 4, prompt: 'a', completion: 'b' } as Fact,
    ])
      sinks.forEach(({ report }) => report(fact));
    sinks.forEach(({ close }) => close());
    expect(readFileSync(path.join(folder(), 'metrics.csv'), 'utf8')).toBe(
      `kind,step,loss,learningRate,gradientNorm,tokensPerSecond,elapsedMs,perplexity,bitsPerByte,tokens
step,2,7,,,,,,,
step,4,5.5,0.001,2,100,40,,,
evaluation,2,0.5,,,,,1.6,0.7,9
`,
    );
    const [file] = readdirSync(path.join(folder(), 'tensorboard'));
    const bytes = readFileSync(path.join(folder(), 'tensorboard', file!));
    const events: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += 16 + events.at(-1)!.length)
      events.push(bytes.subarray(at + 12, at + 12 + Number(bytes.readBigUInt64LE(at))));
    expect(events).toHaveLength(5); // version, start, update 4, evaluation, sample
    expect(events[2]!.includes('training/gradientNorm')).toBe(true);
    expect(events[4]!.includes('    ab')).toBe(true);
  });

  it('replaces an older metrics.csv in one go, and forgets what event files say of a run begun anew', async () => {
    writeFileSync(path.join(folder(), 'metrics.csv'), 'of the run before\n');
    writeFileSync(path.join(folder(), 'metrics.jsonl'), 'no record\n');
    await expect(openSinks(folder(), { log: ['csv'], everySteps: 1 }, 2, noWarning)).rejects.toThrow();
    expect(readFileSync(path.join(folder(), 'metrics.csv'), 'utf8')).toBe('of the run before\n');
    expect(readdirSync(folder()).sort()).toEqual(['metrics.csv', 'metrics.jsonl']);

    const [sink] = await openSinks(folder(), { log: ['tensorboard'], everySteps: 1 }, 0, noWarning);
    sink!.close();
    const [file] = readdirSync(path.join(folder(), 'tensorboard'));
    const start = framed(startEvent(0, 0))
      .subarray(-2 - 4 - 4, -4)
      .toString('hex');
    expect(readFileSync(path.join(folder(), 'tensorboard', file!)).toString('hex')).toContain(start);
  });

  it('goes to event files whose names are in the order of writing, whatever the clock says', async () => {
    const made: string[] = [];
    for (const ms of [1_700_003_600_000, 1_700_000_000_000, 1_700_000_000_000, 5000, 1_800_000_000_000]) {
      vi.spyOn(Date, 'now').mockReturnValue(ms);
      const [sink] = await openSinks(folder(), { log: ['tensorboard'], everySteps: 1 }, 3, noWarning);
      sink!.close();
      const names = readdirSync(path.join(folder(), 'tensorboard'));
      made.push(names.find((name) => !made.includes(name))!);
    }
    vi.restoreAllMocks();
    expect(made).toEqual([...made].sort());
    expect(made.map((name) => name.split('.')[3])).toEqual([
      ...['1700003600', '1700003601', '1700003602', '1700003603', '1800000000'],
    ]);
  });

  it.skipIf(!existsSync('/dev/full'))('waits for a full disk, says so once, and is no failure of the run', async () => {
    const warnings: string[] = [];
    const warn = (message: string): void => void warnings.push(message);
    const full = openAppended('/dev/full', warn);
    const sink = endedByFailure(
      {
        report: (fact) => (fact.kind === 'saving' ? full.flush() : full.append('x'.repeat(3 << 20))),
        close: full.close,
      },
      warn,
    );
    for (let step = 1; step <= 5; step++) sink.report(update(step));
    sink.report({ kind: 'saving', step: 5 });
    expect(warnings).toEqual([expect.stringContaining('Cannot write /dev/full: the disk is full')]);
    for (let step = 6; step <= 8; step++) sink.report(update(step)); // more than 16 MiB wait
    sink.close();
    expect(warnings.slice(1)).toEqual([expect.stringContaining('A copy of the log ends here. Cannot write /dev/full')]);
  });

  it('is nothing by default', async () => {
    expect(await openSinks(folder(), { log: [], everySteps: 1 }, 0, noWarning)).toEqual([]);
    expect(readdirSync(folder())).toEqual([]);
  });
});
