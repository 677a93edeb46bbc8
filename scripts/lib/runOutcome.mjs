// What a run has come to, to compare an interrupted run with one that was not.

import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/**
 * What must be the same in a run however often it was interrupted: the log without times, and the bytes of the
 * checkpoints that are kept.
 * @param {string} run directory
 */
export function runOutcome(run) {
  const lines = readFileSync(path.join(run, 'metrics.jsonl'), 'utf8').trimEnd().split('\n');
  const records = lines.map((line) => JSON.parse(line));
  for (const record of records) for (const key of ['elapsedMs', 'tokensPerSecond', 'path']) delete record[key];
  records.sort((a, b) => a.step - b.step || Number(a.kind === 'checkpoint') - Number(b.kind === 'checkpoint'));
  const folder = path.join(run, 'checkpoints');
  const files = readdirSync(folder)
    .sort()
    .flatMap((step) =>
      readdirSync(path.join(folder, step))
        .sort()
        .map((name) => `${step}/${name} ${readFileSync(path.join(folder, step, name), 'base64')}`),
    );
  return JSON.stringify({ records, files });
}

/** The same, and how the run stands. @param {string} run directory */
export function runOutcomeAndStatus(run) {
  const { state, step } = JSON.parse(readFileSync(path.join(run, 'status.json'), 'utf8'));
  return JSON.stringify([state, step, runOutcome(run)]);
}
