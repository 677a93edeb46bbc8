/** The completions that a run wrote during training, for the report. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runPaths } from '../../run/runPaths.ts';

export interface Completion {
  step: number;
  text: string;
}

const mostShown = 20;
const maxCharacters = 2000;

/** At most `mostShown` completions, evenly spread over the run and ending with the last; `all` is how many it has. */
export function readCompletions(runDirectory: string): { shown: Completion[]; all: number } {
  const folder = runPaths(runDirectory).samples;
  const files = namesIn(folder)
    .flatMap((name) => {
      const step = /^step-(\d+)/.exec(name)?.[1];
      return step === undefined ? [] : [{ name, step: Number(step) }];
    })
    .sort((a, b) => a.step - b.step);
  const count = Math.min(mostShown, files.length);
  const chosen = Array.from({ length: count }, (_, i) => files[Math.round(((i + 1) * files.length) / count) - 1]!);
  const shown = chosen.map(({ name, step }) => {
    const text = readFileSync(join(folder, name), 'utf8');
    return { step, text: text.length > maxCharacters ? `${text.slice(0, maxCharacters)}…` : text };
  });
  return { shown, all: files.length };
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // no samples yet
  }
}
