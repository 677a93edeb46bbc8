/** Whether a run may be continued with a config: only what leaves its past steps as they were may change. */
import { existsSync, realpathSync } from 'node:fs';
import path from 'node:path';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { parseResolvedConfig } from '../config/load.ts';
import { resumeDifferences } from '../config/resolved.ts';
import type { Config } from '../config/schema.ts';
import { readTokenizerFile, renderTokenizer, tokenizerFromFile } from '../data/tokenizers/tokenizerFile.ts';
import { wrongInput } from '../errors.ts';
import { refuseOtherConfig } from '../run/configFile.ts';
import { runPaths } from '../run/runPaths.ts';
import { changedResume, type AskedRun } from './changedResume.ts';

interface ResumedRun {
  config: Config;
  runDirectory: string;
  asked: AskedRun;
}

/** The config that a checkpoint was made with. */
export const configOf = ({ path: folder, configText }: Checkpoint): Config =>
  parseResolvedConfig(configText, path.join(folder, 'config.yaml'));

/**
 * Paths may differ where the content is compared: that of the corpus with corpus.json, and a tokenizer with the
 * checkpoint's.
 * @throws wrongInput naming the keys that differ and must not
 */
export async function assertMayResume(
  checkpoint: Checkpoint,
  { config, runDirectory, asked }: ResumedRun,
): Promise<void> {
  const before = configOf(checkpoint);
  const ignorePaths = existsSync(runPaths(runDirectory).corpus);
  const differences = resumeDifferences(before, config, { ignorePaths }).filter((key) => key !== 'device');
  if (ignorePaths && isOtherStart(before.start.from, config.start.from)) differences.push('start.from');
  if (ignorePaths && (await isOtherTokenizer(before, config, checkpoint))) differences.push('tokenizer.path');
  if (differences.length === 0) return;
  refuseOtherConfig(runDirectory, asked.configPath);
  throw wrongInput(changedResume(differences, runDirectory, before, asked));
}

/** The run that this one started from may have been moved since: then it is gone from its place and is at another. */
function isOtherStart(before: string | null, now: string | null): boolean {
  if (before === null || now === null || before === now) return false;
  return !existsSync(now) || (existsSync(before) && realpathSync(before) !== realpathSync(now));
}

async function isOtherTokenizer(before: Config, now: Config, checkpoint: Checkpoint): Promise<boolean> {
  const { path: file, endOfText } = now.tokenizer;
  if (file === null || file === before.tokenizer.path) return false;
  if (!existsSync(file)) return true;
  const own = tokenizerFromFile(checkpoint.tokenizerText, path.join(checkpoint.path, 'tokenizer.json'));
  return renderTokenizer(await readTokenizerFile(file, endOfText ?? undefined)) !== renderTokenizer(own);
}
