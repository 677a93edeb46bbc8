/** Parts of a model that other programs have no class for: which exports refuse them, and which do not. */
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Config } from '../../src/config/schema.ts';
import { charactersTokenizer } from '../../src/data/tokenizers/characters.ts';
import { exportGguf } from '../../src/gguf/exportGguf.ts';
import { exportModel } from '../../src/huggingface/exportModel.ts';
import { createImportedRun, importedConfig } from '../../src/huggingface/importedRun.ts';
import { initialParameters, parameterTable } from '../../src/model/parameters.ts';
import { failureOf, useTemporaryFolder } from '../temporaryFolder.ts';

const folder = useTemporaryFolder();
const at = (name: string): string => path.join(folder(), name);
const tokenizer = charactersTokenizer('abcde');
const small = { layers: 2, heads: 2, width: 8, contextLength: 6 };

/** What the exports to a folder and to a GGUF file make of a model: the class, or the message that refuses it. */
async function exportsOf(model: Partial<Config['model']>): Promise<[folder: string, gguf: string]> {
  const config = importedConfig({ model: { ...small, ...model } }, tokenizer, { runDirectory: at('run'), file: 'x' });
  const parameters = initialParameters(parameterTable(config.model, 5), 1);
  await createImportedRun(at('run'), { config, tokenizer, record: { imported: {} }, model: parameters });
  const outcome = async (exported: Promise<{ kind: string }>): Promise<string> =>
    exported.then(
      ({ kind }) => kind,
      async () => (await failureOf(exported)).message,
    );
  return [
    await outcome(exportModel(at('run'), at('exported'), { checkpoint: 'last', dtype: 'float32' })),
    await outcome(exportGguf(at('run'), at('exported.gguf'), { checkpoint: 'last', dtype: 'float32' })),
  ];
}

describe('exports of parts that only some classes have', () => {
  const anyClass = (key: string) => new RegExp(`model\\.${key} is \\S+, which no class of transformers has with the`);
  const anyArchitecture = (key: string) =>
    new RegExp(`model\\.${key} is \\S+, which llama\\.cpp does not support in any`);
  it.each<[string, Partial<Config['model']>, string | RegExp, string | RegExp]>([
    ['capped logits', { logitSoftCap: 30 }, anyClass('logitSoftCap'), anyArchitecture('logitSoftCap')],
    ['value embeddings', { valueEmbeddings: 1 }, anyClass('valueEmbeddings'), anyArchitecture('valueEmbeddings')],
    ['sandwich norms', { normPlacement: 'sandwich' }, anyClass('normPlacement'), anyArchitecture('normPlacement')],
    [
      'norms after',
      { family: 'llama', normPlacement: 'after' },
      anyClass('normPlacement'),
      anyArchitecture('normPlacement'),
    ],
    ['squared ReLU, gpt2', { activation: 'squaredRelu' }, 'gpt2', /activation is squaredRelu, .* for GPT-2/],
    ['SwiGLU, gpt2', { activation: 'swiglu' }, /activation is swiglu, which GPT-2/, /activation is swiglu, .* GPT-2/],
    ['squared ReLU, llama', { family: 'llama', activation: 'squaredRelu' }, 'arcee', 'arcee'],
    ['GELU, llama', { family: 'llama', activation: 'gelu' }, 'arcee', /activation is gelu, .* in family llama/],
    [
      'squared ReLU and QK-norm, llama',
      { family: 'llama', activation: 'squaredRelu', queryKeyNorm: true },
      /queryKeyNorm is true, which Arcee/,
      /queryKeyNorm is true, .* \(Arcee\)/,
    ],
    [
      'squared ReLU and biases, llama',
      { family: 'llama', activation: 'squaredRelu', biases: true },
      'arcee',
      /queryKeyValueBiases is true, .* \(Arcee\)/,
    ],
    ['QK-norm, gpt2', { queryKeyNorm: true }, /queryKeyNorm is true, which GPT-2/, /queryKeyNorm is true, .* GPT-2/],
  ])('%s', async (_, model, toFolder, toGguf) => {
    const [hugging, gguf] = await exportsOf(model);
    expect(hugging).toMatch(toFolder);
    expect(gguf).toMatch(toGguf);
  });
});
