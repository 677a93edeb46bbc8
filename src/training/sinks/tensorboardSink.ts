/** Writes facts as TensorBoard event files into `tensorboard/` of the run directory. */
import { join } from 'node:path';
import { openAppended } from '../../storage/appendedFile.ts';
import { entriesOf, makeFolder } from '../../storage/durable.ts';
import { framed, startEvent, summaryEvent, versionEvent, type EventValue } from './eventRecords.ts';
import type { Fact, Sink } from './facts.ts';

/**
 * Opens a new file for this process. Its first record makes readers discard the steps after `startStep` of earlier
 * files; for a fresh run, all steps.
 * @throws environmentFailure if the disk refuses
 */
export async function openTensorboardSink(
  folder: string,
  { startStep, everySteps, warn }: { startStep: number; everySteps: number; warn: (message: string) => void },
): Promise<Sink> {
  const seconds = (): number => Date.now() / 1000;
  await makeFolder(folder);
  const file = openAppended(join(folder, await nextName(folder, Math.floor(seconds()))), warn);
  const write = (event: Uint8Array): void => file.append(framed(event));
  write(versionEvent(seconds()));
  write(startEvent(seconds(), startStep === 0 ? 0 : startStep + 1));
  return {
    report: (fact) => {
      if (fact.kind === 'saving') return file.flush();
      if (fact.kind === 'step' && fact.step % everySteps !== 0) return;
      const values = valuesOf(fact);
      if (values.length > 0) write(summaryEvent(seconds(), (fact as { step: number }).step, values));
    },
    close: file.close,
  };
}

/**
 * Readers sort the files by name, as text, so the name begins with the time of the start in ten digits: one second
 * after that of the last file if the clock says no more than that, since clocks are set back and restarts are quick.
 */
async function nextName(folder: string, now: number): Promise<string> {
  const times = (await entriesOf(folder)).map((name) =>
    Number(/^events\.out\.tfevents\.(\d+)\./.exec(name)?.[1] ?? -1),
  );
  const time = Math.max(now, ...times.map((each) => each + 1));
  return `events.out.tfevents.${String(time).padStart(10, '0')}.clm.${process.pid}`;
}

const preference = ['rewardChosen', 'rewardRejected', 'margin', 'accuracy'] as const;

/** The figures that a fact has, each under a tag of its own. */
const scalars = <Key extends string>(
  part: string,
  fact: { readonly [K in Key]?: number | undefined },
  keys: readonly Key[],
): EventValue[] =>
  keys.flatMap((key) => {
    const scalar = fact[key];
    return scalar === undefined ? [] : [{ tag: `${part}/${key}`, scalar }];
  });

function valuesOf(fact: Fact): EventValue[] {
  switch (fact.kind) {
    case 'step':
      return scalars('training', fact, ['loss', 'learningRate', 'gradientNorm', 'tokensPerSecond', ...preference]);
    case 'evaluation':
      return scalars('validation', fact, ['loss', 'perplexity', 'bitsPerByte', ...preference]);
    case 'sample':
      return [{ tag: 'sample', text: asCode(fact.prompt + fact.completion) }];
    default:
      return [];
  }
}

/** TensorBoard renders text as Markdown; an indented block is shown verbatim. */
const asCode = (text: string): string =>
  text
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n');
