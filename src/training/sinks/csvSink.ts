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
  'rewardChosen',
  'rewardRejected',
  'margin',
  'accuracy',
] as const;

/**
 * Rewrites the file from `metrics.jsonl`, which a resumed run has cut to its checkpoint, then appends to it. The old
 * file is replaced only when the new one is complete.
 * @throws environmentFailure if the disk refuses
 */
export async function openCsvSink(
  path: string,
  metricsPath: string,
  { everySteps, warn }: { everySteps: number; warn: (message: string) => void },
): Promise<Sink> {
  await replaceFileDurably(path, async (temporaryPath) => {
    const copy = await open(temporaryPath, 'wx');
    try {
      await copy.writeFile(`${columns.join(',')}\n`);
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

/** A line, or nothing for a fact without a row. No value needs quoting. */
function rowOf(record: Fact | MetricsRecord): string {
  if (record.kind !== 'step' && record.kind !== 'evaluation') return '';
  const values: Partial<Record<(typeof columns)[number], string | number>> = record;
  return `${columns.map((column) => values[column] ?? '').join(',')}\n`;
}
