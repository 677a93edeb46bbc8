/**
 * `clm import`: turns a Hugging Face folder into a run with a checkpoint at step 0. Everything is checked before the
 * first write. Only one tensor is in memory at a time.
 */
import { existsSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { readBounded } from '../storage/boundedFile.ts';
import { refusePointerAt } from '../storage/pointerFiles.ts';
import { saveCheckpoint } from '../checkpoint/checkpoint.ts';
import { describeEnvironment } from '../run/environment.ts';
import { checkpointPath } from '../run/findCheckpoint.ts';
import { assertFreshStart, createRunDirectory } from '../run/runDirectory.ts';
import { parseResolvedConfig } from '../config/load.ts';
import { renderConfig } from '../config/resolved.ts';
import type { Config } from '../config/schema.ts';
import { chatFormatOf } from '../data/chat/chatFormats.ts';
import { ignoredParts } from '../data/tokenizers/bpe/files/huggingFaceFile.ts';
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import { renderTokenizer, withChat } from '../data/tokenizers/tokenizerFile.ts';
import { ExpectedError, wrongInput } from '../errors.ts';
import { shellPath } from '../shellWord.ts';
import { parameterTable, vocabularyRows } from '../model/parameters.ts';
import { elementCount } from '../tensors/tensors.ts';
import { readConfigJson, type HuggingFaceModel } from './configJson.ts';
import { readGenerationConfig, type SamplingDefaults } from './generationConfig.ts';
import { readTokenizerJson } from './tokenizerJson.ts';
import { modelParameters, openModelTensors } from './modelTensors.ts';

interface Imported {
  runDirectory: string;
  checkpoint: string;
  kind: HuggingFaceModel['kind'];
  parameters: number;
  vocabularySize: number;
  /** Rows of the embedding beyond the tokens of the tokenizer. They are kept, but never sampled. */
  paddingRows: number;
  contextLength: number;
  /** Defaults of sampling that generation_config.json gives; they are in `samples` of the run's config. */
  sampling: SamplingDefaults;
  /** What was passed over, ignored, or is not as config.json says. */
  warnings: string[];
}

/**
 * @param directory with config.json, model.safetensors (or its index and shards) and tokenizer.json
 * @param runDirectory to create; must not contain a run
 * @param options.contextLength shorter than the model's own, for RoPE models; null keeps it
 * @param options.ignoredKeys keys of config.json that clm does not know, to be treated as if they were not there
 * @throws wrongInput if the folder is incomplete or damaged, or clm would not compute the model as transformers does
 */
export async function importModel(
  directory: string,
  runDirectory: string,
  options: { contextLength: number | null; ignoredKeys?: readonly string[] },
): Promise<Imported> {
  await assertFreshStart(runDirectory, { mayResume: false });
  assertModelFolder(directory);
  const found = readConfigJson(
    await textOf(directory, 'config.json'),
    join(directory, 'config.json'),
    options.contextLength,
    options.ignoredKeys,
  );
  const tokenizerPath = join(directory, 'tokenizer.json');
  const generation = readGenerationConfig(directory);
  const endTokens = [...new Set([...found.endTokens, ...generation.endTokens])];
  const plain = readTokenizerJson(await textOf(directory, 'tokenizer.json'), tokenizerPath, endTokens);
  const chat = chatFormatOf(directory);
  const tokenizer = chat === null ? plain : withChat(plain, chat);
  const { vocabularySize } = tokenizer;
  const ignored = ignoredParts(tokenizer);
  const gone = endTokens.filter((id) => id >= vocabularySize || tokenizer.unusedIds.includes(id));
  const rows = vocabularyRows(found.model, vocabularySize);
  if (vocabularySize > rows) {
    throw wrongInput(
      `${tokenizerPath} has ${vocabularySize} tokens, but the model in ${directory} has only ${rows}; ` +
        'they do not belong together',
    );
  }
  const tensors = await openModelTensors(directory, found.model, vocabularySize);
  const { tiedEmbeddings } = tensors;
  const { sampling } = generation;
  const config = configOf({ ...found.model, tiedEmbeddings }, sampling, tokenizer, { directory, runDirectory });
  const table = parameterTable(config.model, vocabularySize);
  const model = modelParameters(tensors, table, config.model);

  const [configText, tokenizerText] = [renderConfig(config, runDirectory), renderTokenizer(tokenizer)];
  const environment = describeEnvironment({ device: null, tensorflow: null, threads: null });
  await createRunDirectory(runDirectory, { configText, tokenizerText, environment });
  const state = { cursor: null, tokens: 0, imported: { kind: found.kind } };
  const inCheckpoint = renderConfig(config, checkpointPath(runDirectory, 0));
  const content = { step: 0, state, configText: inCheckpoint, tokenizerText, model, optimizer: [] };
  const checkpoint = await saveCheckpoint(runDirectory, content, { keepLast: null });
  return {
    runDirectory,
    checkpoint,
    kind: found.kind,
    parameters: table.reduce((sum, { shape }) => sum + elementCount(shape), 0),
    vocabularySize,
    paddingRows: rows - vocabularySize,
    contextLength: config.model.contextLength,
    sampling,
    warnings: [
      ...found.warnings,
      ...generation.warnings,
      ...tensors.warnings,
      ...(ignored === undefined ? [] : [ignored]),
      ...(gone.length === 0 ? [] : [`eos_token_id: no token has the id ${gone.join(', ')}; it ends no completion`]),
    ],
  };
}

const noCorpus = 'this-imported-run-has-no-corpus';

/** Whether a run has a corpus of its own; an imported one has none. */
export const hasCorpus = ({ corpus }: Config): boolean => basename(corpus.sources[0]!.path) !== noCorpus;

/**
 * The config of an imported run: its model and how to sample from it, with defaults for the rest. The config needs a
 * corpus, so it names a path that does not exist and whose name explains why.
 */
function configOf(
  model: Config['model'],
  samples: SamplingDefaults,
  { kind }: Tokenizer,
  { directory, runDirectory }: { directory: string; runDirectory: string },
): Config {
  const path = resolve(runDirectory, 'tokenizer.json');
  const text = JSON.stringify({
    name:
      basename(resolve(runDirectory))
        .replace(/^\.+/, '')
        .replace(/[^\p{L}\p{M}\p{N}._-]/gu, '-') || 'imported',
    corpus: { sources: [{ path: resolve(runDirectory, noCorpus) }] },
    tokenizer: kind === 'bytes' || kind === 'characters' ? { kind } : { kind: 'file', path },
    model,
    samples,
  });
  try {
    return parseResolvedConfig(text, resolve(runDirectory, 'config.yaml'));
  } catch (error) {
    // It names a place in a file that is not there yet.
    if (!(error instanceof ExpectedError)) throw error;
    const reason = error.message.replace(/^.*?config\.yaml(:\d+)*: /, '');
    throw wrongInput(`${join(directory, 'config.json')} describes a model that clm cannot make: ${reason}`);
  }
}

/** @throws wrongInput for a path that is no folder, and for a folder that transformers reads as an adapter */
function assertModelFolder(directory: string): void {
  if (!existsSync(directory)) throw wrongInput(`${directory} does not exist`);
  if (!statSync(directory).isDirectory()) throw wrongInput(`${directory} is a file; name the folder that it is in`);
  if (existsSync(join(directory, 'adapter_config.json'))) {
    throw wrongInput(
      `${directory} has adapter_config.json: transformers would load another model and adapt it. Merge the adapter ` +
        'into its model (merge_and_unload of peft), or remove the file if the weights beside it are complete.',
    );
  }
}

async function textOf(directory: string, name: string): Promise<string> {
  const path = join(directory, name);
  // tokenizer.json files reach 30 MB. A byte order mark, as some editors write it, is not part of the JSON.
  if (existsSync(path))
    return readBounded(path, 128 << 20)
      .toString('utf8')
      .replace(/^\uFEFF/, '');
  if (name === 'tokenizer.json') throw wrongInput(`${path} is missing; ${tokenizerCommand(directory)}`);
  throw wrongInput(
    `${path} is missing; a folder to import has config.json, tokenizer.json and model.safetensors ` +
      '(or its index and shards)',
  );
}

/** How to make tokenizer.json from the files of older models. */
function tokenizerCommand(directory: string): string {
  const other = ['vocab.json', 'tokenizer.model', 'spiece.model'].find((one) => existsSync(join(directory, one)));
  if (other !== undefined) refusePointerAt(join(directory, other));
  const python = "from transformers import AutoTokenizer as A; A.from_pretrained('.').save_pretrained('.')";
  const command = `\n  cd ${shellPath(directory)} && python3 -c "${python}"`;
  if (other !== undefined) return `the folder has its tokenizer as ${other}. transformers makes one of it:${command}`;
  return (
    'download it. If the model has only vocab.json and merges.txt, or tokenizer.model, put them into the folder; ' +
    `transformers makes tokenizer.json of them:${command}`
  );
}
