/**
 * `clm import`: turns a Hugging Face folder into a run with a checkpoint at step 0. Everything is checked before the
 * first write. Only one tensor is in memory at a time.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readBounded } from '../storage/boundedFile.ts';
import { refusePointerAt } from '../storage/pointerFiles.ts';
import { assertFreshStart } from '../run/runDirectory.ts';
import { chatFormatOf } from '../data/chat/chatFormats.ts';
import { ignoredParts } from '../data/tokenizers/bpe/files/huggingFaceFile.ts';
import { withChat } from '../data/tokenizers/tokenizerFile.ts';
import { wrongInput } from '../errors.ts';
import { shellPath } from '../shellWord.ts';
import { parameterTable, vocabularyRows } from '../model/parameters.ts';
import { elementCount } from '../tensors/tensors.ts';
import { readConfigJson, type HuggingFaceModel } from './configJson.ts';
import { readGenerationConfig, type SamplingDefaults } from './generationConfig.ts';
import { createImportedRun, importedConfig } from './importedRun.ts';
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
  const model = { ...found.model, tiedEmbeddings };
  const place = { runDirectory, file: join(directory, 'config.json') };
  const config = importedConfig({ model, samples: sampling }, tokenizer, place);
  const table = parameterTable(config.model, vocabularySize);
  const checkpoint = await createImportedRun(runDirectory, {
    config,
    tokenizer,
    record: { imported: { kind: found.kind } },
    model: modelParameters(tensors, table, config.model),
    importedFrom: directory,
  });
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

/** @throws wrongInput for a path that is no folder, and for a folder that transformers reads as an adapter */
function assertModelFolder(directory: string): void {
  if (!existsSync(directory)) throw wrongInput(`${directory} does not exist`);
  if (!statSync(directory).isDirectory()) throw wrongInput(`${directory} is a file; name the folder that it is in`);
  if (existsSync(join(directory, 'adapter_config.json'))) {
    throw wrongInput(
      `${directory} has adapter_config.json: it is an adapter. Import the model that it was made for, then the ` +
        'adapter with --base and the run of that model. If the weights beside it are complete, remove that file.',
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
  const gguf = readdirSync(directory).find((one) => one.toLowerCase().endsWith('.gguf'));
  if (gguf !== undefined)
    throw wrongInput(`${path} is missing, but the folder has a GGUF file: name ${join(directory, gguf)}`);
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
