/** Writes facts as `metrics.csv`, for spreadsheets: a row for every update and every evaluation. */
import { open } from 'node:fs/promises';
import { openAppended } from '../../storage/appendedFile.ts';
import { replaceFileDurably } from '../../storage/durable.ts';
import { completeLines, type MetricsRecord } from '../../run/metrics.ts';
import type { Fact, Sink } from './facts.ts';

const columns = [
  'kind',
  'step',
  'loss',
  'learningRate',
  'gradientNorm',
  'tokensPerSecond',
  'elapsedMs',
  'perplexity',
  'bitsPerByte',
  'tokens',
] as const;

/** Of runs on preference pairs, after the others. */
const pairColumns = ['rewardChosen', 'rewardRejected', 'margin', 'accuracy'] as const;

/**
 * Rewrites the file from `metrics.jsonl`, which a resumed run has cut to its checkpoint, then appends to it. The old
 * file is replaced only when the new one is complete.
 * @throws environmentFailure if the disk refuses
 */
export async function openCsvSink(
  path: string,
  metricsPath: string,
  { everySteps, warn, hasPairs }: { everySteps: number; warn: (message: string) => void; hasPairs: boolean },
): Promise<Sink> {
  const written = hasPairs ? [...columns, ...pairColumns] : columns;
  const rowOf = (record: Fact | MetricsRecord): string => csvRow(record, written);
  await replaceFileDurably(path, async (temporaryPath) => {
    const copy = await open(temporaryPath, 'wx');
    try {
      await copy.writeFile(`${written.join(',')}\n`);
      for (const bytes of completeLines(metricsPath)) {
        const lines = bytes.toString('utf8', 0, bytes.length - 1).split('\n');
        await copy.writeFile(lines.map((line) => rowOf(JSON.parse(line) as MetricsRecord)).join(''));
      }
    } finally {
      await copy.close();
    }
  });
  const file = openAppended(path, warn);
  return {
    report: (fact) => {
      if (fact.kind === 'saving') file.flush();
      else if (fact.kind !== 'step' || fact.step % everySteps === 0) file.append(rowOf(fact));
    },
    close: file.close,
  };
}

type Column = (typeof columns)[number] | (typeof pairColumns)[number];

/** A line, or nothing for a fact without a row. No value needs quoting. */
function csvRow(record: Fact | MetricsRecord, written: readonly Column[]): string {
  if (record.kind !== 'step' && record.kind !== 'evaluation') return '';
  const values: Partial<Record<Column, string | number>> = record;
  return `${written.map((column) => values[column] ?? '').join(',')}\n`;
}
