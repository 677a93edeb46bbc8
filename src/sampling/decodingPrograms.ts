/**
 * The recorded programs of generation. Prefill reads a prompt in one pass and leaves its keys and values in the cache;
 * a step appends one token to every slot; the other two resize the cache and copy a slot.
 *
 * B slots · P padded length of a prompt · S capacity of the cache in tokens · K key/value heads · D head size ·
 * V vocabulary size
 */
import { adapterPass, type Adapter } from '../model/adapter.ts';
import { hiddenStates, logitsOf } from '../model/decoder.ts';
import { storedParameters, type KeyValueCache } from '../model/decoderPass.ts';
import type { ModelConfig, ParameterSpec } from '../model/parameters.ts';
import { cachedAttention, promptAttention, type PromptCache, type StepCache } from '../ops/cachedAttention.ts';
import { gatherRows } from '../ops/rows.ts';
import type { Inputs, InputSpec, Program, Session } from '../runtime/session.ts';
import type { Variables } from '../runtime/variables.ts';
import { elementCount } from '../tensors/tensors.ts';
import { cacheView, copyRows, integers, leadingRows, resizeCache, rowsAt, writeRows } from './cacheLayout.ts';
import type { CacheLayout } from './cacheLayout.ts';

export interface DecodingSetup {
  session: Session;
  model: ModelConfig;
  /** The adapter whose matrices are in the table, too; null without one. */
  adapter: Adapter | null;
  table: readonly ParameterSpec[];
  cache: CacheLayout;
}

/** With fewer weights × slots than this, a step takes under a millisecond. */
export const briefWeights = 4e6;

type Logits<I extends string> = Program<Readonly<Record<I, InputSpec>>, 'logits'>;

/**
 * Inputs: `inputs` (P) the padded prompt, `last` (1) the position of its last token, `firstRow` (1) of the slot in the
 * cache. Output: `logits` (V) after that token.
 */
export function recordPrefill(
  { session, model, adapter, table, cache: layout }: DecodingSetup,
  P: number,
  S: number,
): Logits<'inputs' | 'last' | 'firstRow'> {
  const one: InputSpec = { shape: [1], dtype: 'int32' };
  const inputs = { inputs: { shape: [P], dtype: 'int32' }, last: one, firstRow: one } as const;
  const define = (feeds: Inputs<typeof inputs>, variables: Variables) => {
    const rows = leadingRows(feeds.firstRow, layout, P, S);
    const cache: KeyValueCache = {
      positionIds: integers(P, (i) => i),
      attendRows: (path, projected, placement, mask) => {
        const [keys, values] = [cacheView(`${path}.keys`, S), cacheView(`${path}.values`, S)];
        const promptCache: PromptCache = {
          heads: layout.heads,
          capacity: S,
          firstRow: feeds.firstRow,
          keys: () => variables.read(keys),
          values: () => variables.read(values),
          write: (key, value) => {
            writeRows(variables, keys, rows, key);
            writeRows(variables, values, rows, value);
          },
        };
        return promptAttention(projected, promptCache, placement, mask);
      },
    };
    const parameters = storedParameters(table, variables);
    const pass = { model, adapter: adapterPass(adapter), batchSize: 1, length: P, dropout: null, cache };
    const hidden = hiddenStates(parameters, feeds.inputs, pass);
    return { logits: logitsOf(parameters, gatherRows(hidden, feeds.last), model) };
  };
  return session.program(`prefill${P}of${S}`, inputs, define, { onOneThread: true });
}

/**
 * Inputs: `inputs` (B) the next token of each slot, `positions` (B) its position. Output: `logits` (B, V) after it.
 */
export function recordStep(
  { session, model, adapter, table, cache: layout }: DecodingSetup,
  S: number,
): Logits<'inputs' | 'positions'> {
  const B = layout.slots;
  const isBrief = B * table.reduce((sum, { shape }) => sum + elementCount(shape), 0) < briefWeights;
  const inputs = { inputs: { shape: [B], dtype: 'int32' }, positions: { shape: [B], dtype: 'int32' } } as const;
  const define = (feeds: Inputs<typeof inputs>, variables: Variables) => {
    const positionIds = feeds.positions;
    const cache: KeyValueCache = {
      positionIds,
      attendRows: (path, projected, placement) => {
        const [keys, values] = [cacheView(`${path}.keys`, S), cacheView(`${path}.values`, S)];
        const stepCache: StepCache = {
          heads: layout.heads,
          positions: positionIds,
          keys: () => variables.read(keys),
          values: () => variables.read(values),
          append: (key, value) => ({
            keys: writeRows(variables, keys, rowsAt(positionIds, layout, S), key),
            values: writeRows(variables, values, rowsAt(positionIds, layout, S), value),
          }),
        };
        return cachedAttention(projected, stepCache, placement);
      },
    };
    const parameters = storedParameters(table, variables);
    const pass = { model, adapter: adapterPass(adapter), batchSize: B, length: 1, dropout: null, cache };
    return { logits: logitsOf(parameters, hiddenStates(parameters, feeds.inputs, pass), model) };
  };
  return session.program(`step${S}`, inputs, define, { onOneThread: true, isBrief });
}

export const recordResize = ({ session, cache }: DecodingSetup, from: number, to: number): Program =>
  session.program(`resize${from}to${to}`, {}, (_, variables) => {
    resizeCache(variables, cache, from, to);
    return {};
  });

/** Inputs: `fromRow` (1) and `toRow` (1), the first rows of the two slots. */
export function recordCopy({ session, cache }: DecodingSetup, S: number): Program {
  const inputs = { fromRow: { shape: [1], dtype: 'int32' }, toRow: { shape: [1], dtype: 'int32' } } as const;
  return session.program(`copyOf${S}`, inputs, (feeds, variables) => {
    copyRows(variables, cache, S, feeds.fromRow, feeds.toRow);
    return {};
  });
}
