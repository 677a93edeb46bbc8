import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadCheckpoint } from '../../src/checkpoint/checkpoint.ts';
import { readAdapterConfig } from '../../src/huggingface/adapters/adapterConfig.ts';
import { adapterModules } from '../../src/huggingface/adapters/adapterModules.ts';
import { convertedAdapter, readLowRanks } from '../../src/huggingface/adapters/adapterTensors.ts';
import { importModel } from '../../src/huggingface/importModel.ts';
import { adapterTable } from '../../src/model/adapter.ts';
import { adapterMerge } from '../../src/model/mergedWeights.ts';
import { parameterTable } from '../../src/model/parameters.ts';
import { parseResolvedConfig } from '../../src/config/load.ts';
import { configSchema, type Config } from '../../src/config/schema.ts';
import { openSession } from '../../src/runtime/openSession.ts';
import { recordTrainingStep } from '../../src/training/step/step.ts';
import { trainingState } from '../../src/training/step/trainingState.ts';
import { useTemporaryFolder } from '../temporaryFolder.ts';
import {
  adapterFixture,
  adapterReference,
  answers,
  fixture,
  fixtureNames,
  relativeDifference,
  vocabularySize,
} from './fixtures.ts';

const folder = useTemporaryFolder();

/** The base and the adapter of a fixture. */
async function loaded(name: string) {
  const { checkpoint } = await importModel(fixture(name), join(folder(), 'base'), { contextLength: null });
  const base = await loadCheckpoint(checkpoint, { optimizer: false });
  const { model } = parseResolvedConfig(base.configText, 'config.yaml');
  const table = parameterTable(model, vocabularySize);
  const modules = adapterModules(table, model);
  const text = readFileSync(join(adapterFixture(name), 'adapter_config.json'), 'utf8');
  const config = readAdapterConfig(text, 'adapter_config.json');
  const lowRanks = await readLowRanks(join(adapterFixture(name), 'adapter_model.safetensors'), config, modules);
  return { base, model, table, modules, config, lowRanks, ...convertedAdapter(lowRanks, modules, config) };
}

describe.each(fixtureNames)('an adapter of %s', (name) => {
  it('has the logits, the loss and every gradient of PEFT, merged and unmerged', async () => {
    const { base, model, table, modules, config, adapter, tensors } = await loaded(name);
    const expected = adapterReference(name);
    const actual = await answers(model, base.model, expected, 'recorded', { adapter, tensors });
    expect(relativeDifference(actual.logits, expected.logits)).toBeLessThan(1e-5);
    expect(Math.abs(actual.loss / expected.loss - 1)).toBeLessThan(1e-5);

    const theirs = await readLowRanks(join(adapterFixture(name), 'gradients.safetensors'), config, modules);
    // The scaling that is multiplied into B divides the gradient by B.
    const scaled = theirs.map((one) => ({ ...one, scale: theirs[0]!.scale ** 2 / one.scale }));
    const gradients = convertedAdapter(scaled, modules, config).tensors;
    expect(gradients.map(({ name }) => name)).toEqual(adapterTable(table, adapter, model).map(({ name }) => name));
    for (const { name: parameter, values } of gradients) {
      const own = actual.gradients.get(parameter)!;
      if (values.some((value) => value !== 0)) expect(relativeDifference(own, values), parameter).toBeLessThan(1e-4);
      else
        expect(
          own.every((value) => value === 0),
          parameter,
        ).toBe(true); // in a block that is not adapted
    }

    const merge = adapterMerge(tensors, adapter, model);
    const merged = base.model.map((tensor) => ({ ...tensor, values: merge(tensor, tensor.values.slice()) }));
    expect(merged).not.toEqual(base.model);
    const ofMerged = await answers(model, merged, expected, 'eager');
    expect(relativeDifference(ofMerged.logits, actual.logits)).toBeLessThan(1e-5);
  });

  // Where PEFT scales modules differently, clm multiplies that into B, and AdamW then takes other steps.
  it.skipIf(name === 'smollm')('trains like PEFT: the same losses and gradient norms over three updates', async () => {
    const { base, model, table, adapter, tensors } = await loaded(name);
    const { inputs, targets, update, steps } = adapterReference(name);
    const config = configSchema.parse({
      name: 'three-updates',
      corpus: { sources: [{ path: '/nowhere' }] },
      model,
      optimizer: update,
      training: { microBatchSize: inputs.length / model.contextLength, branches: 2, steps: 4 },
      adapter: { kind: 'lora', ...adapter },
    }) as Config;
    const own = adapterTable(table, adapter, model);
    const session = openSession({ mode: 'recorded', ...config.training, device: 'cpu' });
    await session.addVariables([...base.model, ...tensors, ...trainingState(config, own, tensors)]);
    const step = await recordTrainingStep(session, config, own, table);
    const lossMask = new Float32Array(inputs.length).fill(1);
    const batch = { inputs: Int32Array.from(inputs), targets: Int32Array.from(targets), lossMask };
    for (const [i, expected] of steps.entries()) {
      const { loss, gradientNorm } = await step([{ ...batch, targetCount: inputs.length }], i + 1, update.learningRate);
      expect(Math.abs(loss / expected.loss - 1), `loss before update ${i + 1}`).toBeLessThan(1e-5);
      expect(Math.abs(gradientNorm / expected.gradientNorm - 1), `gradient norm of update ${i + 1}`).toBeLessThan(1e-4);
    }
    session.close();
    expect(steps[3]!.loss).toBeLessThan(steps[0]!.loss - 0.01);
  });
});
