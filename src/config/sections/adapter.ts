/** Section `adapter`: small matrices beside the frozen weights of the run in `start.from`, and all that is trained. */
import { z } from 'zod';

/** The linear maps of a block that can be adapted; `queryKeyValue` is query, key and value as one map. */
export const adapterTargets = ['query', 'key', 'value', 'queryKeyValue', 'output', 'gate', 'up', 'down'] as const;

export type AdapterTarget = (typeof adapterTargets)[number];

/** The targets if a config names none: every linear map of the model's blocks, each on its own. */
export const defaultTargets = ({ activation }: { activation: string }): AdapterTarget[] =>
  adapterTargets.filter((target) => target !== 'queryKeyValue' && (target !== 'gate' || activation === 'swiglu'));

export const adapter = z
  .strictObject({
    kind: z
      .enum(['lora'])
      .nullable()
      .default(null)
      .describe(
        'lora: the weights of the run in start.from stay as they are, and two small matrices beside each of the ' +
          'targets are trained and saved. null: no adapter, the weights themselves are trained.',
      ),
    rank: z.int().min(1).default(8).describe('Inner size of the two matrices.'),
    alpha: z.number().gt(0).default(16).describe('What the matrices add is multiplied by alpha / rank.'),
    dropout: z
      .number()
      .min(0)
      .lt(1)
      .default(0)
      .describe('Dropout probability of the input of the matrices during training; ≥ 0 and < 1.'),
    targets: z
      .array(z.enum(adapterTargets))
      .min(1)
      .nullable()
      .default(null)
      .describe(
        'Linear maps of each block that are adapted; queryKeyValue adapts query, key and value by one pair of ' +
          'matrices, gate is only in models with activation swiglu. null: query, key, value, output, gate, up, down, ' +
          'as far as the model has them.',
      ),
  })
  .prefault({})
  .describe('Low-rank adaptation (LoRA) of another run, which needs far less memory than training all weights.');
