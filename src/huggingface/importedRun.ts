/** A run that was imported: a config without corpus, and one checkpoint at step 0. */
import { rm } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import type { BasePin } from '../checkpoint/adapterBase.ts';
import { assertSpaceFor, saveCheckpoint } from '../checkpoint/checkpoint.ts';
import { parseResolvedConfig } from '../config/load.ts';
import { renderConfig } from '../config/resolved.ts';
import type { Config, ConfigInput } from '../config/schema.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { renderTokenizer } from '../data/tokenizers/tokenizerFile.ts';
import { ExpectedError, wrongInput } from '../errors.ts';
import { describeEnvironment } from '../run/environment.ts';
import { checkpointPath } from '../run/findCheckpoint.ts';
import { createRunDirectory, directoryState } from '../run/runDirectory.ts';
import type { LazyTensor } from '../tensors/safetensors.ts';
import type { NamedTensor } from '../tensors/tensors.ts';

const noCorpus = 'this-imported-run-has-no-corpus';

/** Whether a run has a corpus of its own; an imported one has none. */
export const hasCorpus = ({ corpus }: Config): boolean => basename(corpus.sources[0]!.path) !== noCorpus;

/**
 * The config of an imported run: its model and how to sample from it, with defaults for the rest. The config needs a
 * corpus, so it names a path that does not exist and whose name explains why.
 *
 * @param sections of the config, `model` among them
 * @param file that the sections are from, for messages
 * @throws wrongInput if clm cannot make the model
 */
export function importedConfig(
  sections: ConfigInput,
  { kind }: Tokenizer,
  { runDirectory, file }: { runDirectory: string; file: string },
): Config {
  const path = resolve(runDirectory, 'tokenizer.json');
  const text = JSON.stringify({
    name:
      basename(resolve(runDirectory))
        .replace(/^\.+/, '')
        .replace(/[^\p{L}\p{M}\p{N}._-]/gu, '-') || 'imported',
    corpus: { sources: [{ path: resolve(runDirectory, noCorpus) }] },
    tokenizer: kind === 'bytes' || kind === 'characters' ? { kind } : { kind: 'file', path },
    ...sections,
  });
  try {
    return parseResolvedConfig(text, resolve(runDirectory, 'config.yaml'));
  } catch (error) {
    // It names a place in a file that is not there yet.
    if (!(error instanceof ExpectedError)) throw error;
    const reason = error.message.replace(/^.*?config\.yaml(:\d+)*: /, '');
    throw wrongInput(`${file} describes a model that clm cannot make: ${reason}`);
  }
}

/**
 * Writes the run directory with its checkpoint; if that fails, a directory that was not there is removed again.
 *
 * @param content.record what the checkpoint says besides, at least where it is from
 * @returns the folder of the checkpoint
 */
export async function createImportedRun(
  runDirectory: string,
  content: {
    config: Config;
    tokenizer: Tokenizer;
    record: { imported: object; base?: BasePin };
    model: readonly (NamedTensor | LazyTensor)[];
    /** The folder of it; none for a file, from which transformers does not load. */
    importedFrom?: string;
  },
): Promise<string> {
  const { config, tokenizer, record, model } = content;
  const tokenizerText = renderTokenizer(tokenizer);
  const state = { cursor: null, tokens: 0, ...record };
  const configText = renderConfig(config, checkpointPath(runDirectory, 0));
  const checkpoint = { step: 0, state, configText, tokenizerText, model, optimizer: [] };
  const importedFrom = content.importedFrom === undefined ? {} : { importedFrom: resolve(content.importedFrom) };
  const environment = describeEnvironment({ device: null, tensorflow: null, threads: null, ...importedFrom });
  await assertSpaceFor(runDirectory, checkpoint, 'choose another place with --run');
  const isNew = (await directoryState(runDirectory)) === 'absent';
  try {
    await createRunDirectory(runDirectory, {
      configText: renderConfig(config, runDirectory),
      tokenizerText,
      environment,
    });
    return await saveCheckpoint(runDirectory, checkpoint, { keepLast: null });
  } catch (error) {
    if (isNew) await rm(runDirectory, { recursive: true, force: true }).catch(() => undefined); // the failure matters
    throw error;
  }
}
