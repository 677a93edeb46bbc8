import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { writeSafetensors } from '../../src/tensors/safetensors.ts';
import { renderTokenizer } from '../../src/data/tokenizers/tokenizerFile.ts';
import { charactersTokenizer } from '../../src/data/tokenizers/characters.ts';
import { readConfigJson } from '../../src/huggingface/configJson.ts';
import { mappingOf, tensorShape } from '../../src/huggingface/tensorMapping.ts';
import { exportModel } from '../../src/huggingface/exportModel.ts';
import { importModel } from '../../src/huggingface/importModel.ts';
import { parameterTable } from '../../src/model/parameters.ts';
import { elementCount } from '../../src/tensors/tensors.ts';
import { useTemporaryFolder } from '../temporaryFolder.ts';

const folder = useTemporaryFolder();
const peak = (): number => Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024;

it.skipIf(process.platform !== 'linux')(
  'import and export keep at most two tensors in memory, never the whole model',
  async () => {
    const directory = join(folder(), 'large');
    mkdirSync(directory);
    const json = {
      model_type: 'llama',
      vocab_size: 13,
      hidden_size: 640,
      intermediate_size: 1280,
      num_hidden_layers: 12,
      num_attention_heads: 10,
      max_position_embeddings: 64,
    };
    writeFileSync(join(directory, 'config.json'), JSON.stringify(json));
    writeFileSync(join(directory, 'tokenizer.json'), renderTokenizer(charactersTokenizer('abcdefghijklm')));
    const { model } = readConfigJson(JSON.stringify(json), 'config.json', null);
    const table = parameterTable(model, 13);
    const tensors = table.flatMap((parameter) => {
      const mapping = mappingOf(parameter, model);
      return mapping.tensors.map((tensor) => {
        const shape = tensorShape(mapping, tensor);
        return { name: tensor.name, shape, values: () => new Float32Array(elementCount(shape)).fill(0.5) };
      });
    });
    await writeSafetensors(join(directory, 'model.safetensors'), tensors, {}, 'BF16');

    const modelBytes = 4 * table.reduce((sum, { shape }) => sum + elementCount(shape), 0);
    expect(modelBytes).toBeGreaterThan(190e6);
    writeFileSync('/proc/self/clear_refs', '5'); // resets VmHWM to the current memory
    const before = peak();
    const { parameters } = await importModel(directory, join(folder(), 'run'), { contextLength: null });
    expect(4 * parameters).toBe(modelBytes);
    await exportModel(join(folder(), 'run'), join(folder(), 'exported'), { checkpoint: 'last', dtype: 'bfloat16' });
    expect(peak() - before).toBeLessThan(modelBytes / 2);
    const again = readFileSync(join(folder(), 'exported', 'model.safetensors'));
    expect(again.length).toBeGreaterThan(modelBytes / 2);
    expect(again.subarray(-4).toString('hex')).toBe('003f003f'); // 0.5, 0.5 in bfloat16
  },
);
