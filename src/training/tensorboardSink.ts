/** The sink that writes facts as TensorBoard event files, into `tensorboard/` of the run directory. */
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { diskFailure } from '../checkpoint/diskFailure.ts';
import { framed, startEvent, summaryEvent, versionEvent, type EventValue } from './eventRecords.ts';
import type { Fact } from './facts.ts';
import type { Sink } from './sinks.ts';

/**
 * Opens a file of its own for this process; where the run is resumed, its first record makes readers forget the steps
 * after `startStep` that earlier files have.
 * @throws environmentFailure when the disk refuses
 */
export function openTensorboardSink(folder: string, { startStep, everySteps }: { startStep: number; everySteps: number }): Sink {
  const seconds = (): number => Date.now() / 1000;
  // Readers go by the order of names: the time of the start comes first in them.
  const path = join(folder, `events.out.tfevents.${Math.floor(seconds())}.clm.${process.pid}`);
  const guarded = <Result>(action: () => Result): Result => {
    try {
      return action();
    } catch (error) {
      throw diskFailure(error, 'write', path);
    }
  };
  const file = guarded(() => {
    mkdirSync(folder, { recursive: true });
    return openSync(path, 'a');
  });
  const write = (event: Uint8Array): void => void guarded(() => writeSync(file, framed(event)));
  write(versionEvent(seconds()));
  if (startStep > 0) write(startEvent(seconds(), startStep + 1));
  return {
    report: (fact) => {
      if (fact.kind === 'step' && fact.step % everySteps !== 0) return;
      const values = valuesOf(fact);
      if (values.length > 0) write(summaryEvent(seconds(), (fact as { step: number }).step, values));
    },
    close: () => closeSync(file),
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

/** TensorBoard renders text as Markdown: an indented block shows it as it is. */
const asCode = (text: string): string => text.split('\n').map((line) => `    ${line}`).join('\n');
