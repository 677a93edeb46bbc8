/**
 * Parts of the model against PyTorch: tiny decoders made by scripts/fixtures/parts.py, with their logits, loss and
 * gradients.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { configSchema, type Config } from '../../src/config/schema.ts';
import { parameterTable } from '../../src/model/parameters.ts';
import { readSafetensors } from '../../src/tensors/safetensors.ts';
import { answers, relativeDifference, vocabularySize, type Reference } from '../huggingface/fixtures.ts';

const at = (name: string): string => fileURLToPath(new URL(`fixtures/parts/${name}`, import.meta.url));
const models = JSON.parse(readFileSync(at('models.json'), 'utf8')) as Record<
  string,
  Pick<Reference, 'inputs' | 'targets' | 'loss' | 'logits'> & { model: Partial<Config['model']> }
>;

const update = { learningRate: 0, betas: [0, 0], epsilon: 1, weightDecay: 0, gradientClip: null } as const;

describe.each(Object.entries(models))('%s', (name, expected) => {
  const { model } = configSchema.parse({
    name,
    corpus: { sources: [{ path: '/nowhere' }] },
    model: expected.model,
  }) as Config;

  it('has the logits, the loss and every gradient of PyTorch', async () => {
    const tensors = await readSafetensors(at(`${name}.safetensors`));
    const valuesOf = new Map(tensors.map((tensor) => [tensor.name, tensor.values]));
    const table = parameterTable(model, vocabularySize);
    expect(table.flatMap((spec) => [spec.name, `gradient/${spec.name}`]).sort()).toEqual([...valuesOf.keys()].sort());
    const parameters = table.map((spec) => ({ ...spec, values: valuesOf.get(spec.name)! }));
    const actual = await answers(model, parameters, { ...expected, update, steps: [] }, 'recorded');
    expect(relativeDifference(actual.logits, expected.logits)).toBeLessThan(1e-5);
    expect(Math.abs(actual.loss / expected.loss - 1)).toBeLessThan(1e-5);
    for (const spec of table) {
      const gradient = valuesOf.get(`gradient/${spec.name}`)!;
      expect(Math.max(...gradient.map(Math.abs)), spec.name).toBeGreaterThan(1e-4);
      expect(relativeDifference(actual.gradients.get(spec.name)!, gradient), spec.name).toBeLessThan(1e-4);
    }
  });
});
