import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadCheckpoint, saveCheckpoint } from '../../src/checkpoint/checkpoint.ts';
import { readSafetensors } from '../../src/tensors/safetensors.ts';
import type { NamedTensor } from '../../src/tensors/tensors.ts';
import { parseResolvedConfig } from '../../src/config/load.ts';
import { renderConfig } from '../../src/config/resolved.ts';
import { configSchema, type Config } from '../../src/config/schema.ts';
import { readConfigJson } from '../../src/huggingface/configJson.ts';
import { exportModel } from '../../src/huggingface/exportModel.ts';
import { importModel } from '../../src/huggingface/importModel.ts';
import { modelParameters, openModelTensors } from '../../src/huggingface/modelTensors.ts';
import { parameterTable, type ModelConfig, type ParameterSpec } from '../../src/model/parameters.ts';
import { openSession } from '../../src/runtime/openSession.ts';
import { recordTrainingStep } from '../../src/training/step/step.ts';
import { trainingState } from '../../src/training/step/trainingState.ts';
import { useTemporaryFolder } from '../temporaryFolder.ts';
import { answers, fixture, fixtureNames, reference, relativeDifference, vocabularySize } from './fixtures.ts';

const folder = useTemporaryFolder();

async function imported(name: string) {
  const run = join(folder(), name);
  const result = await importModel(fixture(name), run, { contextLength: null });
  const checkpoint = await loadCheckpoint(result.checkpoint, { optimizer: false });
  const { model } = parseResolvedConfig(checkpoint.configText, 'config.yaml');
  return { run, result, checkpoint, model };
}

/** The parameters of a folder, with their values. */
const readParameters = async (
  directory: string,
  table: readonly ParameterSpec[],
  model: ModelConfig,
): Promise<NamedTensor[]> =>
  Promise.all(
    modelParameters(await openModelTensors(directory, model, vocabularySize), table, model).map(
      async ({ name, shape, values }) => ({
        name,
        shape: [...shape],
        values: await values(),
      }),
    ),
  );

describe.each(fixtureNames)('%s', (name) => {
  it('has the logits, the loss and every gradient of transformers, recorded and eager', async () => {
    const { checkpoint, model } = await imported(name);
    const expected = reference(name);
    const table = parameterTable(model, vocabularySize);
    const gradients = await readParameters(join(fixture(name), 'gradients'), table, model);
    expect(expected.logits.length / expected.inputs.length).toBe(vocabularySize + (name === 'smollm' ? 3 : 0));
    for (const mode of ['recorded', 'eager'] as const) {
      const actual = await answers(model, checkpoint.model, expected, mode);
      expect(relativeDifference(actual.logits, expected.logits)).toBeLessThan(1e-5);
      expect(Math.abs(actual.loss / expected.loss - 1)).toBeLessThan(1e-5);
      for (const { name: parameter, values } of gradients) {
        expect(relativeDifference(actual.gradients.get(parameter)!, values), parameter).toBeLessThan(1e-4);
      }
    }
  });

  it('trains like PyTorch: the same losses and gradient norms over three updates', async () => {
    const { checkpoint, model } = await imported(name);
    const { inputs, targets, update, steps } = reference(name);
    const T = model.contextLength;
    const sections = {
      model,
      optimizer: update,
      training: { microBatchSize: inputs.length / T, branches: 2, steps: 4 },
    };
    const config = configSchema.parse({
      name: 'three-updates',
      corpus: { sources: [{ path: '/nowhere' }] },
      ...sections,
    }) as Config;
    const table = parameterTable(model, vocabularySize);
    const session = openSession({ mode: 'recorded', ...config.training, device: 'cpu' });
    await session.addVariables([...checkpoint.model, ...trainingState(config, table, checkpoint.model)]);
    const step = await recordTrainingStep(session, config, table);
    const lossMask = new Float32Array(inputs.length).fill(1);
    const batch = {
      inputs: Int32Array.from(inputs),
      targets: Int32Array.from(targets),
      lossMask,
      targetCount: inputs.length,
    };
    for (const [i, expected] of steps.entries()) {
      const { loss, gradientNorm } = await step([batch], i + 1, update.learningRate);
      expect(Math.abs(loss / expected.loss - 1), `loss before update ${i + 1}`).toBeLessThan(1e-5);
      expect(Math.abs(gradientNorm / expected.gradientNorm - 1), `gradient norm of update ${i + 1}`).toBeLessThan(1e-4);
      expect(expected.gradientNorm).toBeGreaterThan(update.gradientClip!); // the gradient was clipped
    }
    session.close();
    expect(steps[3]!.loss).toBeLessThan(steps[0]!.loss - 0.01);
  });

  it('is exported unchanged: the same config to clm, the same tensors to the bit', async () => {
    const { run, result, model } = await imported(name);
    const directory = join(folder(), 'exported');
    const { kind } = await exportModel(run, directory, { checkpoint: 'last', dtype: 'float32' });
    expect(kind).toBe(result.kind === 'mistral' ? 'llama' : result.kind);
    const read = readConfigJson(readFileSync(join(directory, 'config.json'), 'utf8'), 'config.json', null);
    expect(read.model).toEqual(model);
    if (['mistral', 'qwen2'].includes(name)) return; // shards and bfloat16: not the same files
    const before = await readSafetensors(join(fixture(name), 'model.safetensors'));
    const after = await readSafetensors(join(directory, 'model.safetensors'));
    const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
    expect(after.toSorted(byName)).toEqual(before.toSorted(byName));
  });
});

describe('an export', () => {
  it.each([
    [
      'gpt2',
      'gpt2',
      { biases: false, queryKeyValueBiases: false, feedForwardBiases: false },
      'transformer.h.1.mlp.c_fc.bias',
    ],
    [
      'llama-attention-biases',
      'llama',
      { biases: false, feedForwardBiases: true },
      'model.layers.1.self_attn.o_proj.bias',
    ],
    ['qwen3', 'qwen3', { queryKeyValueBiases: true }, 'model.layers.0.self_attn.o_proj.bias'],
  ])('of %s without biases that a %s always has writes zeros for them', async (name, kind, changes, zeros) => {
    const { result, checkpoint, model } = await imported(name);
    const changed = { ...model, ...changes };
    const values = new Map(checkpoint.model.map((tensor) => [tensor.name, tensor]));
    const table = parameterTable(changed, vocabularySize);
    const parameters = table.map(
      ({ name, shape }) => values.get(name) ?? { name, shape, values: new Float32Array(shape[0]!).fill(0.5) },
    );
    const configText = renderConfig({ ...parseResolvedConfig(checkpoint.configText, 'config.yaml'), model: changed });
    const { step, state, tokenizerText } = checkpoint;
    await saveCheckpoint(
      result.runDirectory,
      { step, state, tokenizerText, configText, model: parameters, optimizer: [] },
      { keepLast: null },
    );
    const before = (await answers(changed, parameters, reference(name), 'recorded')).logits;

    const directory = join(folder(), 'exported');
    expect((await exportModel(result.runDirectory, directory, { checkpoint: 'last', dtype: 'float32' })).kind).toBe(
      kind,
    );
    const written = (await readSafetensors(join(directory, 'model.safetensors'))).find(
      (tensor) => tensor.name === zeros,
    )!;
    expect(written.values).toEqual(new Float32Array(written.values.length));
    const again = await importModel(directory, join(folder(), 'again'), { contextLength: null });
    const { model: reread, configText: text } = await loadCheckpoint(again.checkpoint, { optimizer: false });
    const { model: config } = parseResolvedConfig(text, 'config.yaml');
    expect(config.biases).toBe(true);
    expect(
      relativeDifference((await answers(config, reread, reference(name), 'recorded')).logits, before),
    ).toBeLessThan(1e-6);
  });
});

describe('an import', () => {
  it('keeps padding rows of the vocabulary, and reports them', async () => {
    const { result, model } = await imported('smollm');
    expect(result).toMatchObject({ paddingRows: 3, vocabularySize, kind: 'llama' });
    expect(model.vocabularySize).toBe(vocabularySize + 3);
    expect((await imported('qwen3')).result.paddingRows).toBe(0);
  });

  it('is exported in 16-bit types with their rounding only', async () => {
    const { run, checkpoint, model } = await imported('mistral');
    for (const dtype of ['bfloat16', 'float16'] as const) {
      const directory = join(folder(), dtype);
      await exportModel(run, directory, { checkpoint: 'last', dtype });
      const table = parameterTable(model, vocabularySize);
      const back = await readParameters(directory, table, model);
      // The fixture's weights are bfloat16; float16 has more fraction bits and enough range for them.
      if (dtype === 'bfloat16') expect(back).toEqual(checkpoint.model);
      else
        back.forEach(({ values }, i) =>
          expect(relativeDifference(values, checkpoint.model[i]!.values)).toBeLessThan(1e-6),
        );
    }
  });
});

it('an export knows every key of a model: decide in exportModel.ts about a new one, then add it here', () => {
  const keys = [
    ...['family', 'preset', 'layers', 'heads', 'keyValueHeads', 'headSize', 'width', 'feedForwardWidth'],
    ...[
      'vocabularySize',
      'contextLength',
      'dropout',
      'biases',
      'queryKeyValueBiases',
      'feedForwardBiases',
      'queryKeyNorm',
      'activation',
      'normPlacement',
      'logitSoftCap',
      'valueEmbeddings',
    ],
    ...['normEpsilon', 'nopeEveryLayers', 'ropeTheta', 'ropeScaling', 'tiedEmbeddings'],
  ];
  const { model } = configSchema.parse({ name: 'a', corpus: { sources: [{ path: 'a.txt' }] }, training: { steps: 1 } });
  expect(Object.keys(model).sort()).toEqual(keys.sort());
});
