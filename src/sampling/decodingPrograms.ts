/**
 * The recorded programs of generation. Prefill reads a prompt in one pass and leaves its keys and values in the cache;
 * a step appends one token to every slot; the other two resize the cache and copy a slot.
 *
 * B slots · P padded length of a prompt · S capacity of the cache in tokens · K key/value heads · D head size ·
 * V vocabulary size
 */
import { cast, greater, mul, reshape, type Tensor } from '@tensorflow/tfjs-core';
import { attend } from '../model/attention.ts';
import { hiddenStates, logitsOf } from '../model/decoder.ts';
import type { KeyValueCache } from '../model/decoderPass.ts';
import type { ModelConfig, ParameterSpec } from '../model/parameters.ts';
import { fusedCachedAttention, hasFusedOperations } from '../ops/fusedOperations.ts';
import { gatherRows } from '../ops/operations.ts';
import type { Program } from '../runtime/program.ts';
import type { Session } from '../runtime/session.ts';
import type { Variables } from '../runtime/variables.ts';
import { elementCount } from '../tensors/tensors.ts';
import { cacheView, copyRows, integers, leadingRows, resizeCache, rowsAt, writeRows } from './cacheLayout.ts';
import type { CacheLayout } from './cacheLayout.ts';

export interface DecodedModel {
  session: Session;
  model: ModelConfig;
  table: readonly ParameterSpec[];
  cache: CacheLayout;
}

/** With fewer weights × slots than this, a step takes under a millisecond. */
const briefWeights = 4e6;

const parametersOf = (table: readonly ParameterSpec[], variables: Variables): Record<string, Tensor> =>
  Object.fromEntries(table.map(({ name }) => [name, variables.weights(name)]));

/**
 * Inputs: `inputs` (P) the padded prompt, `last` (1) the position of its last token, `firstRow` (1) of the slot in the
 * cache. Output: `logits` (V) after that token.
 */
export function recordPrefill({ session, model, table, cache: layout }: DecodedModel, P: number, S: number): Program {
  const inputs = {
    inputs: { shape: [P], dtype: 'int32' },
    last: { shape: [1], dtype: 'int32' },
    firstRow: { shape: [1], dtype: 'int32' },
  } as const;
  const define = (feeds: Record<string, Tensor>, variables: Variables) => {
    const rows = leadingRows(feeds['firstRow']!, layout, P, S);
    const cache: KeyValueCache = {
      positionIds: integers(P, (i) => i),
      attend: (path, query, key, value, mask) => {
        writeRows(variables, cacheView(`${path}.keys`, S), rows, key);
        writeRows(variables, cacheView(`${path}.values`, S), rows, value);
        return attend(query, key, value, mask, null);
      },
    };
    const parameters = parametersOf(table, variables);
    const pass = { model, batchSize: 1, length: P, dropout: null, cache };
    const hidden = hiddenStates(parameters, feeds['inputs']!, pass);
    return { logits: logitsOf(parameters, gatherRows(hidden, feeds['last']!)) };
  };
  return session.program(`prefill${P}of${S}`, inputs, define, { onOneThread: true });
}

/**
 * Inputs: `inputs` (B) the next token of each slot, `positions` (B) its position. Output: `logits` (B, V) after it.
 */
export function recordStep({ session, model, table, cache: layout }: DecodedModel, S: number): Program {
  const B = layout.slots;
  const isBrief = B * table.reduce((sum, { shape }) => sum + elementCount(shape), 0) < briefWeights;
  const inputs = { inputs: { shape: [B], dtype: 'int32' }, positions: { shape: [B], dtype: 'int32' } } as const;
  const define = (feeds: Record<string, Tensor>, variables: Variables) => {
    const positionIds = feeds['positions']!;
    const rows = rowsAt(positionIds, layout, S);
    const attendTo = hasFusedOperations() ? fusedCachedAttention : maskedAttention;
    const cache: KeyValueCache = {
      positionIds,
      attend: (path, query, key, value) => {
        const keys = writeRows(variables, cacheView(`${path}.keys`, S), rows, key);
        const values = writeRows(variables, cacheView(`${path}.values`, S), rows, value);
        return attendTo(query, keys, values, positionIds);
      },
    };
    const parameters = parametersOf(table, variables);
    const pass = { model, batchSize: B, length: 1, dropout: null, cache };
    return { logits: logitsOf(parameters, hiddenStates(parameters, feeds['inputs']!, pass)) };
  };
  return session.program(`step${S}`, inputs, define, { onOneThread: true, isBrief });
}

export const recordResize = ({ session, cache }: DecodedModel, from: number, to: number): Program =>
  session.program(`resize${from}to${to}`, {}, (_, variables) => {
    resizeCache(variables, cache, from, to);
    return {};
  });

/** Inputs: `fromRow` (1) and `toRow` (1), the first rows of the two slots. */
export function recordCopy({ session, cache }: DecodedModel, S: number): Program {
  const inputs = { fromRow: { shape: [1], dtype: 'int32' }, toRow: { shape: [1], dtype: 'int32' } } as const;
  return session.program(`copyOf${S}`, inputs, (feeds, variables) => {
    copyRows(variables, cache, S, feeds['fromRow']!, feeds['toRow']!);
    return {};
  });
}

/**
 * Computes what `fusedCachedAttention` does from TensorFlow's operations: attention to the whole cache, with the
 * positions after `positions` (B) masked.
 *
 * @param query (B, K, G, D) @param keys (B·K·S, D) @param values (B·K·S, D)
 */
export function maskedAttention(query: Tensor, keys: Tensor, values: Tensor, positions: Tensor): Tensor {
  const [B, K, , D] = query.shape as [number, number, number, number];
  const S = keys.shape[0]! / (B * K);
  const cachePositions = reshape(
    integers(S, (i) => i),
    [1, S],
  );
  const isHidden = greater(cachePositions, reshape(positions, [B, 1]));
  const mask = reshape(mul(cast(isHidden, 'float32'), -1e9), [B, 1, 1, 1, S]);
  return attend(query, reshape(keys, [B, K, S, D]), reshape(values, [B, K, S, D]), mask, null);
}
