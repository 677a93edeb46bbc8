/** Writes facts as TensorBoard event files into `tensorboard/` of the run directory. */
import { join } from 'node:path';
import { openAppended } from '../../storage/appendedFile.ts';
import { makeFolder } from '../../storage/durable.ts';
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
  // Readers sort files by name, so the name begins with the time of the start.
  const file = openAppended(join(folder, `events.out.tfevents.${Math.floor(seconds())}.clm.${process.pid}`), warn);
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

function valuesOf(fact: Fact): EventValue[] {
  if (fact.kind === 'step') {
    return [
      { tag: 'training/loss', scalar: fact.loss },
      { tag: 'training/learningRate', scalar: fact.learningRate },
      { tag: 'training/gradientNorm', scalar: fact.gradientNorm },
      { tag: 'training/tokensPerSecond', scalar: fact.tokensPerSecond },
    ];
  }
  if (fact.kind === 'evaluation') {
    return [
      { tag: 'validation/loss', scalar: fact.loss },
      { tag: 'validation/perplexity', scalar: fact.perplexity },
      { tag: 'validation/bitsPerByte', scalar: fact.bitsPerByte },
    ];
  }
  if (fact.kind === 'sample') return [{ tag: 'sample', text: asCode(fact.prompt + fact.completion) }];
  return [];
}

/** TensorBoard renders text as Markdown; an indented block is shown verbatim. */
const asCode = (text: string): string =>
  text
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n');
